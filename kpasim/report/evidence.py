"""What the report knows of one run: its folder, read once, with everything that can be worked out from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kpasim.errors import KpasimError, RunError
from kpasim.report.answer import Facts
from kpasim.results import cost, summary
from kpasim.results.states import last_s
from kpasim.results.summary import Figures
from kpasim.results.tables import Tables, read_run_folder
from kpasim.results.use import use
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.spec.workload import Hey
from kpasim.studies.measured.described import experiment_of
from kpasim.studies.prices import assumed, prices_of
from kpasim.studies.run import Result, billing_of
from kpasim.studies.steady import steady_part, why_no_month

REPLICATIONS = "replications.parquet"
PREDICTION = "prediction"
"""Folder beside a validated run that holds what had been predicted for it."""
_PLACEHOLDER = Hey(kind="hey", requests=1, concurrency=1, timeout_s=0.0)
"""Load of an experiment whose own load is a file that may be anywhere."""
_MONEY = ("amount", "per_1000", "per_month", "stays_per_hour", "responses", *(f"parts.{part}" for part in cost.PARTS))
_NOT_FIGURES = {"replication", *_MONEY}


@dataclass(frozen=True)
class Evidence:
    """One run folder.

    Attributes:
        folder: Where it lies.
        about: run.json, as it is: nothing in it can be relied on.
        tables: The run (of a simulation, the representative replication).
        replications: Each figure of all replications of a simulation, ``None`` for a single run.
    """

    folder: Path
    about: Mapping[str, Any]
    tables: Tables = field(repr=False)
    replications: Figures | None = field(repr=False)

    @property
    def name(self) -> str:
        """What the run is called."""
        name = self.about.get("name")
        return name if isinstance(name, str) and name.strip() else self.folder.name

    @property
    def measured(self) -> bool:
        """Whether it happened for real."""
        return self.about.get("source") == "measured"

    @property
    def kind(self) -> str:
        """``measured`` or ``simulated``."""
        return "measured" if self.measured else "simulated"

    @property
    def count(self) -> int:
        """How many replications its figures are of."""
        return 1 if self.replications is None else len(self.replications["total_s"])

    @cached_property
    def horizon_s(self) -> float:
        """End of the run, from the start of the load."""
        end = self.about.get("end_s")
        usable = isinstance(end, int | float) and not isinstance(end, bool) and 0 < end < 1e9
        return float(end) if usable else last_s(self.tables)  # type: ignore[arg-type]

    @cached_property
    def experiment(self) -> Experiment | None:
        """The experiment behind it, ``None`` where run.json does not describe one that this version understands."""
        given = self.about.get("experiment")
        try:
            if isinstance(given, Mapping):
                workload = given.get("workload")
                if isinstance(workload, Mapping) and "file" in workload:
                    given = {**given, "workload": _PLACEHOLDER.model_dump(mode="json", by_alias=True)}
                return from_mapping(given, base=self.folder, path=self.name)
            return experiment_of(self.about, self.tables, base=self.folder)
        except (KpasimError, TypeError, ValueError, AttributeError, LookupError, OSError):
            # Whoever wrote run.json may have meant anything; the report then goes without.
            return None

    @property
    def slos(self) -> list[tuple[str, bool]]:
        """Verdicts on the SLOs that the run was judged by: in words, and whether each is met."""
        given = self.about.get("slo")
        known = [one for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
        return [(one["text"], one.get("met") is True) for one in known if isinstance(one.get("text"), str)]

    @property
    def load_is_elsewhere(self) -> bool:
        """Whether its requests came from a file that is not in the folder: `experiment` has another load then."""
        return self.experiment is not None and self.experiment.workload == _PLACEHOLDER

    @cached_property
    def aggregate(self) -> summary.Aggregate:
        """Medians and 90 % intervals; of a single run its figures, without intervals."""
        if self.replications is not None:
            figures = {name: values for name, values in self.replications.items() if name not in _NOT_FIGURES}
            return summary.aggregate(figures)
        gpus = self.experiment.gpus_per_pod if self.experiment else 0
        own = summary.summarise(self.tables, self.horizon_s, gpus)
        own |= {name: value for name, value in use(self.tables, self.horizon_s).items() if not np.isnan(value)}
        return summary.Aggregate(own, {}, {}, {})

    @cached_property
    def medians(self) -> dict[str, Any]:
        """Figures by dotted name."""
        return dict(summary.flattened(self.aggregate.medians))

    @cached_property
    def intervals(self) -> dict[str, Any]:
        """90 % intervals by dotted name, empty for a single run."""
        return dict(summary.flattened(self.aggregate.intervals))

    @cached_property
    def money(self) -> dict[str, Any] | None:
        """The bill as `kpasim.results.cost.aggregate_bills` has it, ``None`` where prices are not known."""
        if self.experiment is None:
            return None
        try:
            prices = prices_of(self.experiment)
            if not prices:
                return None
            currency = cost.currency_of(prices)
            if self.replications is not None and self.replications.keys() >= set(_MONEY):
                return cost.aggregate_bills({name: self.replications[name] for name in _MONEY}, currency)
            return cost.bill(
                self.tables,
                prices,
                billing_of(self.experiment),
                horizon_s=self.horizon_s,
                steady_s=None if self.load_is_elsewhere else steady_part(self.experiment),
                repeat_s=self.experiment.repeat_s,
            )
        except (KpasimError, LookupError, ValueError):
            return None

    @cached_property
    def facts(self) -> Facts:
        """What the answer of the run is made of."""
        known, no_month, prices = self.experiment, "", ""
        if self.money and known is not None:
            prices = assumed(prices_of(known))
        if self.load_is_elsewhere:
            known = None
        if self.money and self.money.get("per_month") is None and known is not None:
            no_month = why_no_month(known)
        return Facts(self.medians, self.intervals, self.count, self.money, known, no_month, prices)

    @cached_property
    def prediction(self) -> Evidence | None:
        """What had been predicted before the run was measured, where its folder holds that."""
        inside = self.folder / PREDICTION
        return read(inside) if self.measured and (inside / "run.json").is_file() else None

    def text(self, *keys: str) -> str:
        """A word or number of run.json, empty where it is not there or neither."""
        value: Any = self.about
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return str(value) if isinstance(value, str | int | float) else ""


def read(folder: str | Path) -> Evidence:
    """Read a run folder.

    Raises:
        RecordError: A file of it is missing or malformed.
        RunError: Its table of replications cannot be read.
    """
    folder = Path(folder)
    about, tables, _ = read_run_folder(folder)
    table = folder / REPLICATIONS
    return Evidence(folder, about, tables, _figures(table) if table.exists() else None)


def of(result: Result) -> Evidence:
    """What `read` would find in the folder that `Result.write` writes, without a folder."""
    end_s = float(result.horizon_s[result.representative])
    about = {"source": "simulated", "name": result.experiment.name, "end_s": end_s, "seed": result.seed}
    figures = {**result.figures, **result.use, **(result.cost_figures or {})}
    found = Evidence(Path(result.experiment.name), about, result.tables(), figures)
    # What the run knows already is not worked out again.
    vars(found).update(experiment=result.experiment, aggregate=result.aggregate, money=result.cost)
    return found


def _figures(path: Path) -> Figures | None:
    """The columns of replications.parquet that hold numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, memory_map=False)
        figures = {
            name: table[name].to_numpy().astype(np.float64)
            for name in table.column_names
            if pa.types.is_integer(table.schema.field(name).type) or pa.types.is_floating(table.schema.field(name).type)
        }
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise RunError(f"{path}: cannot be read as Parquet ({reason})") from None
    if not table.num_rows or "total_s" not in figures:
        raise RunError(f"{path}: holds no replications (it needs a row for each, with total_s)")
    figures.pop("replication", None)
    return figures
