"""Where compiled code is kept between runs.

The folder's name holds a hash of everything that the machine code depends on: the sources of the loop, and the
versions of Python, numba and numpy. The file's name holds the processor, for homes that several machines share.

A wheel carries code for the usual processors, under the hash of the sources that it was made of: a first run on another
machine, or in a new environment, need not compile anything. Code in the user's cache goes first.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

PACKAGE = Path(__file__).parents[2]
SOURCES = (
    "policy/*.py", "engines/clock.py", "engines/counts.py", "engines/draws.py", "engines/outcome.py",
    "engines/params.py", "engines/model/*.py", "engines/compiled/[!_]*.py",
)  # fmt: skip
"""What the machine code is made of: whatever the modules that ``compiler`` takes in import of kpasim."""


def _of_sources() -> hashlib._Hash:
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for source in sorted(PACKAGE.glob(pattern)):
            digest.update(source.relative_to(PACKAGE).as_posix().encode())
            digest.update(source.read_bytes())
    return digest


def fingerprint() -> str:
    """Hash of the sources and versions that the compiled engine is made of."""
    digest = _of_sources()
    for name in ("numba", "numpy", "llvmlite"):
        digest.update(f"{name} {version(name)}".encode())
    digest.update(f"{sys.version} {platform.machine()}".encode())
    return digest.hexdigest()[:16]


def base() -> Path:
    """The user's cache folder of kpasim; KPASIM_CACHE_DIR overrides it."""
    chosen = os.environ.get("KPASIM_CACHE_DIR")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kpasim"


def folder() -> str:
    """Folder for the code compiled from the sources as they are now."""
    return str(base() / f"engine-{fingerprint()}")


def object_file() -> Path:
    """The compiled engine for the processor at hand, which may not be there yet."""
    import llvmlite.binding as llvm

    return Path(folder()) / f"{llvm.get_host_cpu_name()}-{_hash_of(llvm.get_host_cpu_features().flatten())}.o"


def _hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def shipped_file() -> Path:
    """The compiled engine that came with the sources, which may not be there."""
    from kpasim.engines.compiled.target import LEVEL

    return PACKAGE / "engines" / "compiled" / "shipped" / f"{LEVEL}-{_of_sources().hexdigest()[:16]}.o"


def found() -> bytes | None:
    """The compiled engine, from the user's cache or as it came with the sources; ``None`` if it must be compiled."""
    from kpasim.engines.compiled.target import runs_level

    code = read_object(object_file())
    if code is None and runs_level() and shipped_file().exists():
        # Whoever may change it may change the sources as well.
        code = _opened(shipped_file().read_bytes())
    return code


def is_warm() -> bool:
    """Whether nothing needs to be compiled."""
    return found() is not None


def read_object(path: Path) -> bytes | None:
    """The object code in a file of the cache; ``None`` where there is none that may be loaded.

    A damaged object would end the process with a signal, and one that somebody else can write to would run as this
    user. So the file ends with a hash of what precedes it, and file and folder must be this user's alone to change.
    """
    try:
        if not (_is_mine(path) and _is_mine(path.parent)):
            return None
        content = path.read_bytes()
    except OSError:
        return None
    return _opened(content)


def _opened(content: bytes) -> bytes | None:
    code, digest = content[:-HASH_BYTES], content[-HASH_BYTES:]
    return code if code and hashlib.sha256(code).digest() == digest else None


def sealed(code: bytes) -> bytes:
    """Object code as it lies in the cache, see `read_object`."""
    return code + hashlib.sha256(code).digest()


def _is_mine(path: Path) -> bool:
    """Whether nobody but this user (or root) can change a file or a folder."""
    if not hasattr(os, "getuid"):
        return True
    status = path.stat()
    return status.st_uid in {os.getuid(), 0} and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


HASH_BYTES = hashlib.sha256().digest_size
_COMPILING: list[subprocess.Popen[bytes]] = []
"""Compilations that this process has started: they outlive it, and Python warns of a running child that is dropped."""
STALE_LOCK_S = 300.0
"""A background compilation that began longer ago than this has died."""


def compile_in_background() -> bool:
    """Start a process of low priority that fills the cache, unless one is at it.

    KPASIM_BACKGROUND=0 forbids it.

    Returns:
        Whether a process was started.
    """
    if os.environ.get("KPASIM_BACKGROUND") == "0" or is_warm():
        return False
    place = Path(folder())
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = place / "compiling"
        if lock.exists() and time.time() - lock.stat().st_mtime > STALE_LOCK_S:
            lock.unlink(missing_ok=True)
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
    except OSError:
        return False
    code = (
        "import os, sys; os.nice(10) if hasattr(os, 'nice') else None\n"
        "from kpasim.engines.compiled import machine\ntry:\n machine.ready()\n"
        f"finally:\n os.unlink({str(lock)!r})"
    )
    _COMPILING.append(
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    )
    return True
