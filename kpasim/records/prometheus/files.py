"""Files with series of Prometheus: answers of its API, ``promtool tsdb dump``, OpenMetrics text.

Files that people have hold what a server gave, parts of it, or what a tool made of it. The parser of prometheus_client
refuses many of them, promtool's own input among them, since it checks the order of samples and the completeness of
histograms; here every sample counts that can be read by itself.
"""

import json
import re
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from kpasim.errors import Problem, RecordError, printable
from kpasim.records.prometheus.grid import on_grid, step_of
from kpasim.records.prometheus.selection import Served
from kpasim.records.record import Malformed, shown, unix_s
from kpasim.records.source import head, json_lines, lines, whole

_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r"\s*")
_PAIR = re.compile(r'\s*(?P<name>[a-zA-Z_][\w]*)\s*=\s*"(?P<value>(?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}
_OPENMETRICS = re.compile(
    r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)(?: (?P<time>\S+))?(?: #.*)?$"
)
_DUMP = re.compile(r"\{(?P<labels>.*)\} (?P<value>\S+) (?P<time>-?\d+)$")


def read_files(paths: Iterable[str | Path]) -> tuple[list[Served], float]:
    """The series of files of any of the kinds, joined by their labels, and the step of their times [s].

    The step is 0 unless all times lie on one grid, as ``query_range`` answers. Files with different steps, or with
    samples and steps, are all put on the grid of the longest step.

    Raises:
        RecordError: A file cannot be read as any of the kinds.
    """
    found: list[Served] = []
    step_s: dict[float, Sequence[Served]] = {}
    for path in map(Path, paths):
        series = _read(path)
        if (step := step_of(series)) is not None:
            step_s.setdefault(step, series)
        found += series
    every = joined(found)
    longest = max(step_s, default=0.0)
    if len(step_s) > 1:
        begin, end = (bound([bound(one.times_s) for one in every if len(one.times_s)]) for bound in (np.min, np.max))
        origin = next(one.times_s[0] for one in step_s[longest] if len(one.times_s))
        grid = np.arange(origin - (origin - begin) // longest * longest, end + longest, longest)
        every = [on_grid(one, grid) for one in every]
    return every, longest


def _read(path: Path) -> list[Served]:
    start = head(path).lstrip()
    if start.startswith('{"metric"'):
        return _exported(path)
    if start.startswith("[") or (start.startswith("{") and not start.startswith('{__name__="')):
        return _answers(path)
    return _text(path, _DUMP if start.startswith("{") else _OPENMETRICS)


def _answers(path: Path) -> list[Served]:
    """The series of all answers in a file, one after the other or in a list, and of bare matrices (promtool)."""
    text, place, result = whole(path).strip(), 0, []
    while place < len(text):
        try:
            value, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            raise RecordError.of(path, f"not JSON: {error}", getattr(error, "lineno", None)) from None
        place = _BETWEEN.match(text, place).end()  # type: ignore[union-attr]
        parts = value if isinstance(value, list) else [value]
        series = [part for part in parts if isinstance(part, dict) and "metric" in part]
        answers = [part for part in parts if not (isinstance(part, dict) and "metric" in part)]
        if series:
            answers.append({"data": {"resultType": "matrix", "result": series}})
        for answer in answers:
            if said := warnings_of(answer):
                raise RecordError.of(path, f"the server warned: {said[0]}; samples may be missing", place="warnings")
            bare = isinstance(answer, dict) and "resultType" in answer
            result += from_answer({"data": answer} if bare else answer, path)
    return result


def from_answer(answer: Any, path: str | Path) -> list[Served]:
    """The series of an answer of Prometheus' API, a ``matrix``, decoded; messages call it ``path``.

    Raises:
        RecordError: It is an error's answer, or no matrix.
    """
    try:
        if answer.get("status") == "error":
            raise RecordError.of(path, f"the server's answer was {answer.get('error')}", place="error")
        if answer.get("isPartial"):
            message = "the answer is partial, as a storage node was away: counts would be wrong (ask again)"
            raise RecordError.of(path, message, place="isPartial")
        data = answer["data"]
        if data["resultType"] != "matrix":
            message = f"must be matrix (it is {shown(data['resultType'])}): ask query_range, or query for METRIC[7d]"
            raise RecordError.of(path, message, place="data.resultType")
        return [
            Served({str(k): str(v) for k, v in one["metric"].items()}, *_columns(one["values"]))
            for one in data["result"]
            if "values" in one
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        message = f"is no answer of Prometheus' API that can be read ({type(error).__name__}: {error})"
        raise RecordError.of(path, message) from None


def warnings_of(answer: Any) -> list[str]:
    """What a server said beside its answer, a line each: Thanos names stores there that were away."""
    said = answer.get("warnings") if isinstance(answer, dict) else None
    return [printable(" ".join(str(one).split()))[:200] for one in said] if isinstance(said, list) else []


def _exported(path: Path) -> list[Served]:
    """Series as VictoriaMetrics exports them, ``/api/v1/export``: one a line, times in milliseconds."""
    malformed = Malformed(path, skip=False)
    result = []
    for number, value in json_lines(path, malformed):
        try:
            times, values = (np.array(value[key], dtype=np.float64) for key in ("timestamps", "values"))
            if times.shape != values.shape or times.ndim != 1:
                raise ValueError("timestamps and values must be lists of one length")
            labels = {str(name): str(text) for name, text in value["metric"].items()}
            result.append(Served(labels, times / 1000, values))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            malformed.add(number, Problem("", f"is no series ({type(error).__name__}: {error})"))
    if malformed.count:
        raise RecordError(path, malformed.problems[:3])
    return result


def _columns(pairs: Sequence[Sequence[Any]]) -> tuple[Any, Any]:
    flat = np.array(list(chain.from_iterable(pairs)), dtype=object)
    return flat[0::2].astype(np.float64), flat[1::2].astype(np.float64)


def _text(path: Path, form: re.Pattern[str]) -> list[Served]:
    """Text with one sample a line; the label sets are read once each."""
    malformed = Malformed(path, skip=False)
    found: dict[tuple[str, str], tuple[array[float], array[float]]] = {}
    first_line: dict[tuple[str, str], int] = {}
    for number, line in lines(path, malformed):
        if not line or line[0] == "#":
            continue
        match = form.match(line.partition(" # {")[0])  # What follows is an exemplar.
        if match is None and "} {count:" in line:
            continue  # A native histogram: Knative exports none.
        if match is None:
            malformed.add(number, Problem("", f"is no sample: {shown(line)}"))
            continue
        try:
            if match["time"] is None:
                raise ValueError("has no time stamp (promtool needs one as well)")
            # Seconds in OpenMetrics, milliseconds in a dump and in Prometheus' own text.
            time, value = unix_s(float(match["time"])), float(match["value"])
        except ValueError as error:
            malformed.add(number, Problem("", f"{error}"))
            continue
        key = (match["name"] if form is _OPENMETRICS else "", match["labels"] or "")
        if key not in found:
            found[key], first_line[key] = (array("d"), array("d")), number
        times, values = found[key]
        times.append(time)
        values.append(value)
    result = []
    for (name, text), (times, values) in found.items():
        labels = _labels(text)
        if labels is None:
            malformed.add(first_line[(name, text)], Problem("labels", f"cannot be read: {shown(text)}"))
            continue
        result.append(Served({"__name__": name} | labels if name else labels, np.array(times), np.array(values)))
    if not result:
        kinds = "an answer of Prometheus' API (JSON), OpenMetrics text with time stamps, or a dump of promtool"
        first = malformed.problems[0] if malformed.count else Problem("", "no sample in it")
        raise RecordError.of(path, f"{first.message}; wanted: {kinds}", first.line, place=first.place)
    if malformed.count:
        raise RecordError(path, malformed.problems[:3])
    return result


def _labels(text: str) -> dict[str, str] | None:
    """Label pairs in braces; ``None`` where they are none."""
    result = {}
    place = 0
    while place < len(text):
        match = _PAIR.match(text, place)
        if match is None:
            return None
        value = match["value"]
        if "\\" in value:
            value = re.sub(r"\\.", lambda m: _ESCAPES.get(m[0], m[0]), value)
        result[match["name"]] = value
        place = match.end()
    return result


def joined(series: Iterable[Served], *, once: bool = False) -> list[Served]:
    """Parts with the same labels as one series each; ``once`` where parts overlap: each sample is there once."""
    groups: dict[tuple[tuple[str, str], ...], list[Served]] = {}
    for one in series:
        groups.setdefault(tuple(sorted(one.labels.items())), []).append(one)
    result = []
    for group in groups.values():
        times, values = (np.concatenate([getattr(one, name) for one in group]) for name in ("times_s", "values"))
        if once and len(group) > 1:
            times, kept = np.unique(times, return_index=True)
            values = values[kept]
        result.append(Served(group[0].labels, times, values))
    return result
