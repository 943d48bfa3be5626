"""What a run costs, from its tables.

Each pod (or each node) is billed by its instance type from the moment billing starts until it is gone, in started steps
of a granularity and at least for a minimum. The money is split by what it bought:

- *working*: at least one request was being served,
- *starting*: not yet ready and serving nothing,
- *draining*: asked to go and serving nothing,
- *idle*: the rest, what rounding up adds included.

The parts of one run add up to its amount exactly. Only the time between the start of the load and the end of the run is
billed: a pod that was there before costs from the start of the load on, one that outlives the run until its end.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kpasim.errors import RunError
from kpasim.results.frames import Columns
from kpasim.results.summary import Figures, aggregate
from kpasim.results.tables import Tables

PARTS = ("working", "idle", "starting", "draining")
MONTH_S = 730 * 3600.0
"""A month as cloud providers count it, 730 hours."""

_MICRO = 1_000_000


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


@dataclass(frozen=True)
class Billing:
    """How a provider counts.

    Attributes:
        per: Whether pods or the nodes they run on are billed.
        bills_from: When billing of a pod begins: at its creation, when it has its machine, or with its image pull.
            Nodes are billed from their creation.
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
) -> dict[str, Any]:
    """What one run costs.

    Args:
        tables: One run. Pods' ``instance_type`` names their price; where only one price is given it is everyone's.
        prices: By instance type.
        billing: How the provider counts.
        horizon_s: End of the run.
        steady_s: Of a steady or periodic workload, the stretch (from, to) that goes on all month.

    Returns:
        ``amount``, ``currency``, ``per_1000`` successful requests (``None`` without one), ``per_month`` (``None``
        without ``steady_s``), and ``parts``, which add up to the amount to the last of their six decimals.

    Raises:
        RunError: A type has no price, or currencies are mixed.
    """
    many = Tables(**{t.name: {k: c[np.newaxis] for k, c in getattr(tables, t.name).items()} for t in fields(Tables)})
    figures = bill_many(many, prices, billing, horizon_s=horizon_s, steady_s=steady_s)
    return _written({name: float(values[0]) for name, values in figures.items()}, currency_of(prices))


def bill_many(
    tables: Tables,
    prices: Mapping[str, Price],
    billing: Billing = Billing(),
    *,
    horizon_s: ArrayLike,
    steady_s: tuple[float, float] | None = None,
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

    Returns:
        ``amount``, ``per_1000``, ``per_month`` and ``parts.working`` to ``parts.draining``, one value per run.
    """
    currency_of(prices)
    runs = len(tables.requests["start_s"])
    horizon = np.broadcast_to(np.asarray(horizon_s, dtype=np.float64), (runs,))
    figures = _window(tables, prices, billing, np.zeros(runs), horizon)
    status = tables.requests["status"]
    ok = ((status >= 200) & (status < 300) & ~np.isnan(tables.requests["latency_s"])).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        figures["per_1000"] = np.where(ok > 0, figures["amount"] * 1000 / ok, np.nan)
    figures["per_month"] = np.full(runs, np.nan)
    if steady_s is not None:
        begin, end = np.full(runs, float(steady_s[0])), np.full(runs, float(steady_s[1]))
        figures["per_month"] = _window(tables, prices, billing, begin, end)["amount"] * MONTH_S / (end - begin)
    return figures


def aggregate_bills(figures: Figures, currency: str) -> dict[str, Any]:
    """Many replications' bills as one: medians, 90 % intervals, and parts.

    The medians of parts would not add up to the median amount; so the median amount is split as all replications'
    money together was.

    Args:
        figures: What `bill_many` returned.
        currency: The prices' currency.

    Returns:
        As `bill`, and ``intervals`` for ``amount``, ``per_1000`` and ``per_month``.
    """
    whole = {name: figures[name] for name in ("amount", "per_1000", "per_month")}
    medians, intervals, _, _ = aggregate(whole, digits=12)
    amount = medians["amount"] or 0.0
    spent = {part: float(np.nansum(figures[f"parts.{part}"])) for part in PARTS}
    together = sum(spent.values())
    flat = {name: float("nan") if value is None else value for name, value in medians.items()}
    flat |= {f"parts.{part}": amount * money / together if together else 0.0 for part, money in spent.items()}
    return {**_written(flat, currency), "intervals": intervals}


def _written(figures: Mapping[str, float], currency: str) -> dict[str, Any]:
    """Figures rounded to a millionth, parts so that they add up to the amount."""
    amount = round(figures["amount"] * _MICRO)
    exact = [figures[f"parts.{part}"] * _MICRO for part in PARTS]
    parts = [int(value) for value in exact]
    # What rounding down left over, less than one for each part, goes to the parts that lost most.
    by_loss = sorted(range(len(PARTS)), key=lambda i: parts[i] - exact[i])
    for i in by_loss[: amount - sum(parts)]:
        parts[i] += 1
    other = {name: figures[name] for name in ("per_1000", "per_month")}
    return {
        "amount": amount / _MICRO,
        "currency": currency,
        **{name: None if np.isnan(value) else round(value, 6) for name, value in other.items()},
        "parts": {part: value / _MICRO for part, value in zip(PARTS, parts, strict=True)},
    }


def _window(
    tables: Tables,
    prices: Mapping[str, Price],
    billing: Billing,
    begin: NDArray[np.float64],
    end: NDArray[np.float64],
) -> Figures:
    """Money spent between ``begin`` and ``end`` [s, one per run], in whole and in parts."""
    pods = tables.pods
    flat_pods = np.arange(pods["created_s"].size).reshape(pods["created_s"].shape)
    if billing.per == "pod":
        payers, payer_of_pod = pods, flat_pods
        pod_start = payer_start = _billed_from(pods, billing.bills_from)
    else:
        payers, payer_of_pod = tables.nodes, _places(pods["node"], tables.nodes["node"])
        pod_start, payer_start = _billed_from(pods, "scheduled"), payers["created_s"]
    seconds, low, high = _billed(payer_start, payers["gone_s"], begin[:, np.newaxis], end[:, np.newaxis], billing)

    pod_of_request = _places(tables.requests["pod"], pods["pod"])
    payer_of_request = np.append(payer_of_pod, -1)[pod_of_request]
    working = (payer_of_request, tables.requests["server_start_s"], _or_never(tables.requests["server_end_s"]))
    asked = np.fmin(pods["delete_requested_s"], pods["gone_s"])
    starting = [(payer_of_pod, pod_start, _or_never(np.fmin(pods["ready_s"], asked)))]
    if billing.per == "node":
        every = np.arange(low.size).reshape(low.shape)
        starting.append((every, payer_start, _or_never(payers["ready_s"])))
    draining = (payer_of_pod, asked, _or_never(pods["gone_s"]))

    worked = _covered([working], low, high)
    with_start = _covered([working, *starting], low, high)
    with_drain = _covered([working, *starting, draining], low, high)
    spans = {
        "working": worked,
        "idle": np.maximum(seconds - with_drain, 0.0),
        "starting": np.maximum(with_start - worked, 0.0),
        "draining": np.maximum(with_drain - with_start, 0.0),
    }
    rate = _rates(payers, prices)
    parts = {f"parts.{part}": (span * rate).sum(axis=1) for part, span in spans.items()}
    return {"amount": np.sum(list(parts.values()), axis=0), **parts}


def _or_never(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times at which something ended, infinity where it did not."""
    return np.nan_to_num(times, nan=np.inf)


def _billed_from(pods: Columns, bills_from: str) -> NDArray[np.float64]:
    """When the billing of each pod begins, ``NaN`` where it never does.

    A run that does not say when its pods were scheduled or pulled bills them from their creation, and so is a pod that
    became ready without a pull of its own.
    """
    result = pods["created_s"]
    for stage in {"created": (), "scheduled": ("scheduled_s",), "pull": ("scheduled_s", "pull_s")}[bills_from]:
        if stage in pods:
            result = np.where(np.isnan(pods[stage]) & ~np.isnan(pods["ready_s"]), result, pods[stage])
    return result


def _billed(
    start: NDArray[np.float64],
    gone: NDArray[np.float64],
    begin: NDArray[np.float64],
    end: NDArray[np.float64],
    billing: Billing,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Seconds billed to each pod or node within the window, and the stretch of it in which it was really there."""
    with np.errstate(invalid="ignore"):
        lived = np.maximum(gone - start, 0.0)
        # A hair less than a whole step is one step: times carry float noise.
        steps = np.ceil(np.round(lived / billing.granularity_s, 9)) * billing.granularity_s
        over = gone <= end
        paid_until = np.where(over, start + np.maximum(steps, billing.minimum_s), end)
        low = np.maximum(start, begin)
        high = np.maximum(np.where(over, gone, end), low)
        seconds = np.maximum(paid_until - low, 0.0)
        # Nothing for what begins after the window or was over before it.
        counted = (start < end) & ~(over & (gone <= begin))
    return np.where(counted, seconds, 0.0), np.where(counted, low, np.inf), np.where(counted, high, -np.inf)


Spans = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
"""Stretches of time: the payer each belongs to (-1: none), its begin and its end."""


def _covered(spans: Sequence[Spans], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each payer, how long at least one of the stretches was going on between its ``low`` and ``high``."""
    if low.size == 0:
        return np.zeros(low.shape)
    payers = np.concatenate([span[0].ravel() for span in spans])
    # A stretch without a begin (NaN) did not happen: the comparison drops it.
    start = np.maximum(np.concatenate([span[1].ravel() for span in spans]), low.ravel()[payers])
    end = np.minimum(np.concatenate([span[2].ravel() for span in spans]), high.ravel()[payers])
    kept = (payers >= 0) & (end > start)
    payers, start, end = payers[kept], start[kept], end[kept]
    if len(payers) == 0:
        return np.zeros(low.shape)
    # Payers are laid out one after the other on one time axis: then a running maximum of ends finds all overlaps.
    room = float(end.max() - start.min()) + 1.0
    shift = payers * room - start.min()
    order = np.lexsort((start, payers))
    begins, ends = (start + shift)[order], np.maximum.accumulate((end + shift)[order])
    before = np.concatenate([[-np.inf], ends[:-1]])
    gained = np.maximum(ends - np.maximum(begins, before), 0.0)
    return np.bincount(payers[order], gained, minlength=low.size).astype(np.float64).reshape(low.shape)


def _places(names: NDArray[Any], among: NDArray[Any]) -> NDArray[np.int64]:
    """Where each run's names stand in a table of shape ``(runs, rows)``, as places in it laid flat; -1: nowhere."""
    runs, rows = among.shape
    result = np.full(names.shape, -1)
    for run in range(runs if rows else 0):
        if names.dtype.kind in "iu":
            found, here = names[run], names[run] >= 0
        else:
            order = np.argsort(among[run], kind="stable")
            place = np.searchsorted(among[run], names[run], sorter=order)
            found = order[np.minimum(place, rows - 1)]
            here = among[run][found] == names[run]
        result[run] = np.where(here, found + run * rows, -1)
    return result


def _rates(payers: Columns, prices: Mapping[str, Price]) -> NDArray[np.float64]:
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
