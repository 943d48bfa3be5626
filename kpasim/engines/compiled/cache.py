"""Where compiled code is kept between runs.

The folder's name holds a hash of everything that the machine code depends on: the sources of the loop, and the
versions of Python, numba and numpy. The file's name holds the processor, for homes that several machines share.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

PACKAGE = Path(__file__).parents[2]
SOURCES = (
    "policy/*.py", "engines/clock.py", "engines/counts.py", "engines/draws.py", "engines/outcome.py",
    "engines/params.py", "engines/compiled/[!_]*.py",
)  # fmt: skip
"""What the machine code is made of: whatever the modules that ``compiler`` takes in import of kpasim."""


def fingerprint() -> str:
    """Hash of the sources and versions that the compiled engine is made of."""
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for source in sorted(PACKAGE.glob(pattern)):
            digest.update(source.relative_to(PACKAGE).as_posix().encode())
            digest.update(source.read_bytes())
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


def is_warm() -> bool:
    """Whether the compiled engine has been kept from an earlier run."""
    return object_file().exists()


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
    subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return True
