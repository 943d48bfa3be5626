"""Run folders, measured or simulated, as records."""

from __future__ import annotations

from pathlib import Path

from kpasim.errors import Problem
from kpasim.records.record import Malformed, Record, requests_of
from kpasim.results.tables import read_run_folder


def read_folder(path: Path, skip_bad: bool = False) -> Record:
    """A run folder: requests with the pod and the time that the container worked (``service_s``), pods, all tables.

    ``duration_s`` is the client's latency; a request that the client gave up on (status 0) is censored.
    """
    malformed = Malformed(path, skip_bad)
    skipped: list[Problem] = []
    run, tables, _ = read_run_folder(path, skipped if skip_bad else None)
    for problem in skipped:
        malformed.add(problem.line, problem)
    columns = tables.requests
    requests = requests_of(columns["start_s"], columns["latency_s"], columns["status"])
    requests["censored"] = columns["status"] == 0
    more = ("service_s", "server_arrival_s", "server_start_s", "server_end_s", "pod", "class", "instance_type", "error")
    requests |= {name: columns[name] for name in more if name in columns}
    record = Record("run-folder", str(path), requests, pods=tables.pods, tables=tables, run=run)
    return malformed.finish(record, len(columns["id"]))
