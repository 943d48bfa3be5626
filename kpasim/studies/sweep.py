"""Many settings of one experiment, simulated with the same random numbers, wherever there are processors.

    result = sweep("experiments/cost-vs-latency.yaml", out="runs/cost-vs-latency")
    result.pareto()

Work is counted in units: a block of replications of one setting, the same blocks however the work is spread, so that
a sweep which was killed and resumed leaves the same file as one that was not.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import kpasim
from kpasim.engines import lower
from kpasim.engines.compiled import cache
from kpasim.errors import KpasimError, RunError, printable
from kpasim.results import cost, folders
from kpasim.results.files import atomic_write, plain, write_json
from kpasim.results.provenance import fingerprint
from kpasim.results.summary import Figures
from kpasim.spec.experiment import Experiment
from kpasim.spec.settings import with_settings
from kpasim.spec.sweep import Sweep, load_sweep
from kpasim.studies.common import as_each_leads_to, changes_nothing, stretch_in_common, without_effect
from kpasim.studies.execution.engine import Engine, choose_engine, ready
from kpasim.studies.execution.workers import Backend, spread
from kpasim.studies.grid.journal import Journal, runs
from kpasim.studies.grid.result import SweepResult, cells, label, read_plan, value_text
from kpasim.studies.prices import prices_of, prices_to_dict
from kpasim.studies.runner import Runner, figures_of
from kpasim.studies.search.sobol import sobol
from kpasim.studies.steady import has_month, steady_part

BLOCK_REQUESTS = 50_000
"""Requests of one unit at most, unless a single replication has more."""
PART_REQUESTS = 50_000
"""Requests of one part of the journal at least, about a fifth of a second: less is lost when a sweep is killed."""
PARTS_PER_PROCESS = 8
"""Parts of each process at least, so that none waits long for the last one."""
SMALL_SWEEP = 100_000
"""Requests that one process has simulated before others have started."""

PLAN, TABLE = "plan.json", "replications.parquet"


def sweep(
    file: str | Path | Plan,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    backend: Backend = "local",
    address: str | None = None,
    processes: int = 0,
    engine: Engine = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> SweepResult:
    """Simulate all settings of a sweep.

    Args:
        file: Sweep file, or the plan of one.
        out: Folder for the journal and the table of all replications; nothing is kept without one.
        resume: Go on with what an interrupted sweep left in ``out``; what it finished is not simulated again.
        backend: ``local``, ``dask`` or ``ray``.
        address: Scheduler of the Dask or Ray cluster; without one, workers are started on this machine.
        processes: Processes on this machine; 0 for one on each core, or none beside this one for a small sweep.
        engine: As for `studies.run.simulate`.
        progress: Called with the number of replications finished, and of all.

    Raises:
        ExperimentError: The sweep cannot be simulated as written.
        RunError: The folder holds another sweep, or an unfinished one and ``resume`` is not given.
        KeyboardInterrupt: Interrupted; what was finished is kept.
    """
    plan = file if isinstance(file, Plan) else Plan.read(file)
    total = plan.requests * plan.replications * len(plan.settings)
    processes = processes or int(backend == "local" and total < SMALL_SWEEP)
    execute = partial(spread, execute_chunk, backend=backend, address=address, processes=processes)
    crew = _Crew(plan, choose_engine(engine, total), execute, processes, progress or (lambda done, total: None))
    if out is None:
        with tempfile.TemporaryDirectory(prefix="kpasim-sweep-") as aside:
            return crew.fill(Path(aside), resume=False)
    with folders.writing(out, "sweep") as folder:
        return crew.fill(folder, resume=resume)


@dataclass(frozen=True)
class Plan:
    """Plan of a sweep: its settings and how they are simulated.

    Attributes:
        sweep: The file.
        experiment: Its experiment, with what holds for all settings.
        name: Name of the sweep.
        settings: The values of each setting, by path.
        variants: The experiment with each setting, ``None`` where that would take much memory: a model of its own.
        refused: Settings that cannot be, each with the reason.
        stays: Which settings cost something after their load has ended: pods that min-scale keeps, nodes.
        requests: Requests of one replication.
        currency: Currency of all prices, None where there are none.
        prices: Price of each instance type; of one that an axis changes, the last.
        now: The value of each axis that leaves the experiment as it is, where it has one.
        stretch_s: What of each run stands for a month in all settings alike, None for the part of their own.
        per_month: Whether every setting has a cost per month.
        written_start: Start state that the experiment asks for.
    """

    sweep: Sweep
    experiment: Experiment
    name: str
    settings: tuple[dict[str, Any], ...]
    variants: tuple[Experiment | None, ...] = field(repr=False)
    refused: tuple[tuple[dict[str, Any], str], ...]
    stays: tuple[bool, ...]
    requests: int
    currency: str | None
    prices: dict[str, cost.Price]
    now: dict[str, Any]
    stretch_s: tuple[float, float] | None
    per_month: bool
    written_start: str

    @classmethod
    def read(
        cls, path: str | Path, settings: Mapping[str, Any] | None = None, cluster_config: Sequence[str | Path] = ()
    ) -> Plan:
        """The plan of a sweep file, whose experiment is changed by settings before; none of them an axis.

        Raises:
            ExperimentError: Everything that is wrong with the file.
            RunError: No setting can be simulated, or prices are missing or mixed.
        """
        loaded, experiment = load_sweep(path, cluster_config)
        for axis in loaded.axes.keys() & (settings or {}).keys():
            raise RunError(f"--set {axis}: is an axis of {path} (give its values there)")
        experiment = with_settings(experiment, settings or {})
        return cls.of(loaded, experiment, printable(Path(path).stem))

    @classmethod
    def of(cls, sweep: Sweep, experiment: Experiment, name: str) -> Plan:
        """The plan of a sweep over an experiment; see `read`."""
        settings, variants, refused, stays, requests = [], [], [], [], 1
        written_start = experiment.start.state
        experiment = as_each_leads_to(experiment, sweep.values())
        stretches = []
        per_month = True
        currencies: dict[str | None, str] = {}
        prices: dict[str, cost.Price] = {}
        for one in design(sweep, experiment.seed):
            try:
                variant = experiment.with_settings(one)
                params = lower.lower(variant)
            except KpasimError as error:
                refused.append((one, str(error).removeprefix(f"{experiment.path}: ")))
                continue
            settings.append(one)
            variants.append(variant if variant.model is experiment.model else None)
            stays.append(bool(params.stays) or variant.cluster.nodes is not None)
            stretches.append(steady_part(variant))
            per_month = per_month and has_month(variant)
            requests = max(requests, params.requests)
            found = prices_of(variant)
            prices |= found or {}
            types = ", ".join(each.name for each in variant.instance_types) or "no instance type"
            currencies.setdefault(cost.currency_of(found) if found else None, types)
        if not settings:
            raise RunError(f"{name}: none of {len(refused)} settings can be simulated; the first: {refused[0][1]}")
        if len(currencies) > 1:
            listed = "; ".join(f"{types}: {currency or 'no price'}" for currency, types in currencies.items())
            raise RunError(f"{name}: settings have prices in different currencies, or some have none ({listed})")
        currency = next(iter(currencies))
        for axis, values in sweep.values().items():
            if len(values) > 1 and without_effect(experiment, axis, values, settings):
                raise RunError(f"{name}: axes.{axis}: has no effect (every value gives the same simulation and bill)")
        now = _as_it_is(sweep, experiment)
        rows = (tuple(settings), tuple(variants), tuple(refused), tuple(stays))
        stretch_s = stretch_in_common(stretches)
        return cls(sweep, experiment, name, *rows, requests, currency, prices, now, stretch_s, per_month, written_start)

    @property
    def replications(self) -> int:
        """Replications of each setting."""
        return self.experiment.replications

    @property
    def block(self) -> int:
        """Replications of one unit."""
        return max(1, min(self.replications, BLOCK_REQUESTS // self.requests))

    @property
    def blocks(self) -> int:
        """Units of one setting."""
        return math.ceil(self.replications / self.block)

    def settings_of(self, units: Iterable[int]) -> dict[int, Setting]:
        """The settings that units are of, by number."""
        numbers = sorted({unit // self.blocks for unit in units})
        return {number: Setting(self.settings[number], self.variants[number]) for number in numbers}

    def replications_of(self, units: Iterable[int]) -> int:
        """How many replications units hold."""
        last = self.replications - (self.blocks - 1) * self.block
        return sum(last if (unit + 1) % self.blocks == 0 else self.block for unit in units)

    @property
    def met_idle(self) -> bool:
        """Whether settings begin in the state that each leads to, where the file says that a pod is warm."""
        return self.experiment.start.state == "idled" and self.written_start == "warm"

    @cached_property
    def fingerprints(self) -> dict[str, Any]:
        """All that decides about a single number of the sweep."""
        mine = {"replications", "seed", "horizon"}
        raw = {key: value for key, value in self.experiment.raw.items() if key not in mine}
        trace = getattr(self.experiment.workload, "file", None)
        return {
            "kpasim": f"{kpasim.__version__} {cache.fingerprint()}",
            "experiment": fingerprint(raw),
            "trace": _fingerprint_of(Path(trace)) if trace else None,
            "axes": fingerprint(self.settings),
            "replications": self.replications,
            "seed": self.experiment.seed,
            "horizon": self.experiment.horizon_s,
        }

    @property
    def about(self) -> dict[str, Any]:
        """What `SweepResult` needs to know beside the table."""
        return {
            "name": self.name,
            "experiment": self.experiment.name,
            "seed": self.experiment.seed,
            "replications": self.replications,
            "axes": list(self.sweep.axes),
            "design": self.sweep.design,
            "settings": self.settings,
            "now": self.now,
            "refused": [{"settings": one, "reason": reason} for one, reason in self.refused],
            "currency": self.currency,
            "prices": prices_to_dict(self.prices),
            "per_month": self.per_month,
            "start": self.experiment.start.state,
            "met_idle": self.met_idle,
            "percentiles": self.sweep.percentiles,
            "most_errors": self.sweep.most_errors,
        }


def design(sweep: Sweep, seed: int) -> list[dict[str, Any]]:
    """The settings of a sweep: all combinations, or a sample of them without doubles."""
    if sweep.design == "grid":
        return sweep.grid()
    count, axes = sweep.settings or 1, len(sweep.axes)
    if sweep.design == "sobol":
        shares = sobol(axes, math.ceil(math.log2(count)), seed)[:count]
    else:
        from scipy.stats import qmc

        shares = qmc.LatinHypercube(axes, seed=seed).random(count)
    found = {json.dumps(plain(one), sort_keys=True): one for one in (sweep.at(row) for row in shares.tolist())}
    return list(found.values())


def _fingerprint_of(trace: Path) -> str:
    """Of a file's content; of an observation's files, a folder."""
    if not trace.is_dir():
        return fingerprint(trace.read_bytes())
    return fingerprint([fingerprint(file.read_bytes()) for file in sorted(trace.iterdir()) if file.is_file()])


def _as_it_is(sweep: Sweep, experiment: Experiment) -> dict[str, Any]:
    """The value of each axis that changes nothing, where it has one: as the files write it, or of the same meaning."""
    found = {}
    for path, values in sweep.values().items():
        written = value_text(experiment.setting(path))
        likely = sorted(values, key=lambda value: value_text(value) != written)
        same = (value for value in likely if changes_nothing(experiment, path, value))
        value = next(same, None)
        if value is not None:
            found[path] = value
    return found


def is_of_another_version(plan: Plan, folder: str | Path) -> bool:
    """Whether another version of kpasim began what lies in a folder."""
    before = read_plan(Path(folder))["fingerprints"].get("kpasim")
    return bool(before != plan.fingerprints["kpasim"])


def _begin(plan: Plan, folder: Path, resume: bool) -> None:
    """Begin a folder anew, or make sure that what is in it is of this very sweep.

    A finished one may be of an earlier version of kpasim: its rows are all of that one.

    Raises:
        RunError: It is not.
    """
    note, table = folder / PLAN, folder / TABLE
    unfinished = (
        note.exists()
        and not table.exists()
        and any(folders.PART.fullmatch(path.name) for path in (folder / "journal").rglob("*"))
    )
    if unfinished and not resume:
        raise RunError(f"{folder}: holds an unfinished sweep (add --resume to go on with it, or name another folder)")
    if resume and note.exists():
        before = read_plan(folder)["fingerprints"]
        changed = [key for key, value in plain(plan.fingerprints).items() if before.get(key) != value]
        if changed and not (table.exists() and changed == ["kpasim"]):
            raise RunError(
                f"{folder}: cannot be resumed: {', '.join(changed)} changed since it was begun "
                "(change it back, or name another folder)"
            )
        return
    # In this order: a table must never lie beside the plan of another sweep.
    folders.clear(folder, "sweep")
    folders.remove_journal(folder / "journal")
    write_json(note, {"fingerprints": plan.fingerprints, "about": plan.about})


class Setting(NamedTuple):
    """Values of the axes by path, and the experiment with these, where the plan keeps it."""

    values: dict[str, Any]
    variant: Experiment | None


class Chunk(NamedTuple):
    """Units to be simulated together.

    Attributes:
        settings: Settings by number.
        units: Numbers of the units.
        block: Replications of a unit.
        replications: Replications of a setting.
        until_s: Time after the start of the load at which runs end at the earliest, None for their own end.
        stretch_s: See `Plan`.
    """

    experiment: Experiment
    settings: dict[int, Setting]
    units: range
    block: int
    replications: int
    until_s: float | None
    stretch_s: tuple[float, float] | None
    engine: str


def execute_chunk(chunk: Chunk) -> tuple[range, Figures]:
    """Simulate the units of a chunk.

    Returns:
        The units, and one row for each replication: ``setting``, ``replication`` and all figures.
    """
    blocks = math.ceil(chunk.replications / chunk.block)
    runners: dict[int, Runner] = {}
    numbers: list[int] = []
    replications: list[int] = []
    results = []
    for unit in chunk.units:
        number, block = divmod(unit, blocks)
        if number not in runners:
            values, kept = chunk.settings[number]
            variant = kept or chunk.experiment.with_settings(values)
            runner = Runner(variant, chunk.engine, until_s=chunk.until_s, stretch_s=chunk.stretch_s)
            runners = {number: runner}
        of_unit = range(block * chunk.block, min(chunk.replications, (block + 1) * chunk.block))
        try:
            results.append(runners[number].result(of_unit))
        except RunError as error:
            raise RunError(f"{error} in the setting {label(chunk.settings[number].values)}") from None
        numbers += [number] * len(of_unit)
        replications += of_unit
    columns = {"setting": np.array(numbers), "replication": np.array(replications)}
    return chunk.units, columns | figures_of(results)


@dataclass
class _Crew:
    """Has a sweep plan executed by local or remote workers and journals finished blocks."""

    plan: Plan
    engine: str
    execute_chunks: Callable[[Sequence[Chunk]], Iterator[tuple[range, Figures]]]
    processes: int
    progress: Callable[[int, int], None]

    def fill(self, folder: Path, *, resume: bool) -> SweepResult:
        """Leave the table of all replications in a folder, and read it."""
        plan = self.plan
        _begin(plan, folder, resume)
        if not (folder / TABLE).exists():
            _write_table(plan, self.execute(folder / "journal"), folder / TABLE)
        folders.remove_journal(folder / "journal")
        return SweepResult.read(plan.about, folder / TABLE)

    def execute(self, folder: Path) -> Any:
        """Simulate what is missing in the journals, and return all rows.

        Where nobody says when runs end, every setting is simulated to its own end first. Then those that cost something
        after it are simulated again to the last end of all, so that a pod costs as long in one setting as in another.
        """
        plan = self.plan
        every = range(len(plan.settings) * plan.blocks)
        said = plan.experiment.horizon_s is not None or plan.experiment.repeat_s is not None
        again = [] if said else [unit for unit in every if plan.stays[unit // plan.blocks]]
        self._all = plan.replications_of(every) + plan.replications_of(again)
        self._done = 0
        rows = self._pass(Journal(folder / "own-end"), every, None)
        if not again:
            return rows
        end_s = float(math.ceil(np.max(rows["horizon_s"].to_numpy())))
        return self._merged(rows, self._pass(Journal(folder / "common-end"), again, end_s), end_s)

    def _pass(self, journal: Journal, wanted: Sequence[int], until_s: float | None) -> Any:
        """Simulate units that a journal lacks, and return all its rows."""
        plan = self.plan
        have = journal.finished()
        missing = [unit for unit in wanted if unit not in have]
        self._done += plan.replications_of(wanted) - plan.replications_of(missing)
        if missing and self.engine == "compiled":
            ready()  # or every process would compile
        self.progress(self._done, self._all)
        of_all = (plan.block, plan.replications, until_s, plan.stretch_s, self.engine)
        parts = runs(missing, self._longest(len(missing)))
        chunks = [Chunk(plan.experiment, plan.settings_of(units), units, *of_all) for units in parts]
        for units, columns in self.execute_chunks(chunks):
            journal.add(units, columns)
            self._done += plan.replications_of(units)
            self.progress(self._done, self._all)
        return journal.table()

    def _longest(self, missing: int) -> int:
        """Units of one part of the journal at most."""
        fair = math.ceil(missing / (PARTS_PER_PROCESS * (self.processes or os.cpu_count() or 1)))
        return max(1, min(fair, PART_REQUESTS // (self.plan.block * self.plan.requests)))

    def _merged(self, rows: Any, later: Any, end_s: float) -> Any:
        """Rows of the settings that cost nothing more, and of the others as they were simulated again."""
        import pyarrow as pa
        import pyarrow.compute as pc

        stay = pa.array(np.flatnonzero(self.plan.stays))
        gone = rows.filter(pc.invert(pc.is_in(rows["setting"], value_set=stay)))
        # Where all pods are gone and no node is billed, a run to the common end would cost the same.
        whole = pa.concat_tables([gone, later], promote_options="default")
        column = pa.array(np.full(len(whole), end_s))
        whole = whole.set_column(whole.schema.get_field_index("horizon_s"), "horizon_s", column)
        return whole.sort_by([("setting", "ascending"), ("replication", "ascending")]).combine_chunks()


def _write_table(plan: Plan, rows: Any, path: Path) -> None:
    """Write all replications, with the values of the axes beside the number of their setting."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = rows["setting"].to_numpy()
    at = rows.schema.get_field_index("replication") + 1
    for axis in reversed(plan.sweep.axes):
        values = [one[axis] for one in plan.settings]
        rows = rows.add_column(at, axis, pa.array(cells(values)).take(pa.array(numbers)))
    with atomic_write(path, "wb") as file:
        pq.write_table(rows, file, compression="zstd")
