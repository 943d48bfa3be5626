"""What the loop is compiled for, and what it is called: known to who compiles it and to who loads it."""

import platform
import sys
from typing import Any

import llvmlite.binding as llvm

ENTRY = "kpasim_play"
"""Name of the loop in the object file. It takes what numba's functions take: where the result goes, where an
exception would go, and the arguments; it returns 0."""


LEVEL = "x86-64-v3"
"""What code that travels is made for: processors since Intel's Haswell (2013) and AMD's Excavator (2015)."""
FEATURES = ("avx", "avx2", "bmi", "bmi2", "cx16", "f16c", "fma", "lzcnt", "movbe", "popcnt", "sahf", "sse4.2", "xsave")
"""What these have, in LLVM's words. Source: the x86-64 psABI, table of micro-architecture levels."""


def runs_level() -> bool:
    """Whether code for ``LEVEL`` runs on this machine."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    has = llvm.get_host_cpu_features()
    return all(has.get(feature, False) for feature in FEATURES)


def target_machine(level: str = "") -> Any:
    """What code is made for: the processor at hand, or any of a level."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    cpu, features = (level, "") if level else (llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    # Functions call each other directly; ``machine`` loads code and constants into one piece of memory for that.
    near = {"codemodel": "small", "reloc": "pic"} if sys.platform == "linux" else {}
    return target.create_target_machine(cpu=cpu, features=features, opt=3, jit=True, **near)
