"""Where compiled code is kept between runs.

numba's own cache does not notice an edit in another file, so the folder's name holds a hash of everything that the
machine code depends on: the sources of policy and engines, and the versions of Python, numba and numpy.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

PACKAGE = Path(__file__).parents[2]


def fingerprint() -> str:
    """Hash of the sources and versions that the compiled engine is made of."""
    digest = hashlib.sha256()
    for part in ("policy", "engines"):
        for source in sorted((PACKAGE / part).rglob("*.py")):
            digest.update(source.relative_to(PACKAGE).as_posix().encode())
            digest.update(source.read_bytes())
    for name in ("numba", "numpy", "llvmlite"):
        digest.update(f"{name} {version(name)}".encode())
    digest.update(f"{sys.version} {platform.machine()} {os.environ.get('NUMBA_BOUNDSCHECK', '')}".encode())
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


def is_warm() -> bool:
    """Whether the compiled engine has been kept from an earlier run."""
    place = Path(folder())
    return place.is_dir() and any(place.rglob("*.nbc"))
