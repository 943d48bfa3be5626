"""What load generators leave of each request: hey, vegeta, k6, JMeter, oha, ghz, ApacheBench."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kpasim.records.record import (
    TIMES,
    Malformed,
    MalformedError,
    Record,
    lists_requests,
    moment,
    number,
    object_in,
    objects_in,
    read_requests,
    shown,
    status_code,
    unix_s,
)
from kpasim.records.source import json_lines, json_object, named_rows, rows, whole
from kpasim.results.hey import CSV_HEADER, parse

_SENT = {**TIMES, "error": str, "class": str}
_GRPC_OK = "OK"
_ASSERTION_FAILED = 599
"""Status of an answer that a tool's own check refused."""


def read_hey_summary(path: Path, skip_bad: bool = False) -> Record:
    """The report that hey prints; `Record.summary` holds it, single requests are not known."""
    malformed = Malformed(path, skip_bad)
    report, problems = parse(whole(path))
    for problem in problems:
        malformed.add(problem.line, problem)
    record = Record("hey-summary", str(path), summary=report)
    if report.histogram and sum(count for _, count in report.histogram) != sum(report.statuses.values()):
        record.notes.append("the histogram and the status codes count different numbers of responses")
    if report.errors:
        failed = sum(report.errors.values())
        record.notes.append(f"{failed} requests have no answer; their durations are in no percentile")
    return malformed.finish(record, 0 if math.isnan(report.total) else 1, "")


def read_hey_csv(path: Path, skip_bad: bool = False) -> Record:
    """``hey -o csv``: answered requests only; those that timed out are absent.

    Further columns: ``wait_s`` until the first byte, ``dial_s`` for the connection.
    """
    names = CSV_HEADER.split(",")

    def values_of(row: list[str]) -> Any:
        if row == names:
            return None
        if len(row) != len(names):
            raise MalformedError("", f"{len(row)} values where hey writes {len(names)}")
        cells = dict(zip(names, row, strict=True))
        times = [number(cells[name], name, least=0) for name in ("offset", "response-time")]
        rest = [number(cells[name], name) for name in ("Response-delay", "DNS+dialup")]
        return *times, status_code(cells["status-code"], "status-code"), *rest

    columns = {**TIMES, "wait_s": float, "dial_s": float}
    record = read_requests("hey-csv", path, skip_bad, rows, columns, values_of, zero="load", clients="closed")
    record.notes.append("hey leaves out requests without an answer: durations beyond its -t are missing")
    return record


@lists_requests("vegeta-json", json_lines, _SENT)
def read_vegeta_json(value: dict[str, Any]) -> Any:
    """``vegeta encode --to json``: one result a line, times in nanoseconds, ``timestamp`` the time of sending."""
    return (
        moment(value.get("timestamp"), "timestamp"),
        number(value.get("latency"), "latency", least=0) / 1e9,
        status_code(value.get("code"), "code"),
        str(value.get("error") or ""),
        endpoint(str(value.get("url") or "")),
    )


@lists_requests("vegeta-csv", rows, _SENT)
def read_vegeta_csv(row: list[str]) -> Any:
    """``vegeta encode --to csv``: no header; time of sending [ns], status, latency [ns], bytes out, in, error ..."""
    if len(row) < 9:
        raise MalformedError("", f"{len(row)} values where vegeta writes at least 9")
    start = number(row[0], "timestamp", least=0) / 1e9
    latency = number(row[2], "latency", least=0) / 1e9
    url = row[10] if len(row) > 10 else ""
    return start, latency, status_code(row[1], "code"), row[5], endpoint(url)


@lists_requests("k6-json", json_lines, _SENT, clients="closed")
def read_k6_json(value: dict[str, Any]) -> Any:
    """``k6 run --out json``: points of ``http_req_duration`` [ms], stamped when the request ended."""
    kind, metric, data = value.get("type"), value.get("metric"), value.get("data")
    if kind not in ("Point", "Metric") or not isinstance(data, dict):
        raise MalformedError("type", f"must be a Point or a Metric with data (it is {shown(kind)})")
    if kind != "Point" or metric != "http_req_duration":
        return None
    tags = object_in(data, "tags")
    duration = number(data.get("value"), "data.value", least=0) / 1000
    ended = moment(data.get("time"), "data.time")
    code = status_code(tags.get("status", "0"), "data.tags.status")
    name = endpoint(str(tags.get("name") or tags.get("url") or ""))
    return ended - duration, duration, code, str(tags.get("error") or ""), name


def read_k6_csv(path: Path, skip_bad: bool = False) -> Record:
    """``k6 run --out csv``: rows of ``http_req_duration`` [ms], stamped when the request ended, in whole seconds."""
    whole_seconds = True

    def values_of(cells: dict[str, str]) -> Any:
        nonlocal whole_seconds
        if cells["metric_name"] != "http_req_duration":
            return None
        duration = number(cells["metric_value"], "metric_value", least=0) / 1000
        stamp = cells["timestamp"]
        ended = moment(stamp, "timestamp") if "T" in stamp else unix_s(number(stamp, "timestamp"))
        whole_seconds = whole_seconds and ended.is_integer()
        code = status_code(cells.get("status") or "0", "status")
        name = endpoint(cells.get("name") or cells.get("url") or "")
        return ended - duration, duration, code, cells.get("error", ""), name

    record = read_requests("k6-csv", path, skip_bad, named_rows, _SENT, values_of, clients="closed")
    if whole_seconds:
        record.grain_s = 1.0
        record.notes.append("k6 wrote whole seconds: starts may be off by one (K6_CSV_TIME_FORMAT=unix_milli)")
    return record


@lists_requests(
    "oha-csv",
    named_rows,
    zero="load",
    clients="closed",
    note="oha leaves out requests without a response: timeouts are missing",
)
def read_oha_csv(cells: dict[str, str]) -> Any:
    """``oha --output-format csv``: successes only, in order of start; times in seconds from the start of the load."""
    begun = number(cells["request-start"], "request-start", least=0)
    duration = number(cells["request-duration"], "request-duration", least=0)
    return begun, duration, status_code(cells["status"], "status")


def read_ghz_csv(path: Path, skip_bad: bool = False) -> Record:
    """``ghz -O csv``: durations [ms] without times; a status of gRPC other than OK is a failure."""
    names = None

    def values_of(row: list[str]) -> Any:
        nonlocal names
        if names is None:
            names = row
            return None
        if len(row) < 2:
            raise MalformedError("", f"{len(row)} values where ghz writes at least 2")
        ok = row[1] == _GRPC_OK
        duration = number(row[0], "duration (ms)", least=0) / 1000
        return math.nan, duration, 200 if ok else 503, "" if ok else ", ".join(row[1:])

    record = read_requests("ghz-csv", path, skip_bad, rows, {**TIMES, "error": str}, values_of)
    record.notes.append("no start times: the load cannot be replayed")
    return record


def _details(path: Path, malformed: Malformed) -> Iterator[tuple[int, Any]]:
    with malformed.at(1):
        yield from ((1, one) for one in objects_in(json_object(whole(path)), "details"))


@lists_requests("ghz-json", _details, {**TIMES, "error": str})
def read_ghz_json(one: dict[str, Any]) -> Any:
    """``ghz -O json``: ``details`` with the end of each request, its latency [ns] and its status of gRPC."""
    duration = number(one.get("latency"), "details.latency", least=0) / 1e9
    ended = moment(one.get("timestamp"), "details.timestamp")
    ok = one.get("status") == _GRPC_OK
    return ended - duration, duration, 200 if ok else 503, "" if ok else str(one.get("error") or "")


@lists_requests(
    "ab-gnuplot", named_rows, grain_s=1.0, clients="closed",
    note="ab writes whole seconds, and no statuses: failed responses count as successes",
)  # fmt: skip
def read_ab_gnuplot(cells: dict[str, str]) -> Any:
    """``ab -g``: tab-separated; ``seconds`` is the start in whole seconds, ``ttime`` the duration [ms]."""
    return number(cells["seconds"], "seconds", least=0), number(cells["ttime"], "ttime", least=0) / 1000, 200


def read_jmeter(path: Path, skip_bad: bool = False) -> Record:
    """A results file of JMeter (JTL as CSV): ``timeStamp`` when a sample began [ms], ``elapsed`` its duration [ms].

    A response code that is no number means that there was no answer. A sample that JMeter calls failed in spite of a
    good status (an assertion) counts as failed. Sums of transaction controllers are left out.
    """
    sums = 0

    def values_of(cells: dict[str, str]) -> Any:
        nonlocal sums
        message = cells.get("responseMessage", "")
        if message.startswith("Number of samples in transaction"):
            sums += 1
            return None
        stamp = cells["timeStamp"]
        dated = "-" in stamp or "/" in stamp
        begun = moment(stamp.replace("/", "-"), "timeStamp") if dated else number(stamp, "timeStamp") / 1000
        duration = number(cells["elapsed"], "elapsed", least=0) / 1000
        answer = cells.get("responseCode", "200")
        code = status_code(answer, "responseCode") if answer.isdecimal() else 0
        if cells.get("success", "").lower() == "false" and 200 <= code < 300:
            code = _ASSERTION_FAILED
        return begun, duration, code, "" if code else f"{answer} {message}", cells.get("label", "")

    record = read_requests("jmeter-csv", path, skip_bad, named_rows, _SENT, values_of, clients="closed")
    if sums:
        record.notes.append(f"{sums} sums of transaction controllers are left out")
    return record


def endpoint(name: str) -> str:
    """The path of an address, without what is asked of it; another name as it is."""
    parts = urlsplit(name) if "://" in name else None
    return (parts.path or "/") if parts else name
