"""Where a result comes from, so that it can be had again: what ran, on what, with which seed."""

import hashlib
import json
import platform
from importlib import metadata
from typing import Any

import kpasim
from kpasim.results.files import plain

KNATIVE_COMMIT = "98e5ef90aa7033797aa0a61ef97f3ff7e49a3944"
"""The commit of knative/serving whose behaviour is modelled."""

PACKAGES = ("numpy", "numba", "simpy", "scipy", "pydantic")
"""Packages whose version can change a number."""


def provenance(*, engine: str, seed: int, experiment: object) -> dict[str, Any]:
    """What a run's files say about their making; nothing about the user, the machine's name or its environment."""
    return {
        "kpasim": kpasim.__version__,
        "knative_commit": KNATIVE_COMMIT,
        "engine": engine,
        "seed": seed,
        "experiment_sha256": fingerprint(experiment),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: version_of(name) for name in PACKAGES},
    }


def fingerprint(value: object) -> str:
    """SHA-256 of a text, of bytes, or of the JSON form of anything else, in hexadecimal digits."""
    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, bytes):
        value = json.dumps(plain(value), sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(value).hexdigest()


def version_of(package: str) -> str | None:
    """The version of an installed package, ``None`` where it is missing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
