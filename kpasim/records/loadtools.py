"""What load generators leave of each request: hey, vegeta, k6, JMeter, oha, ghz, ApacheBench."""

from __future__ import annotations

import math
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from kpasim.errors import Problem
from kpasim.records.record import (
    Malformed,
    MalformedError,
    Record,
    Rows,
    by_start,
    from_first,
    iso,
    moment,
    number,
    requests_of,
    shown,
    status_code,
    unix_s,
)
from kpasim.records.source import json_lines, json_object, lines, named_rows, rows, whole
from kpasim.results.hey import CSV_HEADER, parse

_TIMED_OUT = ("timeout", "timed out", "deadline exceeded")
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
    return malformed.finish(record, 0 if math.isnan(report.total) else 1)


def read_hey_csv(path: Path, skip_bad: bool = False) -> Record:
    """``hey -o csv``: answered requests only; those that timed out are absent.

    Further columns: ``wait_s`` until the first byte, ``dial_s`` for the connection.
    """
    malformed = Malformed(path, skip_bad)
    found = Rows(start_s=float, duration_s=float, status=int, wait_s=float, dial_s=float)
    names = CSV_HEADER.split(",")
    for line, row in rows(path, malformed):
        if row == names:
            continue
        with malformed.at(line):
            if len(row) != len(names):
                raise MalformedError("", f"{len(row)} values where hey writes {len(names)}")
            cells = dict(zip(names, row, strict=True))
            times = [number(cells[name], name, least=0) for name in ("offset", "response-time")]
            rest = [number(cells[name], name) for name in ("Response-delay", "DNS+dialup")]
            found.add(*times, status_code(cells["status-code"], "status-code"), *rest)
    columns = found.columns()
    record = Record("hey-csv", str(path), by_start(requests_of(**columns)))
    record.notes.append("hey leaves out requests without an answer: durations beyond its -t are missing")
    return malformed.finish(record, len(found))


def read_vegeta_json(path: Path, skip_bad: bool = False) -> Record:
    """``vegeta encode --to json``: one result a line, times in nanoseconds, ``timestamp`` the time of sending."""
    malformed = Malformed(path, skip_bad)
    found = _rows()
    for line, value in json_lines(path, malformed):
        with malformed.at(line):
            found.add(
                moment(value.get("timestamp"), "timestamp"),
                number(value.get("latency"), "latency", least=0) / 1e9,
                status_code(value.get("code"), "code"),
                str(value.get("error") or ""),
                endpoint(str(value.get("url") or "")),
            )
    return _sent(Record("vegeta-json", str(path)), found, malformed)


def read_vegeta_csv(path: Path, skip_bad: bool = False) -> Record:
    """``vegeta encode --to csv``: no header; time of sending [ns], status, latency [ns], bytes out, in, error ..."""
    malformed = Malformed(path, skip_bad)
    found = _rows()
    for line, row in rows(path, malformed):
        with malformed.at(line):
            if len(row) < 9:
                raise MalformedError("", f"{len(row)} values where vegeta writes at least 9")
            start = number(row[0], "timestamp", least=0) / 1e9
            latency = number(row[2], "latency", least=0) / 1e9
            url = row[10] if len(row) > 10 else ""
            found.add(start, latency, status_code(row[1], "code"), row[5], endpoint(url))
    return _sent(Record("vegeta-csv", str(path)), found, malformed)


def read_k6_json(path: Path, skip_bad: bool = False) -> Record:
    """``k6 run --out json``: points of ``http_req_duration`` [ms], stamped when the request ended."""
    malformed = Malformed(path, skip_bad)
    found = _rows()
    for line, value in json_lines(path, malformed):
        with malformed.at(line):
            kind, metric, data = value.get("type"), value.get("metric"), value.get("data")
            if kind not in ("Point", "Metric") or not isinstance(data, dict):
                raise MalformedError("type", f"must be a Point or a Metric with data (it is {shown(kind)})")
            if kind != "Point" or metric != "http_req_duration":
                continue
            tags = data.get("tags")
            if not isinstance(tags, dict):
                raise MalformedError("data.tags", f"must be an object (it is {shown(tags)})")
            duration = number(data.get("value"), "data.value", least=0) / 1000
            ended = moment(data.get("time"), "data.time")
            code = status_code(tags.get("status", "0"), "data.tags.status")
            name = endpoint(str(tags.get("name") or tags.get("url") or ""))
            found.add(ended - duration, duration, code, str(tags.get("error") or ""), name)
    return _sent(Record("k6-json", str(path)), found, malformed)


def read_k6_csv(path: Path, skip_bad: bool = False) -> Record:
    """``k6 run --out csv``: rows of ``http_req_duration`` [ms], stamped when the request ended, in whole seconds."""
    malformed = Malformed(path, skip_bad)
    found = _rows()
    whole_seconds = True
    for line, cells in named_rows(path, malformed):
        if cells["metric_name"] != "http_req_duration":
            continue
        with malformed.at(line):
            duration = number(cells["metric_value"], "metric_value", least=0) / 1000
            stamp = cells["timestamp"]
            ended = moment(stamp, "timestamp") if "T" in stamp else unix_s(number(stamp, "timestamp"))
            whole_seconds = whole_seconds and ended.is_integer()
            code = status_code(cells.get("status") or "0", "status")
            name = endpoint(cells.get("name") or cells.get("url") or "")
            found.add(ended - duration, duration, code, cells.get("error", ""), name)
    record = Record("k6-csv", str(path))
    if whole_seconds:
        record.grain_s = 1.0
        record.notes.append("k6 wrote whole seconds: starts may be off by one (K6_CSV_TIME_FORMAT=unix_milli)")
    return _sent(record, found, malformed)


def read_oha_csv(path: Path, skip_bad: bool = False) -> Record:
    """``oha --output-format csv``: successes only, in order of start; times in seconds from the start of the load."""
    malformed = Malformed(path, skip_bad)
    found = Rows(start_s=float, duration_s=float, status=int)
    for line, cells in named_rows(path, malformed):
        with malformed.at(line):
            begun = number(cells["request-start"], "request-start", least=0)
            duration = number(cells["request-duration"], "request-duration", least=0)
            found.add(begun, duration, status_code(cells["status"], "status"))
    record = Record("oha-csv", str(path), by_start(requests_of(**found.columns())))
    record.notes.append("oha leaves out requests without a response: timeouts are missing")
    return malformed.finish(record, len(found))


_GRPC_OK = "OK"


def read_ghz_csv(path: Path, skip_bad: bool = False) -> Record:
    """``ghz -O csv``: durations [ms] without times; a status of gRPC other than OK is a failure."""
    malformed = Malformed(path, skip_bad)
    found = Rows(start_s=float, duration_s=float, status=int, error=str)
    names: list[str] = []
    for line, row in rows(path, malformed):
        if not names:
            names = row
            continue
        with malformed.at(line):
            if len(row) < 2:
                raise MalformedError("", f"{len(row)} values where ghz writes at least 2")
            duration = number(row[0], "duration (ms)", least=0) / 1000
            ok = row[1] == _GRPC_OK
            found.add(math.nan, duration, 200 if ok else 503, "" if ok else ", ".join(row[1:]))
    if not len(found):
        malformed.add(None, Problem("", "no request in it"))
    record = Record("ghz-csv", str(path), requests_of(**found.columns()))
    record.notes.append("no start times: the load cannot be replayed")
    return malformed.finish(record, len(found))


def read_ghz_json(path: Path, skip_bad: bool = False) -> Record:
    """``ghz -O json``: ``details`` with the end of each request, its latency [ns] and its status of gRPC."""
    malformed = Malformed(path, skip_bad)
    found = Rows(start_s=float, duration_s=float, status=int, error=str)
    with malformed.at(1):
        details = json_object(whole(path)).get("details") or []
        if not isinstance(details, list) or not all(isinstance(one, dict) for one in details):
            raise MalformedError("details", "must be a list of objects")
        for one in details:
            duration = number(one.get("latency"), "details.latency", least=0) / 1e9
            ended = moment(one.get("timestamp"), "details.timestamp")
            ok = one.get("status") == _GRPC_OK
            found.add(ended - duration, duration, 200 if ok else 503, "" if ok else str(one.get("error") or ""))
    return _sent(Record("ghz-json", str(path)), found, malformed)


def read_ab_gnuplot(path: Path, skip_bad: bool = False) -> Record:
    """``ab -g``: tab-separated; ``seconds`` is the start in whole seconds, ``ttime`` the duration [ms]."""
    malformed = Malformed(path, skip_bad)
    found = Rows(start_s=float, duration_s=float, status=int)
    for line, text in lines(path, malformed):
        if line == 1 or not text.strip():
            continue
        with malformed.at(line):
            row = text.split("\t")
            if len(row) != 6:
                raise MalformedError("", f"{len(row)} values where ab writes 6")
            found.add(number(row[1], "seconds", least=0), number(row[4], "ttime", least=0) / 1000, 200)
    columns, first = from_first(found.columns())
    record = Record("ab-gnuplot", str(path), by_start(requests_of(**columns)), origin=iso(first) if len(found) else "")
    record.grain_s = 1.0
    record.notes.append("ab writes whole seconds, and no statuses: failed responses count as successes")
    return malformed.finish(record, len(found))


def read_jmeter(path: Path, skip_bad: bool = False) -> Record:
    """A results file of JMeter (JTL as CSV): ``timeStamp`` when a sample began [ms], ``elapsed`` its duration [ms].

    A response code that is no number means that there was no answer. A sample that JMeter calls failed in spite of a
    good status (an assertion) counts as failed. Sums of transaction controllers are left out.
    """
    malformed = Malformed(path, skip_bad)
    found = _rows()
    sums = 0
    for line, cells in named_rows(path, malformed):
        with malformed.at(line):
            message = cells.get("responseMessage", "")
            if message.startswith("Number of samples in transaction"):
                sums += 1
                continue
            stamp = cells["timeStamp"]
            dated = "-" in stamp or "/" in stamp
            begun = moment(stamp.replace("/", "-"), "timeStamp") if dated else number(stamp, "timeStamp") / 1000
            duration = number(cells["elapsed"], "elapsed", least=0) / 1000
            answer = cells.get("responseCode", "200")
            code = status_code(answer, "responseCode") if answer.isdecimal() else 0
            if cells.get("success", "").lower() == "false" and 200 <= code < 300:
                code = _ASSERTION_FAILED
            label = cells.get("label", "")
            found.add(begun, duration, code, "" if code else f"{answer} {message}", label)
    record = Record("jmeter-csv", str(path))
    if sums:
        record.notes.append(f"{sums} sums of transaction controllers are left out")
    return _sent(record, found, malformed)


def endpoint(name: str) -> str:
    """The path of an address, without what is asked of it; another name as it is."""
    parts = urlsplit(name) if "://" in name else None
    return (parts.path or "/") if parts else name


def _rows() -> Rows:
    return Rows(start_s=float, duration_s=float, status=int, error=str, **{"class": str})


def _sent(record: Record, found: Rows, malformed: Malformed) -> Record:
    """Requests with clock times and error texts: second 0 is the first start; time-outs are censored."""
    columns, first = from_first(found.columns())
    columns = requests_of(**columns)
    timed_out = np.array([any(word in text.lower() for word in _TIMED_OUT) for text in columns["error"].tolist()], bool)
    columns["censored"] = timed_out & (columns["status"] == 0)
    record.requests = by_start(columns)
    record.origin = iso(first) if len(found) else ""
    if len(found) == 0:
        malformed.add(None, Problem("", "no request in it"))
    return malformed.finish(record, len(found))
