"""Figures as people read them: on a terminal, on a page, in a notebook."""

import html
import math
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

FIGURES = (
    ("requests", "requests", "requests"),
    ("succeeded", "ok", "requests"),
    ("failed", "errors", "requests"),
    ("  client timeout", "failed.client_timeout", "requests"),
    ("  status 502", "failed.502", "requests"),
    ("  status 503", "failed.503", "requests"),
    ("  status 504", "failed.504", "requests"),
    ("  other", "failed.other", "requests"),
    ("in flight at the end", "in_flight", "requests"),
    ("never sent", "never_sent", "requests"),
    ("mean latency", "latency_s.mean", "s"),
    ("p50", "latency_s.p50", "s"),
    ("p90", "latency_s.p90", "s"),
    ("p95", "latency_s.p95", "s"),
    ("p99", "latency_s.p99", "s"),
    ("max", "latency_s.max", "s"),
    ("waited for a cold start", "cold_start_share", "of requests"),
    ("GPU utilisation", "gpu_utilisation", "of the time"),
    ("peak pods", "max_pods", "pods"),
    ("cold starts", "cold_starts", "pods"),
    ("pod-hours", "pod_seconds", "h"),
    ("GPU-hours", "gpu_seconds", "h"),
    ("requests per day", "requests_per_day", "requests"),
    ("test duration", "total_s", "s"),
    ("first scale-out", "first_scale_out_s", "s after the load starts"),
    ("panic begins", "panic_entered_s", "s after the load starts"),
    ("time to desired 0", "desired_zero_after_last_s", "s after the last response"),
    ("time to scale to zero", "replicas_zero_after_last_s", "s after the last response"),
)
"""Figures of merit in the order in which they are shown: title, name among the figures, unit. Latencies are those of
successful requests."""

MAYBE_ZERO = {"in_flight", "never_sent", *(name for _, name, _ in FIGURES if name.startswith("failed."))}
"""Figures that are shown only where a run has some."""
SHARES = {"cold_start_share", "failed_share", "gpu_utilisation"}
HOURS = {"pod_seconds", "gpu_seconds"}
MONEY = (("cost", "cost.amount"), ("cost per 1,000 requests", "cost.per_1000"), ("cost per month", "cost.per_month"))
"""Figures of money: title and name."""

PERCENTILES = "Percentiles of a run: linear interpolation between the two nearest successful responses."
"""The rule of every percentile but those of hey's report."""

LEAST_RUNS = 19
"""Of fewer runs no twentieth can be left out on either side: even their least and greatest hold less than 90 %."""
NOTHING = "–"  # noqa: RUF001  # what tables have where there is no number
LEAST = Decimal("0.000001")
"""A smaller number is only said to be smaller; no money is counted below it."""
MANY_COLUMNS = 6
"""Columns of a table on a terminal from which on they stand close together."""
HEADING = 16
"""Letters of a heading on a terminal before it goes on below."""


class Row(NamedTuple):
    """A figure of merit as it is shown.

    Attributes:
        name: Its name among the figures.
        title: What it is called; indented where it is a part of the figure above.
        value: Its median, of money its mean.
        interval: Its 90 % interval; empty for a single run.
        unit: Its unit, and what it is about.
    """

    name: str
    title: str
    value: str
    interval: str
    unit: str


@dataclass(frozen=True)
class Table:
    """Texts in rows, for a terminal (rich), a notebook, and a page (`kpasim.report.markup.table`).

    Attributes:
        title: What stands above it.
        columns: Headings.
        rows: Cells.
        numbers: Headings of columns that hold numbers: they are set to the right and never broken.
        whole: Headings of columns with words that are never broken.
        caption: What stands below it.
        looks: Rows that stand out or back, by place: ``bold``, ``dim``, ``red``.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    numbers: Collection[str] = ()
    whole: Collection[str] = ()
    caption: str = ""
    looks: Mapping[int, str] = field(default_factory=dict)

    def __rich__(self) -> Any:
        """The table between title and caption, which may be wider than it."""
        from rich.console import Group
        from rich.table import Table as RichTable
        from rich.text import Text

        close = len(self.columns) > MANY_COLUMNS
        shown = RichTable(box=None, pad_edge=close, padding=(0, 1, 0, 0) if close else (0, 1), header_style="bold")
        for column in self.columns:
            heading = Text(textwrap.fill(column, HEADING, break_long_words=False))
            number = column in self.numbers
            shown.add_column(heading, justify="right" if number else "left", no_wrap=number or column in self.whole,
                             overflow="fold")  # fmt: skip
        for place, row in enumerate(self.rows):
            shown.add_row(*(Text(str(cell)) for cell in row), style=self.looks.get(place))
        title, caption = Text(self.title, "table.title"), Text(self.caption, "table.caption")
        return Group(*(part for part in (title, shown, caption) if part))

    def _repr_html_(self) -> str:
        aligns = ["right" if column in self.numbers else "left" for column in self.columns]
        head, *body = (
            "".join(f"<{tag} style='text-align:{align}'>{html.escape(str(cell))}</{tag}>"
                    for align, cell in zip(aligns, row, strict=True))
            for tag, row in (("th", self.columns), *(("td", row) for row in self.rows))
        )  # fmt: skip
        caption = f"<caption style='text-align:left'>{html.escape(self.title)}</caption>"
        rows = "".join(f"<tr>{row}</tr>" for row in body)
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def number(value: Any, digits: int = 4) -> str:
    """A number as people write it: four figures, no power of ten, no noise; a dash for nothing."""
    if value is None or math.isnan(value):
        return NOTHING
    if isinstance(value, int) or (abs(value) < 1e15 and float(value).is_integer()):
        return f"{value:,.0f}"
    return _plain(f"{float(value):.{digits}g}") if abs(value) < 10 ** (digits - 1) else f"{value:,.0f}"


def _plain(text: str) -> str:
    """A small number without its power of ten: ``4.4e-05`` is ``0.000044``."""
    if "e-" not in text:
        return text
    value = Decimal(text)
    if abs(value) < LEAST:
        return f"> -{LEAST}" if value < 0 else f"< {LEAST}"
    return f"{value:+f}" if text[0] == "+" else f"{value:f}"


def counted(count: float, one: str) -> str:
    """``1 pod``, ``5 pods``."""
    return f"{number(count)} {one if count == 1 else one + 's'}"


def clock(time_s: float, end_s: float) -> str:
    """A time since the load began, as the end of the run has it: ``80.9s``, ``12:34`` or ``22:23:46``."""
    if end_s < 600:
        return f"{time_s:.1f}s"
    sign, whole = "-" if time_s < -0.5 else "", round(abs(time_s))
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    return f"{sign}{hours}:{minutes:02}:{seconds:02}" if end_s >= 3600 else f"{sign}{minutes}:{seconds:02}"


def percent(share: float) -> str:
    """A share in percent: ``46 %``, ``0.4 %``; 0 and 100 only where it is nothing or all."""
    value = 100 * share
    if value in {0, 100}:
        return f"{value:.0f} %"
    if value < 1 or value > 99:
        return f"{min(max(float(f'{value:.2g}' if value < 1 else f'{value:.1f}'), 0.01), 99.9):g} %"
    return f"{value:.0f} %"


def figure(name: str, value: Any) -> str:
    """A value of a figure of merit as it is shown: counts are whole, shares in percent, pod-seconds in hours."""
    from kpasim.results.summary import COUNTS

    if value is None or math.isnan(value):
        return NOTHING
    if name in SHARES:
        return percent(value)
    if name in HOURS:
        return number(value / 3600)
    return f"{math.floor(value):,}" if name in COUNTS else number(value)


def span(interval: Any, name: str = "") -> str:
    """An interval ``lo to hi``, its ends as `figure` shows those of a figure; empty where they are missing."""
    if not interval or interval[0] is None:
        return ""
    low, high = (figure(name, one) for one in interval)
    return low if low == high else f"{low} to {high}"


def with_interval(value: str, interval: str, unit: str = "") -> str:
    """A value with its interval in brackets, where that says more than the value."""
    unit = f" {unit}" if unit else ""
    return f"{value}{unit} ({interval})" if interval and interval != value else f"{value}{unit}"


def signed(name: str, value: float) -> str:
    """A difference of a figure of merit with its sign: shares in percentage points, pod-seconds in hours."""
    value = value / 3600 if name in HOURS else 100 * value if name in SHARES else value
    return f"{value:+,.0f}" if abs(value) >= 1000 else _plain(f"{value:+.3g}") if value else "0"


def shown(
    medians: Mapping[str, Any], intervals: Mapping[str, Any], money: Mapping[str, Any] | None = None
) -> list[Row]:
    """The figures of merit that a run has.

    Args:
        medians: By dotted name.
        intervals: Their 90 % intervals; empty for a single run.
        money: As `kpasim.results.cost.aggregate_bills`, ``None`` without prices.
    """
    from kpasim.results.cost import PART_WORDS

    rows = []
    failures = (medians.get("ok") or 0) < (medians.get("requests") or 0)
    for title, name, unit in FIGURES:
        value, interval = medians.get(name), intervals.get(name)
        if value is None or (name in MAYBE_ZERO and not value and not any(interval or ())):
            continue
        of = ", of successes" if name.startswith("latency_s.") and failures else ""
        rows.append(Row(name, title, figure(name, value), span(interval, name), f"{unit}{of}"))
    if not money:
        return rows
    unit = f"{money['currency']}, mean"
    for title, name in MONEY:
        key = name.removeprefix("cost.")
        if money.get(key) is not None:
            between, sure = ((money.get(ends) or {}).get(key) for ends in ("intervals", "mean_intervals"))
            error = f" ± {number((sure[1] - sure[0]) / 2, 2)}" if sure and sure[1] > sure[0] else ""
            rows.append(Row(name, title, number(money[key]), span(between) if intervals else "", f"{unit}{error}"))
    parts = money["parts"].items()
    return rows + [Row(f"cost.{part}", f"  {PART_WORDS.get(part, part)}", number(one), "", unit) for part, one in parts]


def figures_table(title: str, replications: int, rows: Sequence[Row]) -> Table:
    """Each figure of a run with its 90 % interval over the replications, see `shown`."""
    words = interval_words(replications)
    title = f"{title}{counted(replications, 'replication')}{f': median and {words}' if words else ''}"
    headings = ("", "median", "90 %", "unit") if words else ("", "value", "", "unit")
    return Table(title, headings, [row[1:] for row in rows], headings[1:2], caption=PERCENTILES)


def held(count: int, of: str = " of runs") -> str:
    """What the interval of so many runs holds, as the heading of a column; few runs have their ends only."""
    return f"90 %{of}" if count >= LEAST_RUNS else "min to max"


def seconds(value: float) -> str:
    """A length of time: ``12.3 s``, ``4 min 19 s``, ``2.5 h``, ``3.2 days``."""
    if value < 120:
        return f"{number(value, 3)} s"
    if value < 3600:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{number(value / 3600, 3)} h" if value < 3 * 86400 else f"{number(value / 86400, 3)} days"


def interval_words(replications: int) -> str:
    """What the ends of an interval over so many replications are; nothing of a single one."""
    if replications < 2:
        return ""
    return "90 % interval" + ("" if replications >= LEAST_RUNS else f" (fewer than {LEAST_RUNS} runs: min to max)")
