"""What the loop is compiled for, and what it is called: known to who compiles it and to who loads it."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm

ENTRY = "kpasim_play"
"""Name of the loop in the object file. It takes what numba's functions take: where the result goes, where an
exception would go, and the arguments; it returns 0."""


def target_machine() -> Any:
    """What code is made for: the processor at hand."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
    )
