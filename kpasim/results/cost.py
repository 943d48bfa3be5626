"""What a run costs, from its tables.

Each pod is billed by its instance type from the moment its machine is provisioned until it is gone, ready or not; each
node from its creation until it is released. Every started step of a granularity counts, and at least a minimum, also
for pods and nodes that are still there at the end. The money is split by what it bought:

- *working*: at least one request was being served,
- *starting*: not yet ready and serving nothing,
- *draining*: asked to go and serving nothing,
- *idle*: the rest, what rounding up adds included.

The parts of one run add up to its amount exactly. Only the time between the start of the load and the end of the run is
billed: a pod that was there before is billed as if it began with the load, one that outlives the run until its end.

Bills add up, so many of them are told by their mean; what 1,000 requests cost is all money over all responses.
"""

import difflib
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from kpasim.arrays import Array, Floats, Ints
from kpasim.errors import RunError
from kpasim.results.frames import Columns, part, parts, shape_of
from kpasim.results.spans import (
    Merged,
    Spans,
    Stretches,
    covered,
    machine_from,
    merged,
    places,
    row_sums,
    scheduled_from,
    together,
    work_of,
)
from kpasim.results.student import half_width
from kpasim.results.summary import Figures, member, numbers, spread
from kpasim.results.tables import Tables

PARTS = ("working", "idle", "starting", "draining")
PART_WORDS = {"working": "busy", "idle": "idle", "starting": "starting", "draining": "terminating"}
"""What the parts are called where people read them."""
MONTH_S = 730 * 3600.0
"""A month as cloud providers count it, 730 hours."""

_MICRO = 1_000_000
_INSTANT_S = 1e-6


@dataclass(frozen=True)
class Price:
    """Price of an hour of one instance type.

    Attributes:
        per_hour: Amount of ``currency``.
        currency: Three letters, ``USD``.
        gpu: Its GPU.
        gpus: How many of them.
        region: Where it was asked.
        date: When it was valid; empty where its source does not say.
        source: Where it was read.
        stale: Too old or too vague to be relied on.
        estimate: Not published for this type; ``source`` says how it was put together.
    """

    per_hour: float
    currency: str
    gpu: str = ""
    gpus: int = 1
    region: str = ""
    date: str = ""
    source: str = "the experiment"
    stale: bool = False
    estimate: bool = False

    @property
    def kind(self) -> str:
        """Whether it was published for its type or put together."""
        return "estimated" if self.estimate else "published"

    @property
    def standing(self) -> str:
        """The same, and whether it is stale."""
        return f"{self.kind}{', stale' if self.stale else ''}"


@dataclass(frozen=True)
class Billing:
    """How a provider counts.

    Attributes:
        per: Whether pods or the nodes they run on are billed.
        bills_from: When billing of a pod begins: at its creation, when it is placed, or when its machine is
            provisioned. Nodes are billed from their creation.
        granularity_s: Every started step of this length is billed.
        minimum_s: Shortest time billed for one pod or node.
    """

    per: Literal["pod", "node"] = "pod"
    bills_from: Literal["created", "scheduled", "pull"] = "pull"
    granularity_s: float = 1.0
    minimum_s: float = 0.0


@functools.cache
def price_list() -> Mapping[str, Price]:
    """The prices that kpasim brings along, by instance type (kpasim/data/prices.yaml)."""
    from ruamel.yaml import YAML

    text = resources.files("kpasim").joinpath("data", "prices.yaml").read_text(encoding="utf-8")
    entries = YAML(typ="safe").load(text)
    return {
        name: Price(**{key.replace("-", "_"): value for key, value in entry.items()}) for name, entry in entries.items()
    }


def prices_for(types: Iterable[str], given: Mapping[str, Price] | None = None) -> dict[str, Price]:
    """The price of each instance type: the one given, else the one kpasim brings along.

    Raises:
        RunError: A type has no price, or two types are priced in different currencies (one line per problem).
    """
    known = {**price_list(), **(given or {})}
    problems = []
    found: dict[str, Price] = {}
    for name in dict.fromkeys(types):
        if name in known:
            found[name] = known[name]
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}, or give its price-per-hour" if near else "give its price-per-hour"
        problems.append(f"cluster.instance-types: no price for {name or 'a pod without an instance type'} ({hint})")
    if problems:
        raise RunError("\n".join(problems))
    currency_of(found)
    return found


def currency_of(prices: Mapping[str, Price], wanted: str | None = None) -> str:
    """The one currency of all prices, ``""`` where there is none.

    Raises:
        RunError: There are several, or it is not the one wanted: kpasim converts nothing.
    """
    by_currency: dict[str, str] = {wanted: "the result"} if wanted else {}
    for name, price in prices.items():
        by_currency.setdefault(price.currency, name)
    if len(by_currency) > 1:
        listed = ", ".join(f"{currency} for {name}" for currency, name in by_currency.items())
        raise RunError(f"cost: prices in different currencies ({listed}); give all of them in one")
    return next(iter(by_currency), "")


def bill(
    tables: Tables,
    prices: Mapping[str, Price],
    billing: Billing = Billing(),
    *,
    horizon_s: float,
    steady_s: tuple[float, float] | None = None,
    repeat_s: float | None = None,
) -> dict[str, Any]:
    """What one run costs.

    Args:
        tables: One run. Pods' ``instance_type`` names their price; where only one price is given it is everyone's.
        prices: By instance type.
        billing: How the provider counts.
        horizon_s: End of the run.
        steady_s: Of a steady or periodic workload, the stretch (from, to) that goes on all month.
        repeat_s: How often the load recurs, where it ends by itself.

    Returns:
        ``amount``, ``currency``, ``per_1000`` successful requests (``None`` without one), ``per_month`` (``None``
        without ``steady_s`` and ``repeat_s``, and where the run is longer than that), ``stays_per_hour``: what an hour
        after the end of the run costs, and ``parts``, which add up to the amount to the last of their six decimals.

    Raises:
        RunError: A type has no price, or currencies are mixed.
    """
    figures = bill_many(tables.as_many(), prices, billing, horizon_s=horizon_s, steady_s=steady_s, repeat_s=repeat_s)
    return _written({name: float(values[0]) for name, values in figures.items()}, currency_of(prices))


def bill_many(
    tables: Tables,
    prices: Mapping[str, Price],
    billing: Billing = Billing(),
    *,
    horizon_s: ArrayLike,
    steady_s: tuple[float, float] | None = None,
    repeat_s: float | None = None,
) -> Figures:
    """What many runs cost, see `bill`.

    Args:
        tables: Columns of shape ``(runs, rows)``; a row whose first time is ``NaN`` is padding. Requests name their
            pod, pods and nodes their ``node`` and ``instance_type``, by name or as a whole number: the row of the pod
            or node, the place of the type among ``prices`` (-1: none).
        prices: By instance type.
        billing: How the provider counts.
        horizon_s: One number, or one per run.
        steady_s: As for `bill`.
        repeat_s: As for `bill`.

    Returns:
        ``amount``, ``per_1000``, ``per_month``, ``stays_per_hour``, ``responses`` and ``parts.working`` to
        ``parts.draining``, one value per run.
    """
    currency_of(prices)
    requests = tables.requests
    runs, rows = shape_of(requests)
    horizon = np.broadcast_to(np.asarray(horizon_s, dtype=np.float64), (runs,))
    ok = np.zeros(runs, dtype=np.int64)
    for some in parts(rows):
        status = part(requests, "status", some)
        ok += ((status >= 200) & (status < 300) & ~np.isnan(part(requests, "latency_s", some))).sum(axis=1)
    spent = spent_many(tables, prices, billing, horizon, steady_s)
    return bill_of(spent, ok, horizon, steady_s, repeat_s)


def spent_many(
    tables: Tables,
    prices: Mapping[str, Price],
    billing: Billing,
    horizon: Floats,
    steady_s: tuple[float, float] | None,
) -> Figures:
    """Sums of money over the pods or nodes of many runs: those of some pods and of the others add up to those of all.

    As `bill_many`; without requests, no part is ``working``. A horizon is infinite where all pods and nodes are gone.

    Returns:
        ``amount``, ``stays_per_hour``, ``within`` the stretch and ``parts.working`` to ``parts.draining``.
    """
    figures = _whole(tables, prices, billing, horizon)
    figures["within"] = (
        _within(tables, prices, billing, steady_s, horizon) if steady_s else np.full(len(horizon), np.nan)
    )
    payers, _, start = _payers(tables, billing)
    with np.errstate(invalid="ignore"):
        stay = (start <= horizon[:, np.newaxis]) & ~(payers["gone_s"] <= horizon[:, np.newaxis])
    figures["stays_per_hour"] = row_sums(stay * _rates(payers, prices)) * 3600.0
    return figures


def bill_of(
    spent: Figures,
    ok: Array,
    horizon: Floats,
    steady_s: tuple[float, float] | None,
    repeat_s: float | None,
) -> Figures:
    """What many runs cost by what was spent on all pods or nodes, see `bill_many` and `spent_many`."""
    amount = spent["amount"]
    with np.errstate(divide="ignore", invalid="ignore"):
        per_1000 = np.where(ok > 0, amount * 1000 / ok, np.nan)
    if repeat_s is not None:
        # A run that goes on when the load comes again was not simulated as it would be.
        per_month = np.where(np.abs(horizon - repeat_s) < _INSTANT_S, amount * MONTH_S / repeat_s, np.nan)
    else:
        per_month = spent["within"] * (MONTH_S / (steady_s[1] - steady_s[0]) if steady_s else np.nan)
    parts = {name: values for name, values in spent.items() if name.startswith("parts.")}
    return {
        "amount": amount,
        **parts,
        "per_1000": per_1000,
        "per_month": per_month,
        "stays_per_hour": spent["stays_per_hour"],
        "responses": ok.astype(np.float64),
    }


def aggregate_bills(figures: Figures, currency: str) -> dict[str, Any]:
    """Many replications' bills as one: means, because bills add up, with two kinds of 90 % intervals.

    Args:
        figures: What `bill_many` returned; without parts, neither has the mean.
        currency: The prices' currency.

    Returns:
        As `bill`, of the mean replication; ``per_1000`` is all money over all responses. ``mean_intervals`` holds the
        90 % confidence interval of each mean (by Student's t, of the ratio by the delta method), ``intervals`` the
        90 % predictive interval: where the bill of one run lies.
    """
    return aggregate_bills_of_each({name: values[np.newaxis] for name, values in figures.items()}, currency)[0]


def aggregate_bills_of_each(figures: Figures, currency: str) -> list[dict[str, Any]]:
    """`aggregate_bills` of each setting, from figures of shape ``(settings, replications)``."""
    means = {name: _mean(figures[name]) for name in ("amount", "per_month", "stays_per_hour")}
    means |= {name: _mean(values) for name, values in figures.items() if name.startswith("parts.")}
    responses = figures["responses"].sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        means["per_1000"] = np.where(responses, figures["amount"].sum(axis=1) * 1000 / responses, np.nan)
        # What a run costs beyond what its responses cost on average tells how sure the ratio is.
        beyond = figures["amount"] * 1000 - means["per_1000"][:, np.newaxis] * figures["responses"]
        errors = {name: half_width(figures[name], 0.95) for name in ("amount", "per_month")}
        errors["per_1000"] = half_width(beyond, 0.95) * beyond.shape[1] / responses
    of_means = {name: _intervals(means[name] - error, means[name] + error, _to_six) for name, error in errors.items()}
    of_runs = {}
    for name in ("amount", "per_1000", "per_month"):
        _, low, high = spread(figures[name])
        of_runs[name] = _intervals(low, high, functools.partial(numbers, name, digits=12))
    return [
        {
            **_written(dict(zip(means, values, strict=True)), currency),
            "mean_intervals": member(of_means, place),
            "intervals": member(of_runs, place),
        }
        for place, values in enumerate(zip(*(values.tolist() for values in means.values()), strict=True))
    ]


def _mean(values: Floats) -> Floats:
    """Means over replications, ``NaN`` where one of them lacks the figure: those that have it may not stand for all."""
    return np.asarray(values.mean(axis=1)) if values.shape[1] else np.full(len(values), np.nan)


def _to_six(values: Floats) -> list[float]:
    return [round(value, 6) for value in values.tolist()]


def _intervals(low: Floats, high: Floats, told: Callable[[Floats], Sequence[Any]]) -> list[list[Any] | None]:
    """Ends of intervals as they are told, ``None`` where there is none."""
    known = ~(np.isnan(low) | np.isnan(high))
    return [[*ends] if there else None for there, *ends in zip(known.tolist(), told(low), told(high), strict=True)]


def _written(figures: Mapping[str, float], currency: str) -> dict[str, Any]:
    """Figures rounded to a millionth, parts so that they add up to the amount."""
    amount = round(figures["amount"] * _MICRO)
    told = [part for part in PARTS if f"parts.{part}" in figures]
    exact = [figures[f"parts.{part}"] * _MICRO for part in told]
    parts = [int(value) for value in exact]
    # What rounding down left over, less than one for each part, goes to the parts that lost most.
    by_loss = sorted(range(len(told)), key=lambda i: parts[i] - exact[i])
    for i in by_loss[: amount - sum(parts)]:
        parts[i] += 1
    other = {name: figures[name] for name in ("per_1000", "per_month", "stays_per_hour")}
    return {
        "amount": amount / _MICRO,
        "currency": currency,
        **{name: None if np.isnan(value) else round(value, 6) for name, value in other.items()},
        "parts": {part: value / _MICRO for part, value in zip(told, parts, strict=True)},
    }


def _payers(tables: Tables, billing: Billing) -> tuple[Columns, Ints, Floats]:
    """What is billed: the table of pods or nodes, the row in it that each pod belongs to, and when billing begins."""
    pods = tables.pods
    if billing.per == "node":
        return tables.nodes, places(pods["node"], tables.nodes["node"]), tables.nodes["created_s"]
    rows = np.arange(pods["created_s"].size).reshape(pods["created_s"].shape)
    return pods, rows, _billed_from(pods, billing.bills_from)


def _billed_from(pods: Columns, bills_from: str) -> Floats:
    """When the billing of each pod begins, ``NaN`` where it never does."""
    if bills_from == "created":
        return pods["created_s"]
    return scheduled_from(pods) if bills_from == "scheduled" else machine_from(pods)


def _steps(lived: Floats, billing: Billing) -> Floats:
    """Seconds billed for seconds lived."""
    # A hair less than a whole step is one step: times carry float noise.
    started = np.ceil(np.round(lived / billing.granularity_s, 9))
    return np.maximum(started * billing.granularity_s, billing.minimum_s)


def _whole(tables: Tables, prices: Mapping[str, Price], billing: Billing, horizon: Floats) -> Figures:
    """Money spent from the start of the load to ``horizon`` [s, one per run], in whole and in parts."""
    pods = tables.pods
    payers, payer_of_pod, start = _payers(tables, billing)
    end = horizon[:, np.newaxis]
    with np.errstate(invalid="ignore"):
        counted = (start < end) & ~(payers["gone_s"] <= 0.0)
        low = np.where(counted, np.maximum(start, 0.0), np.inf)
        high = np.where(counted, np.maximum(np.fmin(payers["gone_s"], end), low), -np.inf)
        seconds = np.where(counted, _steps(np.where(counted, high - low, 0.0), billing), 0.0)

    working = work_of(tables.requests, pods)
    if billing.per == "node":
        payer_of, pods_of = np.append(payer_of_pod, -1), working.payers
        working = working._replace(payers=lambda some: payer_of[pods_of(some)])
    asked = np.fmin(pods["delete_requested_s"], pods["gone_s"])
    pod_start = start if billing.per == "pod" else scheduled_from(pods)
    starting = [(payer_of_pod, pod_start, np.fmin(pods["ready_s"], asked))]
    if billing.per == "node":
        every = np.arange(low.size).reshape(low.shape)
        starting.append((every, start, payers["ready_s"]))
    draining = (payer_of_pod, asked, pods["gone_s"])

    worked = covered(working, low, high)
    start_up, drain = merged(starting, low, high), merged([draining], low, high)
    # Where nothing starts or drains, work makes no difference between these.
    beside = merged([_beside(working, start_up, drain)], low, high)
    with_start = together(beside, start_up)
    with_drain = together(with_start, drain)
    spans = {
        "working": worked,
        "idle": np.maximum(seconds - worked - (with_drain.lengths() - beside.lengths()), 0.0),
        "starting": np.maximum(with_start.lengths() - beside.lengths(), 0.0),
        "draining": np.maximum(with_drain.lengths() - with_start.lengths(), 0.0),
    }
    rate = _rates(payers, prices)
    money = {f"parts.{name}": row_sums(span * rate) for name, span in spans.items()}
    return {"amount": np.sum(list(money.values()), axis=0), **money}


def _beside(working: Stretches, start_up: Merged, drain: Merged) -> Spans:
    """The work that may go on while its payer, or a pod on it, starts or drains."""
    until, since = (np.full(math.prod(start_up.shape) + 1, value) for value in (-np.inf, np.inf))
    np.maximum.at(until, start_up.payers, start_up.ends)
    np.minimum.at(since, drain.payers, drain.begins)
    found = []
    for some in parts(working.rows):
        payers, begins, ends = working.spans(some)
        near = np.flatnonzero((begins < until[payers]) | ~(ends <= since[payers]))
        found.append((payers[near], begins[near], ends[near]))
    every_payer, every_begin, every_end = zip(*found, strict=True)
    return np.concatenate(every_payer), np.concatenate(every_begin), np.concatenate(every_end)


def _within(
    tables: Tables,
    prices: Mapping[str, Price],
    billing: Billing,
    stretch_s: tuple[float, float],
    horizon: Floats,
) -> Floats:
    """Money spent within a stretch of each run: what pods and nodes are billed for, as far as it falls into it.

    A run may end before the stretch does, with the last response of its load: pods that are there then stay.
    """
    payers, _, start = _payers(tables, billing)
    last = np.maximum(horizon, stretch_s[1])[:, np.newaxis]
    with np.errstate(invalid="ignore"):
        until = start + _steps(np.fmin(payers["gone_s"], last) - start, billing)
        seconds = np.minimum(until, stretch_s[1]) - np.maximum(start, stretch_s[0])
    return row_sums(np.maximum(np.nan_to_num(seconds), 0.0) * _rates(payers, prices))


def _rates(payers: Columns, prices: Mapping[str, Price]) -> Floats:
    """Price of a second of each pod or node.

    Raises:
        RunError: One has no price.
    """
    there = ~np.isnan(payers["created_s"])
    types = payers.get("instance_type", np.full(there.shape, ""))
    only = 0 if len(prices) == 1 else -1
    if types.dtype.kind in "iu":
        index = np.where(types >= 0, types, only)
    else:
        names, inverse = np.unique(types, return_inverse=True)
        places = {"": only} | {name: i for i, name in enumerate(prices)}
        index = np.array([places.get(name, -1) for name in names.tolist()], dtype=np.int64)[inverse]
        index = index.reshape(there.shape)
    missing = (index < 0) & there
    if missing.any():
        name = str(types[missing][0])
        what = "a pod without an instance type" if name in ("", "-1") else name
        raise RunError(f"cost: no price for {what} (give its price-per-hour)")
    per_second = np.array([*(price.per_hour / 3600 for price in prices.values()), 0.0])
    return per_second[np.where(there, index, len(prices))]
