"""The answer of a run in a few lines: what failed, whether SLOs are met, what users wait, what it costs, what ran."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kpasim.results.cost import PART_WORDS
from kpasim.results.display import counted, figure, number, percent, seconds, span, with_interval
from kpasim.results.failures import cut_load
from kpasim.results.spans import machine_from
from kpasim.results.tables import Tables
from kpasim.spec.experiment import Experiment
from kpasim.spec.scaling import Other
from kpasim.spec.workload import Words, Workload

MANY = 0.01
"""Share of failed requests from which on they come first."""
WORTH_SAYING = 0.005
"""Share of the money below which a part is not named."""
ERROR, WARNING = "error", "warning"


class Line(NamedTuple):
    """One line of an answer.

    Attributes:
        label: What it is about, empty where the text says so itself.
        text: The sentence.
        level: How grave it is: ``error``, ``warning``, ``good``, or empty.
    """

    label: str
    text: str
    level: str = ""


class Facts(NamedTuple):
    """What an answer is made of.

    Attributes:
        medians: Figures by dotted name, ``None`` where the run has none.
        intervals: Their 90 % intervals; empty for a single run.
        runs: How many runs the medians are of.
        money: As `kpasim.results.cost.aggregate_bills`, ``None`` without prices.
        experiment: What ran, ``None`` where that is not known.
        no_month: Why there is no cost per month; empty where there is one.
        assumed_prices: Which prices the user did not give; empty where there are none.
    """

    medians: Mapping[str, Any]
    intervals: Mapping[str, Any]
    runs: int
    money: Mapping[str, Any] | None
    experiment: Experiment | None
    no_month: str = ""
    assumed_prices: str = ""

    def whole(self, name: str) -> int:
        """A count as a whole number, 0 where the run does not have it."""
        return math.floor(self.medians.get(name) or 0)

    @property
    def in_flight(self) -> int:
        """Requests in flight at the end: those that neither succeeded nor failed, so that the counts add up."""
        if not self.whole("in_flight"):
            return 0
        return max(0, self.whole("requests") - self.whole("ok") - self.whole("errors"))

    def said(self, name: str, unit: str = "") -> str:
        """A figure with its interval in brackets."""
        return with_interval(figure(name, self.medians.get(name)), span(self.intervals.get(name), name), unit)


def troubles(facts: Facts) -> list[Line]:
    """What went wrong: the load was cut, requests failed, requests were in flight at the end; the gravest first."""
    return [line for line in (_cut(facts), _failed(facts), _in_flight(facts)) if line]


def failures_come_first(facts: Facts) -> bool:
    """Whether so much went wrong that it is the first thing to say."""
    return any(line.level == ERROR for line in troubles(facts))


def waits(facts: Facts) -> Line:
    """How long users wait."""
    requests, ok = facts.whole("requests"), facts.whole("ok")
    if not requests:
        return Line("Wait", "no request was sent")
    if facts.medians.get("latency_s.p50") is None:
        return Line("Wait", f"none of {counted(requests, 'request')} succeeded", ERROR)
    parts = [f"{name} {facts.said(f'latency_s.{name}', 's')}" for name in ("p50", "p95", "max")]
    of = f", of the {ok:,} successes" if ok < requests else ""
    return Line("Wait", f"{', '.join(parts)}{of}")


def costs(facts: Facts) -> Line:
    """What the run and a month cost."""
    money = facts.money
    if not money:
        return Line("Cost", "not known: give a price-per-hour to each of cluster.instance-types")
    currency, between = money.get("currency") or "", money.get("intervals") or {}

    def amount(name: str) -> str:
        return with_interval(number(money[name]), span(between.get(name)), currency)

    parts = [f"{amount('amount')} for this run"]
    if money.get("per_month") is not None:
        load = facts.medians.get("requests_per_day")
        parts.insert(0, f"{amount('per_month')} a month" + (f" for {load:,.0f} requests a day" if load else ""))
    if money.get("per_1000") is not None:
        parts.append(f"{number(money['per_1000'])} {currency} per 1,000 requests")
    if money.get("stays_per_hour"):
        parts.append(f"pods and nodes that stay cost {number(money['stays_per_hour'])} {currency} an hour")
    if facts.assumed_prices:
        parts.append(f"assumed: {facts.assumed_prices}")
    return Line("Cost", ", ".join(parts))


def spent_on(money: Mapping[str, Any]) -> str:
    """What the money is spent on, the largest part first."""
    parts: Sequence[tuple[str, float]] = sorted(money["parts"].items(), key=lambda part: -part[1])
    total = sum(amount for _, amount in parts)
    if not total > 0:
        return ""
    shares = [(f"{PART_WORDS.get(name, name)} pods", amount / total) for name, amount in parts]
    return ", ".join(f"{percent(share)} {name}" for name, share in shares if share >= WORTH_SAYING)


def pods(facts: Facts, tables: Tables | None = None) -> Line:
    """How many pods there were, who waited for them, and how busy they were."""
    parts = [f"at most {facts.said('max_pods')}", counted(facts.whole("cold_starts"), "cold start")]
    if tables is not None and (without := _without_machine(tables)):
        parts.append(f"{counted(without, 'pod')} of the run shown never got a machine")
    if facts.medians.get("cold_start_share") is not None:
        parts.append(f"{percent(facts.medians['cold_start_share'])} of requests waited for a cold start")
    if facts.medians.get("gpu_utilisation") is not None:
        parts.append(f"pods busy {percent(facts.medians['gpu_utilisation'])} of their time")
    return Line("Pods", "; ".join(parts))


def ran(facts: Facts) -> Line:
    """What was simulated: load, model and start state."""
    experiment = facts.experiment
    if experiment is None:
        return Line("Ran", counted(facts.runs, "run"))
    model = experiment.model
    named = f"model {model.name}" if model.name else "a model of its own"
    named += " (provisional)" if model.provisional else ""
    start = {"warm": "warm pods", "idled": "scaled to zero", "zero": "a new revision without a pod"}
    state = start[experiment.start.state]
    return Line("Ran", f"{load_words(experiment.workload)}; {named}; start: {state}; {counted(facts.runs, 'run')}")


def story(facts: Facts, tables: Tables) -> list[str]:
    """What happened in a run, in a few sentences; what went wrong is said by `troubles`."""
    zero = facts.medians.get("replicas_zero_after_last_s")
    when = "not scaled to zero before the end of the run"
    if zero is not None:
        when = f"scaled to zero {seconds(zero)} after the last response"
    sentences = [_waiting(facts), _scaling(facts, tables), f"The service was {when}.", _paying(facts)]
    if facts.whole("requests") and not troubles(facts):
        sentences.insert(1, "No request failed.")
    return [sentence for sentence in sentences if sentence]


def _waiting(facts: Facts) -> str:
    requests, ok = facts.whole("requests"), facts.whole("ok")
    if not requests or facts.medians.get("latency_s.p50") is None:
        return f"{waits(facts).text.capitalize()}."
    half = f"within {facts.said('latency_s.p50', 's')}"
    if ok < requests:
        text = f"{ok:,} of {requests:,} requests succeeded ({percent(ok / requests)}), half of these {half}"
    else:
        text = f"All of {counted(requests, 'request')} succeeded, half of them {half}"
    if ok >= 20:
        text += f", 95 % within {facts.said('latency_s.p95', 's')}"
    return f"{text}; the max is {facts.said('latency_s.max', 's')}."


def _scaling(facts: Facts, tables: Tables) -> str:
    most, started = facts.whole("max_pods"), facts.whole("cold_starts")
    text = f"At most {counted(most, 'pod')} existed at a time"
    if without := _without_machine(tables):
        text += f" ({without:,} of the pods of the run shown never got a machine)"
    text += f"; {counted(started, 'pod')} started under load"
    if started and facts.medians.get("cold_start_share") is not None:
        text += f", and {percent(facts.medians['cold_start_share'])} of requests waited for a pod to start"
    if facts.medians.get("panic_entered_s") is not None:
        text += f". Panic mode began {facts.said('panic_entered_s', 's')} after the load started"
    waits = (tables.pods["ready_s"] - tables.pods["created_s"])[tables.pods["created_s"] >= 0]
    waits = waits[~np.isnan(waits)]
    if len(waits):
        shown = " of the run shown" if facts.runs > 1 else ""
        text += f". A new pod{shown} took {seconds(float(np.median(waits)))} to become ready"
        if len(waits) > 1:
            text += f" (median of {len(waits):,}, {seconds(float(waits.min()))} to {seconds(float(waits.max()))})"
    return f"{text}."


def _without_machine(tables: Tables) -> int:
    """How many pods of a run never got a machine."""
    return int(np.isnan(machine_from(tables.pods)).sum())


def _paying(facts: Facts) -> str:
    if not facts.money:
        return ""
    text = f"Cost: {costs(facts).text}."
    if facts.no_month:
        text += f" No cost per month: {facts.no_month}."
    spent = spent_on(facts.money)
    return f"{text} Of the money: {spent}." if spent else text


def _cut(facts: Facts) -> Line | None:
    never = facts.medians.get("never_sent", 0)
    counts = {"never_sent": never and math.floor(never), "requests": facts.whole("requests")}
    horizon_s = facts.experiment.horizon_s if facts.experiment else None
    text = cut_load({**counts, "in_flight": facts.in_flight}, horizon_s)
    return Line("", f"{text[0].upper()}{text[1:]}", ERROR) if text else None


def _failed(facts: Facts) -> Line | None:
    errors, requests = facts.whole("errors"), facts.whole("requests")
    if not errors or not requests:
        most = (facts.intervals.get("errors") or [0, 0])[1] or 0
        if not most or not requests:
            return None
        return Line("Failed", f"no request in most runs, up to {most:,.0f} in some", WARNING)
    share = errors / requests
    kinds = _kinds(facts, errors)
    if len(kinds) == 1:
        text = f"{percent(share)} of requests {kinds[0][0]}"
    else:
        listed = ", ".join(f"{percent(count / requests)} {what}" for what, count in kinds)
        text = f"{percent(share)} of requests failed{f': {listed}' if listed else ''}"
    interval = span(facts.intervals.get("errors"), "errors")
    between = f"; {interval}" if interval and interval != f"{errors:,}" else ""
    return Line("", f"{text} ({errors:,} of {requests:,}{between})", ERROR if share >= MANY else WARNING)


def _kinds(facts: Facts, errors: int) -> list[tuple[str, float]]:
    """How requests failed and how many, the most frequent first."""
    experiment = facts.experiment
    timeout = experiment.workload.timeout_s if experiment else 0.0
    whose = "hey's" if experiment and experiment.workload.kind == "hey" else "the client's"
    limit = ""
    if experiment:
        start_s, timeout_s = experiment.service.response_start_timeout_s, experiment.service.timeout_s
        limit = f" (timeoutSeconds {timeout_s:g})"
        if start_s is not None and start_s < timeout_s:
            limit = f" (responseStartTimeoutSeconds {start_s:g})"
    of_another = experiment is not None and isinstance(experiment.scaling, Other)
    refused = "no pod was ready, or a queue was full" if of_another else "queue full"
    words = {
        "failed.client_timeout": f"timed out after {whose} {seconds(timeout)}"
        if timeout
        else "timed out at the client",
        "failed.502": "failed with status 502 (the pod stopped)",
        "failed.503": f"were refused with status 503 ({refused})",
        "failed.504": f"failed with status 504{limit}",
        "failed.other": "failed with another status",
    }
    found = [(what, float(facts.medians.get(name) or 0)) for name, what in words.items()]
    found = sorted(((what, count) for what, count in found if count), key=lambda one: -one[1])
    return found[:1] if found and found[0][1] >= errors else found


def _in_flight(facts: Facts) -> Line | None:
    waiting, requests = facts.in_flight, facts.whole("requests")
    if not waiting or (facts.medians.get("never_sent") or 0) > 0:
        return None
    text = (
        f"{waiting:,} of {counted(requests, 'request')} in flight at the end of the run, neither succeeded nor failed"
    )
    return Line("", text, WARNING)


def setting(experiment: Experiment) -> str:
    """A sentence about the load, the service, and the start state."""
    limit = experiment.service.container_concurrency
    each = f"{counted(limit, 'request')} at a time" if limit else "any number of requests at a time"
    begun = {"warm": "pods are warm", "idled": "the service is scaled to zero", "zero": "a new revision has no pod yet"}
    text = f"{load_words(experiment.workload)}. Each pod takes {each}; "
    return f"{text[0].upper()}{text[1:]}{begun[experiment.start.state]} when the load starts."


def load_words(load: Workload) -> str:
    """What the clients did: ``5 hey clients, 50 requests``, ``poisson arrivals, 0.5/s for 30 min``."""
    length_s = getattr(load, "duration_s", None) or load.length_s
    lasted = f" for {seconds(length_s)}" if length_s else ""
    limit = f", client timeout {seconds(load.timeout_s)}" if load.timeout_s else ""
    return f"{load.in_words(Words(rate, seconds, counted))}{lasted}{limit}"


def rate(per_s: float) -> str:
    """A rate in the unit that people would choose: ``2/s``, ``18/h``, ``500/day``."""
    for least, length_s, unit in ((0.1, 1, "s"), (1 / 600, 60, "min"), (1 / 36_000, 3600, "h")):
        if per_s >= least or not per_s:
            return f"{number(per_s * length_s, 3)}/{unit}"
    return f"{number(per_s * 86_400, 3)}/day"
