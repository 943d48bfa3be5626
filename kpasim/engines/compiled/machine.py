"""The compiled loop: loaded from the user's cache, or compiled first.

The cache holds an object file, which llvmlite loads by itself; numba is only needed to make it.
"""

import contextlib
import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache as once
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

from kpasim.engines.compiled import cache
from kpasim.engines.compiled.arrays import Arrays
from kpasim.engines.compiled.target import ENTRY, LEVEL, target_machine
from kpasim.errors import RunError
from kpasim.results.files import atomic_write, make_folder

_PROTOTYPE = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.POINTER(ctypes.c_int64), ctypes.POINTER(ctypes.c_void_p), ctypes.c_int64
)


def play(arrays: Arrays) -> int:
    """Run one replication; the lock of the interpreter is free meanwhile.

    Returns:
        What ``events.finish`` returns.
    """
    return _loop()(int(arrays.words.ctypes.data))


def ready() -> None:
    """Load the loop; compile it if that has not been done before, which takes half a minute."""
    _loop()


@once
def _loop() -> Callable[[int], int]:
    if os.environ.get("NUMBA_BOUNDSCHECK", "0") not in ("", "0"):
        from kpasim.engines.compiled import compiler

        return compiler.checked()  # type: ignore[no-any-return]
    place = cache.object_file()
    code = cache.found() or _compiled_once(place)
    # The engine owns the machine code, so it must live as long as the function.
    engine = llvm.create_mcjit_compiler(
        llvm.parse_assembly(""), target_machine(), use_lmm=sys.platform == "linux" or None
    )
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    function = _PROTOTYPE(engine.get_function_address(ENTRY))

    def call(address: int, engine: Any = engine) -> int:
        result = ctypes.c_int64()
        if function(ctypes.byref(result), ctypes.byref(ctypes.c_void_p()), address):
            raise RuntimeError("the compiled engine stopped at something that Python would raise an error for")
        return result.value

    return call


def _compiled_once(place: Path) -> bytes:
    """The object code, which one process at a time compiles; the processes that wait for it read it from the cache."""
    try:
        import fcntl

        make_folder(place.parent)
        place.parent.chmod(0o700)
        lock = open(place.parent / "lock", "w", encoding="utf-8")  # noqa: SIM115
    except (ImportError, OSError, RunError):  # No locks here (Windows), or a cache that cannot be written.
        return _compiled(place)
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return cache.read_object(place) or _compiled(place)


def _compiled(place: Path) -> bytes:
    """The object code, fresh from the compiler and kept for later where the cache can be written."""
    code = _from_compiler()
    with contextlib.suppress(RunError, OSError):
        make_folder(place.parent)
        _write(place, code)
        place.chmod(0o600)
    return code


def ship() -> Path:
    """Compile the loop for the usual processors and put it beside the sources, where a wheel takes it along.

    Returns:
        Where it is.
    """
    place = cache.shipped_file()
    make_folder(place.parent)
    for old in place.parent.glob("*.o"):
        old.unlink()
    _write(place, _from_compiler(LEVEL))
    return place


def _write(place: Path, code: bytes) -> None:
    with atomic_write(place, "wb") as file:
        file.write(cache.sealed(code))


def _from_compiler(*level: str) -> bytes:
    """The object code, made in a process of its own."""
    # What numba makes is optimised in one go afterwards.
    environment = {**os.environ, "NUMBA_OPT": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with tempfile.TemporaryDirectory(prefix="kpasim-") as aside:
        made = Path(aside) / "loop.o"
        command = [sys.executable, "-m", "kpasim.engines.compiled.compiler", str(made), *level]
        done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise RunError(f"the fast engine cannot be compiled: {why} (--engine reference gives the same tables)")
        return made.read_bytes()
