"""Telling measured files apart by their content, and reading them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kpasim.errors import Problem, RecordError
from kpasim.records import accesslogs, histograms, kubectl, loadtools, reports, tabular, traces
from kpasim.records.record import Malformed, Record, requests_of
from kpasim.records.source import head, rows
from kpasim.results.hey import CSV_HEADER
from kpasim.results.tables import read_run_folder

KNOWN = (
    "a hey report or hey -o csv, vegeta JSON or CSV, k6 JSON or CSV, JMeter's CSV, oha's CSV, ghz JSON or CSV, "
    "fortio's JSON, locust --json, ab -g, an access log of nginx, Apache or Envoy, a request log of queue-proxy, "
    "kubectl get pods -o json, a run folder, a GenTD26 or Azure Functions trace, or a CSV file with named columns"
)

_BY_HEADER: tuple[tuple[set[str], Callable[..., Record]], ...] = (
    (set(CSV_HEADER.split(",")), loadtools.read_hey_csv),
    ({"request-start", "request-duration", "status"}, loadtools.read_oha_csv),
    ({"duration (ms)", "status", "error"}, loadtools.read_ghz_csv),
    ({"metric_name", "timestamp", "metric_value"}, loadtools.read_k6_csv),
    ({"timeStamp", "elapsed"}, loadtools.read_jmeter),
    (set(traces.GENTD26_COLUMNS), traces.read_gentd26),
    ({"timestamp_anon", "value", "container_ip", "request_type"}, traces.read_gentd26_qps),
    ({"timestamp_anon", "value", "container_ip"}, traces.read_gentd26_latency),
    ({"HashApp", "HashFunction", *map(str, range(1, traces.MINUTES_PER_DAY + 1))}, traces.read_azure_2019),
    (set(traces.AZURE_2019_COLUMNS), traces.read_azure_2019_durations),
    ({"app", "func", "end_timestamp", "duration"}, traces.read_azure_2021),
)
"""Header columns that only one kind of file has, the more particular first."""


def read(
    path: str | Path, skip_bad: bool = False, *, columns: Mapping[str, str] | None = None, select: str | None = None
) -> Record:
    """Read a measured file (plain, gzip, xz or bzip2) or run folder; of which known kind it is, its content says.

    ``skip_bad`` leaves malformed lines out and says how many, instead of raising. ``columns`` is for a CSV file whose
    names do not say what they hold, see `kpasim.records.tabular.read_csv`, and takes any file for one. ``select`` is
    the one function or app to read of an Azure trace.

    Raises:
        RecordError: The file cannot be read, is of no known kind, or has malformed lines (file and line are named).
    """
    path = Path(path)
    if path.is_dir():
        return read_folder(path, skip_bad)
    if columns is not None:
        return tabular.read_csv(path, skip_bad, columns)
    return _read_by(_reader(path, head(path)), path, skip_bad, select)


def read_tool(path: str | Path, select: str | None = None) -> Record | None:
    """As `read` of a file whose layout a tool has fixed; ``None`` for a CSV file whose columns its author has named.

    Raises:
        RecordError: As `read`, but for a file of no known kind.
    """
    path = Path(path)
    try:
        reader = _reader(path, head(path))
    except UnknownKindError:
        return None
    return None if reader is tabular.read_csv else _read_by(reader, path, False, select)


class UnknownKindError(RecordError):
    """A file that no reader is known for."""


def _read_by(reader: Callable[..., Record], path: Path, skip_bad: bool, select: str | None) -> Record:
    if reader in (traces.read_azure_2019, traces.read_azure_2019_durations, traces.read_azure_2021):
        return reader(path, skip_bad, select)
    return reader(path, skip_bad)


def _reader(path: Path, start: str) -> Callable[..., Record]:
    """The reader for a file that begins so.

    Raises:
        RecordError: There is none.
    """
    if not start.strip():
        raise UnknownKindError.of(path, f"is empty (wanted: {KNOWN})")
    first_line = start.lstrip().partition("\n")[0].rstrip()
    if accesslogs.ENVOY.match(first_line) or accesslogs.COMMON.match(first_line):
        return accesslogs.read_access_log
    if first_line == "starttime\tseconds\tctime\tdtime\tttime\twait":
        return loadtools.read_ab_gnuplot
    refused = reports.refusal_of_text(start.lstrip())
    if refused is not None:
        raise RecordError.of(path, refused, 1)
    if start.lstrip()[0] in "{[":
        return _json_reader(path, start)
    if any(line.strip() == "Summary:" for line in start.split("\n")):
        return loadtools.read_hey_summary
    _, first = next(rows(path, Malformed(path, True)), (1, [""]))
    names = set(first)
    for wanted, reader in _BY_HEADER:
        if wanted <= names:
            return reader
    if len(first) >= 9 and first[0].isdecimal() and len(first[0]) >= 16:
        return loadtools.read_vegeta_csv
    if tabular.known_columns(first):
        return tabular.read_csv
    raise UnknownKindError.of(path, f"no kind of file that is known ({KNOWN})", 1)


def _json_reader(path: Path, start: str) -> Callable[..., Record]:
    """The reader for JSON that begins so, told by the keys of its first object."""
    text = start.lstrip()
    line = text.split("\n", 1)[0].strip()
    value: Any = None
    for candidate in (line, text):
        try:
            value, _ = json.JSONDecoder().raw_decode(candidate)
            break
        except (ValueError, RecursionError):
            continue
    refused = reports.refusal_of_json(value)
    if refused is not None:
        raise RecordError.of(path, refused, 1)
    keys = set(value) if isinstance(value, dict) else set()
    if "DurationHistogram" in keys or '"DurationHistogram"' in text:
        return histograms.read_fortio
    if '"response_times"' in text and text.startswith("["):
        return histograms.read_locust
    if '"latencyDistribution"' in text or "endReason" in keys:
        return loadtools.read_ghz_json
    if text.startswith("{") and '"httpRequest"' in text:
        return accesslogs.read_request_log
    if {"metric", "type"} <= keys:
        return loadtools.read_k6_json
    if {"timestamp", "latency", "code"} <= keys:
        return loadtools.read_vegeta_json
    if keys and "format" in keys and path.name == "run.json":
        return lambda path, skip_bad: read_folder(path.parent, skip_bad)
    # A list of pods is longer than what was looked at, so its keys may be known only in part.
    if {"type", "object"} <= keys or "apiVersion" in keys or '"apiVersion"' in text or '"object"' in text:
        return kubectl.read_kubectl
    raise RecordError.of(path, f"JSON of no kind that is known ({KNOWN})", 1)


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
    return malformed.finish(record, len(columns["id"]), "")
