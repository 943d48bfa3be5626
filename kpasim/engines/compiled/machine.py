"""The compiled loop: loaded from the user's cache, or compiled first.

The cache holds an object file, which llvmlite loads by itself; numba is only needed to make it.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache as once
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

from kpasim.engines.compiled import cache
from kpasim.engines.compiled.layout import IntTable, World

ENTRY = "kpasim_play"
"""Name of the loop in the object file. It takes what numba's functions take: where the result goes, where an
exception would go, and the arguments; it returns 0."""

_PROTOTYPE = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.POINTER(ctypes.c_int64), ctypes.POINTER(ctypes.c_void_p), ctypes.c_int64
)


def target_machine() -> Any:
    """What code is made for: the processor at hand."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
    )


def play(world: World, words: IntTable) -> int:
    """Play one run; the lock of the interpreter is free meanwhile.

    Args:
        world: Its arrays.
        words: Where they are, see ``layout.words``.

    Returns:
        What ``loop.finish`` returns.
    """
    return _loop()(int(words.ctypes.data))


def ready() -> None:
    """Load the loop; compile it if that has not been done before, which takes up to a minute."""
    _loop()


@once
def _loop() -> Callable[[int], int]:
    if os.environ.get("NUMBA_BOUNDSCHECK", "0") not in ("", "0"):
        from kpasim.engines.compiled import compiler

        return compiler.checked()  # type: ignore[no-any-return]
    place = cache.object_file()
    if not place.exists():
        _compile(place)
    # The engine owns the machine code, so it must live as long as the function.
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(place.read_bytes()))
    engine.finalize_object()
    function = _PROTOTYPE(engine.get_function_address(ENTRY))

    def call(address: int, engine: Any = engine) -> int:
        result = ctypes.c_int64()
        if function(ctypes.byref(result), ctypes.byref(ctypes.c_void_p()), address):
            raise RuntimeError("the compiled engine stopped at something that Python would raise an error for")
        return result.value

    return call


def _compile(place: Path) -> None:
    """Make the object file, aside first, so that no other process ever loads half of one."""
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = place.with_name(f"{place.name}.{os.getpid()}")
    # What numba makes is optimised in one go afterwards.
    environment = {**os.environ, "NUMBA_OPT": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        subprocess.run([sys.executable, "-m", "kpasim.engines.compiled.compiler", aside], check=True, env=environment)
        aside.replace(place)
    finally:
        aside.unlink(missing_ok=True)
