"""Observing a Knative service: from files, or from a server that answers Prometheus' API."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kpasim.errors import RunError
from kpasim.records.prometheus.assemble import assemble, services
from kpasim.records.prometheus.files import read_files
from kpasim.records.prometheus.observation import Observation


def from_files(
    paths: Iterable[str | Path],
    *,
    service: str | None = None,
    namespace: str | None = None,
    window_s: tuple[float, float] | None = None,
    time_zone: str = "UTC",
) -> Observation:
    """The observation that files hold: answers of ``query_range`` and ``query`` (a matrix), OpenMetrics, a TSDB's dump.

    Args:
        paths: Files of any of these kinds, packed or not; series of the same labels are joined.
        service: Name of the Knative service; the only one in the files if ``None``.
        namespace: Its namespace, likewise.
        window_s: From and to [s since 1970]; all that the files hold if ``None``.
        time_zone: Time zone in which to name days and hours.

    Raises:
        RecordError: A file cannot be read.
        RunError: No such service; the message names those that are there.
    """
    files = [Path(path) for path in paths]
    served, step_s = read_files(files)
    if service is None or namespace is None:
        there = sorted(
            (space, name) for space, name in services(served) if service in (None, name) and namespace in (None, space)
        )
        if len(there) != 1:
            listed = ", ".join(f"{space}/{name}" for space, name in there or sorted(services(served))) or "none"
            raise RunError(f"name the service and its namespace; the files hold {listed}")
        namespace, service = there[0]
    notes = []
    if step_s:
        notes.append(
            f"all times lie on a grid of {step_s:g} s, as query_range gives them: times of scrapes are not known, and "
            "a series that ended may go on for 5 minutes"
        )
    return assemble(
        served,
        service=service,
        namespace=namespace,
        window_s=window_s,
        step_s=step_s,
        histogram_step_s=step_s,
        time_zone=time_zone,
        source=", ".join(file.name for file in files),
        notes=notes,
    )
