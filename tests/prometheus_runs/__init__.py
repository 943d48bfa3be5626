"""What a real Prometheus scraped of Knative's own programs, beside every request and pod of the run, compressed.

Each folder is a run folder with ``raw.json``, the series as ``/api/v1/query`` answers a range selector, one scrape
every 5 s. Three have another form as well: ``outage/range15.json``, ``errors/openmetrics.txt``,
``bursts-cold5/dump.txt``. The Service is called like the run, its namespace ``default``.
"""

from __future__ import annotations

import functools
from pathlib import Path

from kpasim.records.prometheus.observation import Observation
from kpasim.records.prometheus.observe import from_files
from tests.archives import unpacked

ARCHIVE = Path(__file__).with_name("runs.tar.xz")
NAMESPACE = "default"


def root() -> Path:
    """The folder that holds all runs."""
    return unpacked(ARCHIVE)


@functools.cache
def names() -> tuple[str, ...]:
    """The names of the runs, sorted."""
    return tuple(sorted(path.name for path in root().iterdir()))


def folder(name: str) -> Path:
    """The run folder of that name. Read it only: all tests of a process share it."""
    return root() / name


@functools.cache
def observation(name: str, file: str = "raw.json") -> Observation:
    """What a run's series say."""
    return from_files([folder(name) / file], service=name, namespace=NAMESPACE)
