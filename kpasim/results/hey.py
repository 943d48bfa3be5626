"""The report of the load generator hey: made from requests, written in hey's layout, read back.

Layout and rules are those of hey 0.1.4, found by running it: numbers with four decimals, a histogram of eleven marks,
percentiles by the rule of `kpasim.results.summary.hey_percentiles`, time-outs in the error distribution and in
requests per second but in no latency.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kpasim.arrays import Floats
from kpasim.errors import Problem
from kpasim.results.frames import Columns
from kpasim.results.summary import LATENCY_PERCENTILES, hey_percentiles

TIMED_OUT = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
"""What hey prints for a request that it gave up on, after the address."""

CSV_HEADER = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset"

_DETAILS = ("DNS+dialup", "DNS-lookup", "req write", "resp wait", "resp read")
_NUMBERS = {"Total": "total", "Slowest": "slowest", "Fastest": "fastest", "Average": "average", "Requests/sec": "rps"}
_SIZES = {"Total data": "size_total", "Size/request": "size_request"}
_BAR = "■"
_BAR_WIDTH = 40
_STEPS = 10


@dataclass(frozen=True)
class HeyReport:
    """One summary as hey prints it; times in seconds.

    Attributes:
        total: From the start of the load to the end of its last request.
        slowest: Greatest latency among answered requests, 0 where there is none.
        fastest: Least latency, 0 where there is none.
        average: Mean latency, ``NaN`` where no request was answered.
        rps: Requests that ended per second, errors included.
        histogram: Eleven ``(mark, count)``: answers in (previous mark, mark]; the first counts those equal to the
            fastest. Empty where no request was answered.
        percentiles: ``(percent, latency)`` in the order printed; ``(0, 0.0)`` where hey has no value. Empty where no
            request was answered.
        details: Five rows ``(average, fastest, slowest)``: dial-up, DNS lookup, writing, waiting, reading. Version
            0.1.4 prints the fastest and slowest whole request in the first.
        statuses: Answers per HTTP status, ascending.
        errors: Requests without an answer per error text, sorted.
        size_total: Bytes of all answers, 0 where unknown: then hey prints no sizes.
        size_request: Bytes per answer.
        trimmed: Blanks at the ends of lines and of the text are missing, as on a web page.
    """

    total: float = math.nan
    slowest: float = math.nan
    fastest: float = math.nan
    average: float = math.nan
    rps: float = math.nan
    histogram: tuple[tuple[float, int], ...] = ()
    percentiles: tuple[tuple[int, float], ...] = ()
    details: tuple[tuple[float, float, float], ...] = ()
    statuses: dict[int, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    size_total: int = 0
    size_request: int = 0
    trimmed: bool = False

    @property
    def requests(self) -> int:
        """Requests that ended, with an answer or an error."""
        return sum(self.statuses.values()) + sum(self.errors.values())

    def text(self) -> str:
        """The report as hey prints it, byte for byte."""
        lines = ["", "Summary:"]
        lines += [f"  {label}:\t{_number(getattr(self, name))} secs" for label, name in list(_NUMBERS.items())[:-1]]
        lines += [f"  Requests/sec:\t{_number(self.rps)}", "  "]
        if self.size_total > 0:
            lines += [f"  Total data:\t{self.size_total} bytes", f"  Size/request:\t{self.size_request} bytes"]
        lines += ["", "Response time histogram:", *_bars(self.histogram), "", ""]
        lines += ["Latency distribution:", *(f"  {p}% in {_number(value)} secs" for p, value in self.percentiles)]
        lines += ["", "Details (average, fastest, slowest):"]
        for label, row in zip(_DETAILS, self.details, strict=False):
            lines.append(f"  {label}:\t{', '.join(f'{_number(value)} secs' for value in row)}")
        lines += ["", "Status code distribution:"]
        lines += [f"  [{status}]\t{count} responses" for status, count in sorted(self.statuses.items())]
        lines.append("")
        if self.errors:
            lines.append("Error distribution:")
            lines += [f"  [{count}]\t{error}" for error, count in sorted(self.errors.items())]
        else:
            lines.append("")
        lines += ["", ""]
        if self.trimmed:
            return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"
        return "\n".join(lines)


def report(requests: Columns, *, size_total: int = 0, address: str = "") -> HeyReport:
    """What hey would have printed for these requests.

    Args:
        requests: Columns ``start_s``, ``latency_s`` and ``status`` (0: the client gave up); ``error`` and
            ``first_byte_s`` [s from the start of the load] where known. Requests that had not ended are left out.
        size_total: Bytes of all answers, 0 where unknown.
        address: URL that errors name, empty for none.
    """
    ended = ~np.isnan(requests["latency_s"])
    start, latency, status = (requests[name][ended] for name in ("start_s", "latency_s", "status"))
    answered = status > 0
    values = np.sort(latency[answered])
    n = len(values)
    total = float(np.max(start + latency, initial=0.0))
    first_byte = requests["first_byte_s"][ended] if "first_byte_s" in requests else np.full(len(start), np.nan)
    waited = np.where(np.isnan(first_byte), latency, first_byte - start)[answered]
    average, fastest, slowest = _triple(values)
    nothing = (0.0 if n else math.nan, 0.0, 0.0)
    percentiles = hey_percentiles(values[np.newaxis], np.array([n]))[:, 0].tolist()
    texts = requests["error"][ended] if "error" in requests else np.full(len(start), "")
    prefix = f'Get "{address}": ' if address else ""
    return HeyReport(
        total=total,
        slowest=slowest,
        fastest=fastest,
        average=average,
        rps=len(start) / total if total > 0 else 0.0,
        histogram=_histogram(values),
        percentiles=tuple(
            (0, 0.0) if math.isnan(value) else (p, value)
            for p, value in zip(LATENCY_PERCENTILES, percentiles, strict=True)
        )
        if n
        else (),
        details=(
            (nothing[0], fastest, slowest),
            nothing,
            nothing,
            _triple(waited),
            _triple(latency[answered] - waited),
        ),
        statuses=dict(sorted(Counter(status[answered].tolist()).items())),
        errors=dict(sorted(Counter(str(text) or prefix + TIMED_OUT for text in texts[~answered]).items())),
        size_total=size_total,
        size_request=size_total // n if n else 0,
    )


def parse(text: str) -> tuple[HeyReport, list[Problem]]:
    """Read a report, as printed or with blanks trimmed or changed on its way through a web page.

    Lines before ``Summary:`` are not part of it.

    Returns:
        What could be read, and one problem for each line that could not (none for a whole report).
    """
    found = HeyReport()
    problems: list[Problem] = []
    section = ""
    exact = False
    lines = text.split("\n")
    first = next((place for place, line in enumerate(lines) if line.strip() == "Summary:"), len(lines))
    for number, line in enumerate(lines[first:], first + 1):
        exact = exact or line.rstrip("\r") == "  "
        stripped = line.strip()
        if stripped.endswith(":") and stripped[:-1] in _LINES:
            section = stripped[:-1]
        elif stripped:
            matches = ((re.fullmatch(line, stripped), change) for line, change in _LINES[section].items())
            changes = next((change(found, match) for match, change in matches if match), {})
            if not changes:
                problems.append(Problem("", f"not a line of hey's {section.lower()}: {stripped[:60]!r}", number))
            found = replace(found, **changes)
    if not section:
        problems.append(Problem("", "no summary of hey: no line says 'Summary:'"))
    elif math.isnan(found.total):
        problems.append(Problem("Total", "is missing"))
    return replace(found, trimmed=not exact), problems


def _number(value: float) -> str:
    return " NaN" if math.isnan(value) else f"{value:4.4f}"


def _triple(values: Floats) -> tuple[float, float, float]:
    """Average, least and greatest."""
    if len(values) == 0:
        return (math.nan, 0.0, 0.0)
    return (float(values.mean()), float(values.min()), float(values.max()))


def _histogram(values: Floats) -> tuple[tuple[float, int], ...]:
    """Marks at tenths between the least and the greatest of ascending values, each with its count."""
    if len(values) == 0:
        return ()
    fastest, slowest = float(values[0]), float(values[-1])
    marks = [fastest + (slowest - fastest) / _STEPS * k for k in range(_STEPS)] + [slowest]
    places = np.searchsorted(np.array(marks), values, side="left")
    counts = np.bincount(np.minimum(places, _STEPS), minlength=_STEPS + 1)
    return tuple(zip(marks, counts.tolist(), strict=True))


def _bars(histogram: tuple[tuple[float, int], ...]) -> Iterator[str]:
    most = max((count for _, count in histogram), default=0)
    for mark, count in histogram:
        length = (count * _BAR_WIDTH + most // 2) // most if most else 0
        yield f"  {mark:4.3f} [{count}]\t|{_BAR * length}"


_FLOAT = r"(\d{1,15}(?:\.\d{1,15})?|NaN)"
_COUNT = r"(\d{1,15})"


Change = Callable[[HeyReport, re.Match[str]], dict[str, Any]]
"""What a line of a report says, as fields of it; empty where it does not belong there."""


def _number_of(_: HeyReport, line: re.Match[str]) -> dict[str, Any]:
    return {_NUMBERS[line[1]]: float(line[2])}


def _detail(found: HeyReport, line: re.Match[str]) -> dict[str, Any]:
    if line[1] not in _DETAILS[len(found.details) : len(found.details) + 1]:
        return {}
    return {"details": (*found.details, (float(line[2]), float(line[3]), float(line[4])))}


_LINES: dict[str, dict[str, Change]] = {
    "Summary": {
        rf"(Total|Slowest|Fastest|Average):\s*{_FLOAT} secs": _number_of,
        rf"(Requests/sec):\s*{_FLOAT}": _number_of,
        rf"(Total data|Size/request):\s*{_COUNT} bytes": lambda _, line: {_SIZES[line[1]]: int(line[2])},
    },
    "Response time histogram": {
        rf"{_FLOAT} \[{_COUNT}\]\s*\|?[■∎#*]*": lambda found, line: {
            "histogram": (*found.histogram, (float(line[1]), int(line[2])))
        },
    },
    "Latency distribution": {
        rf"(\d{{1,2}})%+ in {_FLOAT} secs": lambda found, line: {
            "percentiles": (*found.percentiles, (int(line[1]), float(line[2])))
        },
    },
    "Details (average, fastest, slowest)": {
        rf"([\w +-]+):\s*{_FLOAT} secs,\s*{_FLOAT} secs,\s*{_FLOAT} secs": _detail,
    },
    "Status code distribution": {
        rf"\[(\d{{3}})\]\s*{_COUNT} responses": lambda found, line: {
            "statuses": {**found.statuses, int(line[1]): int(line[2])}
        },
    },
    "Error distribution": {
        rf"\[{_COUNT}\]\s*(.+)": lambda found, line: {"errors": {**found.errors, line[2]: int(line[1])}},
    },
}
"""The lines of each section of a report, as regular expressions, and what they say."""
