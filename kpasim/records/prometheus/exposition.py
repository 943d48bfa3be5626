"""Writing series as OpenMetrics text with time stamps, as ``promtool tsdb create-blocks-from openmetrics`` reads it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from kpasim.arrays import Floats
from kpasim.results.files import atomic_write

_PARTS = ("_bucket", "_sum", "_count", "_total")


@dataclass(frozen=True, eq=False)
class Written:
    """A series to write.

    Attributes:
        times_s: Times of its samples [s since 1970], written to the millisecond.
        kind: Type of the metric family.
        help: What it means; written where it is not empty.
    """

    name: str
    labels: Mapping[str, str]
    times_s: Floats
    values: Floats
    kind: Literal["gauge", "counter", "histogram", "unknown"] = "gauge"
    help: str = ""

    @property
    def family(self) -> str:
        """The metric family: the name without what its type adds."""
        if self.kind in ("counter", "histogram"):
            return next((self.name.removesuffix(part) for part in _PARTS if self.name.endswith(part)), self.name)
        return self.name


def write_openmetrics(path: str | Path, series: Iterable[Written]) -> None:
    """Write series as OpenMetrics text, atomically: families together, each series by time, ``# EOF`` at the end.

    Raises:
        RunError: The file cannot be written.
    """
    families: dict[str, list[Written]] = {}
    for one in series:
        families.setdefault(one.family, []).append(one)
    with atomic_write(path) as file:
        for name, members in sorted(families.items()):
            file.write(f"# TYPE {name} {members[0].kind}\n")
            if members[0].help:
                file.write(f"# HELP {name} {_escaped(members[0].help)}\n")
            for one in members:
                _write(file, one)
        file.write("# EOF\n")


def _write(file: IO[str], series: Written) -> None:
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(series.labels.items()))
    start = f"{series.name}{{{labels}}} " if labels else f"{series.name} "
    file.writelines(
        f"{start}{_number(value)} {time:.3f}\n"
        for time, value in zip(series.times_s.tolist(), series.values.tolist(), strict=True)
    )


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
