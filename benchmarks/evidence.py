"""The figures in the prose of docs/fidelity.md and docs/known-differences.md, counted from the recorded runs.

    python benchmarks/evidence.py

counts each in ``tests/real_runs``, or predicts the runs that it is about, prints the words that it belongs to, and says
which of them do not stand on their page. The exit status is 1 where there are any.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import fidelity
from benchmarks.pages import ROOT
from kpasim.engines import lower
from kpasim.engines.params import SECOND_NS, TICK_NS
from kpasim.policy import routing, scraping
from kpasim.results.summary import summarise
from kpasim.results.tables import Tables, read_run_folder
from kpasim.studies.compare import Comparison, compare
from kpasim.studies.measured import clocks
from kpasim.studies.measured.align import tick_phase_s
from kpasim.studies.measured.described import begun, experiment_of
from tests.real_runs import folder, names

FIDELITY, DIFFERENCES = "docs/fidelity.md", "docs/known-differences.md"

TICK_S = TICK_NS / SECOND_NS

Words = Iterator[tuple[str, str]]
"""Pages, and words with figures that stand there."""

FREE_S = 0.05
"""A pod counts as free, and a request as one that waits, if it has been so for this long and goes on to be."""
SEEN_S = 0.05
"""How long after its readiness an ingress in line sends requests to a pod."""
ENVOY_SEES_S = 0.08
"""Likewise Envoy."""
SHORT_ENVOY = ("s1-warm-envoylr-tbc0-a", "s2-warm-envoylr-tbc0-b")
"""Runs of fifty requests through Envoy's least request."""
OTHERS_WAIT = 3
"""Requests that wait beside a slot that is given to a newcomer."""


@cache
def read(name: str) -> tuple[dict[str, Any], Tables]:
    """The run.json and the tables of a recorded run."""
    run, tables, _ = read_run_folder(folder(name))
    return run, tables


def span(values: list[float], digits: int = 0) -> str:
    """The least and the greatest of some numbers."""
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return f"{low} to {high}" if low != high else low


def at(table: dict[str, Any], near_s: float, column: str) -> float:
    """What a column of ticks holds at the tick nearest to a time."""
    return float(table[column][int(np.argmin(np.abs(table["t_s"] - near_s)))])


def ticks_begin_s(tables: Tables) -> float:
    """From the first object of the revision to the beginning of the ticks' clock [s], modulo its period."""
    return float((tick_phase_s(tables.ticks["t_s"]) - tables.scaling["t_s"][0]) % TICK_S)


# What was measured.


def order_of_addresses() -> Words:
    """At each arrival at a pod: the pod chosen, and every other that was free."""
    runs, count, against = 0, 0, 0
    for name in names():
        run, tables = read(name)
        how = routing.policy(run["service"]["containerConcurrency"])
        if run["path"] != "activator" or how != routing.FIRST_AVAILABLE:
            continue
        requests, pods = tables.requests, tables.pods
        leaves_s = dict(zip(pods["pod"], np.nan_to_num(pods["delete_requested_s"], nan=np.inf), strict=True))
        idle_since_s: dict[str, float] = {}
        pairs: Counter[tuple[str, str]] = Counter()
        for place in np.argsort(requests["server_arrival_s"], kind="stable"):
            chosen, now_s = requests["pod"][place], requests["server_arrival_s"][place]
            for other, since_s in idle_since_s.items():
                if other != chosen and since_s + FREE_S < now_s < leaves_s[other] - FREE_S:
                    pairs[chosen, other] += 1
            idle_since_s[chosen] = max(idle_since_s.get(chosen, -np.inf), requests["server_end_s"][place])
        runs += bool(pairs)
        count += pairs.total()
        against += least_against(pairs)
    yield (
        FIDELITY,
        f"of {count:,} pairs of a chosen pod and one that had been free for 50 ms in {runs} runs, {against} contradict "
        "one fixed order of the pods",
    )


def least_against(pairs: Counter[tuple[str, str]]) -> int:
    """Pairs of a chosen pod and another that contradict the order of the pods that the fewest contradict.

    Raises:
        graphlib.CycleError: What most choices say of each two pods is no order.
    """
    before = {(one, other) for one, other in pairs if pairs[one, other] > pairs[other, one]}
    order = TopologicalSorter[str]()
    for one, other in before:
        order.add(other, one)
    order.prepare()
    return sum(min(count, pairs[other, one]) for (one, other), count in pairs.items() if one < other)


def ingress_counter() -> Words:
    """The one order of the pods, and the one beginning of the counter, that most of the first requests follow."""
    _, tables = read("s5-step1to8-ing-tbc0")
    requests, pods, first = tables.requests, tables.pods, 200
    chosen = requests["pod"][:first]
    ready_s, leaves_s = (dict(zip(pods["pod"], pods[name], strict=True)) for name in ("ready_s", "delete_requested_s"))
    turn = list(dict.fromkeys(chosen[-8:]))
    most = 0
    for begin in range(len(turn)):
        order = turn[begin:] + turn[:begin]
        seen = [
            [pod for pod in order if ready_s[pod] + SEEN_S <= now_s and not leaves_s[pod] + SEEN_S <= now_s]
            for now_s in requests["start_s"][:first]
        ]
        for count in range(int(np.lcm.reduce(range(1, len(turn) + 1)))):
            follow = sum(pods[(count + k) % len(pods)] == chosen[k] for k, pods in enumerate(seen))
            most = max(most, follow)
    yield FIDELITY, f"{most} of the first {first} requests of `s5-step1to8-ing-tbc0` follow one counter"


def autoscalers_clock() -> Words:
    """The phase of the ticks after the first object of the revision."""
    after_s = {name: round(ticks_begin_s(read(name)[1]), 3) for name in names()}
    usual = [one for one in after_s.values() if one <= 0.08]
    idled = [name for name in after_s if read(name)[0]["start"] == "idled"]
    back_s = max(-read(name)[1].scaling["t_s"][0] for name in idled)
    yield (
        FIDELITY,
        f"begins {1000 * min(usual):.0f} to 80 ms after the creation of the revision ({len(usual)} of {len(after_s)} "
        f"runs; up to {max(after_s.values()):.1f} s in the others), and its ticks keep their phase: so also in the "
        f"{len(idled)} runs whose revision had idled, up to {back_s:.0f} s after its creation",
    )
    assert all(after_s[name] in usual for name in idled)


@cache
def envoys_choices(name: str) -> tuple[int, int, float, float, float]:
    """Choices that Envoy's least request made among pods that were not equally busy.

    Returns:
        How many; how many of them went to a least busy pod; how many would if it drew two pods that may be the same;
        the variance of that; and how many if the two were always different.
    """
    _, tables = read(name)
    requests, pods = tables.requests, tables.pods
    order = np.argsort(requests["start_s"], kind="stable")
    start_s, chosen = requests["start_s"][order], requests["pod"][order]
    end_s = start_s + requests["latency_s"][order]
    choices, least, same, variance, different = 0, 0, 0.0, 0.0, 0.0
    for place, now_s in enumerate(start_s):
        seen = (pods["ready_s"] + ENVOY_SEES_S <= now_s) & ~(pods["delete_requested_s"] <= now_s)
        there = sorted({*pods["pod"][seen], chosen[place]})
        inside = chosen[:place][end_s[:place] > now_s]
        busy = np.array([np.sum(inside == pod) for pod in there])
        if busy.min() == busy.max():
            continue
        count, others = len(busy), int(np.sum(busy > busy.min()))
        share = 1 - (others / count) ** 2
        choices += 1
        least += bool(busy[there.index(chosen[place])] == busy.min())
        same += share
        variance += share * (1 - share)
        different += 1 - others * (others - 1) / (count * (count - 1))
    return choices, least, same, variance, different


def envoys_choice_of_pods() -> Words:
    """Choices of the run with many requests, and of the two with fifty."""
    long = "s3-cc10-c50-tbc0-envoylr"
    choices, least, same, _, different = envoys_choices(long)
    yield (
        FIDELITY,
        f"of {choices:,} choices among pods that were not equally busy (`{long}`) {least:,} went to a least busy one, "
        f"where {same:,.0f} are expected, and {different:,.0f} if the two were always different",
    )
    one, other = (envoys_choices(name) for name in SHORT_ENVOY)
    yield (
        FIDELITY,
        f"In two runs of fifty requests {one[1] + other[1]} of the {one[0] + other[0]} choices went to an idle pod, "
        f"where {one[2] + other[2]:.0f} would be expected",
    )


def a_lost_turn() -> Words:
    """Requests of the same pod that came later than the one with the longest latency, and were served before it."""
    requests = read("s3-cc10-c50-tbc0-envoylr")[1].requests
    longest, next_one = np.argsort(-requests["latency_s"])[:2]
    later = (requests["pod"] == requests["pod"][longest]) & (requests["start_s"] > requests["start_s"][longest])
    served = requests["server_arrival_s"] < requests["server_arrival_s"][longest]
    yield (
        FIDELITY,
        f"{int(np.sum(later & served))} requests that came to its pod later were served before it: "
        f"{requests['latency_s'][longest]:.1f} s, where {requests['latency_s'][next_one]:.1f} s was the next longest",
    )


def a_sample_of_pods() -> Words:
    """An average above the number of clients, which scaled out."""
    run, tables = read("s2-warm-ing-tbc0")
    ticks = tables.ticks
    pods = int(at(ticks, 74.557, "ready_pods"))
    yield (
        FIDELITY,
        f"the average of {run['workload']['concurrency']} clients read {at(ticks, 74.557, 'panic'):.2f}, since the "
        f"scraper asks {scraping.sample_size(pods):.0f} pods of {pods}",
    )


def two_numbers_in_one_second() -> Words:
    """Averages of five clients that count six, and what was late then."""
    averages = []
    for name, near_s in (("s4-min2", 22.255), ("s4-init3", 12.228)):
        _, tables = read(name)
        tick_s = at(tables.ticks, near_s, "t_s")
        called_for = (tables.pods["created_s"] > tick_s) & (tables.pods["created_s"] < tick_s + 0.05)
        assert np.sum(called_for) == 1
        averages.append(at(tables.ticks, near_s, "panic"))
    yield (
        FIDELITY,
        f"`s4-min2` got its sixth pod at a tick whose panic average is {averages[0]:.3f}, `s4-init3` its last at one "
        f"of {averages[1]:.3f}",
    )
    run, tables = read("s4-init3")
    late_s = (tables.ticks["t_s"] - tick_phase_s(tables.ticks["t_s"]) + 1.0) % 2.0 - 1.0
    yield FIDELITY, f"one tick is {1000 * late_s.max():.0f} ms late"
    experiment = experiment_of(run, tables)
    params = lower.lower(experiment, begun(run, tables))
    seen = clocks.seen_in(tables, experiment, params)
    (place_ns,) = fidelity.places_by_others(["s4-init3"])["s4-init3"]

    def wrong(phase_ns: int) -> float:
        return clocks.errors(seen, clocks.told_at(seen, phase_ns), [place_ns - phase_ns])[0]

    phase_ns = min(range(0, SECOND_NS, clocks.FINE_NS), key=wrong)
    # The report of the second before the window, which was counted as one of the window's first second.
    second = (round(tick_s * SECOND_NS) + place_ns - phase_ns) // SECOND_NS - params.panic_window_s
    due_s = second + phase_ns / SECOND_NS
    before_s = tables.pods["created_s"][tables.pods["created_s"] < due_s].max()
    yield FIDELITY, f"the report in question was due {1000 * (due_s - before_s):.0f} ms after a pod was made"


def two_scrapes_in_one_second() -> Words:
    """The average that stands out, and its neighbours."""
    ticks = read("s5-step1to8-ing-tbc0")[1].ticks
    before, there, after = (at(ticks, near_s, "panic") for near_s in (17.33, 19.33, 21.33))
    yield FIDELITY, f"the average at 19.3 s was {there:.2f}, between {before:.2f} and {after:.2f}"


def busy_runs() -> list[str]:
    """The runs on a busy machine."""
    return [name for name in names() if name.startswith("s3-cc") and "tbc0" not in name]


def busy_machine() -> Words:
    """How late responses reached the client, and who took the slots that others waited for."""
    calm: list[float] = []
    busy: list[float] = []
    many: list[float] = []
    few: list[float] = []
    taken = given = 0
    for name in (name for name in names() if name.startswith("s3") and "tbc0" not in name):
        run, tables = read(name)
        requests = tables.requests
        late_ms = 1000 * float(np.quantile(requests["start_s"] + requests["latency_s"] - requests["server_end_s"], 0.9))
        newcomers, slots = slots_of_newcomers(tables, OTHERS_WAIT)
        if name.startswith("s3-def"):
            calm.append(late_ms)
            # Where containers have no limit nothing waits but for the first pod.
            if run["service"]["containerConcurrency"]:
                taken, given = taken + newcomers, given + slots
            continue
        busy.append(late_ms)
        if run["service"]["containerConcurrency"]:
            (many if run["service"]["containerConcurrency"] == 10 else few).append(100.0 * newcomers / slots)
    yield (
        FIDELITY,
        f"responses reached the client {span(busy)} ms late at p90, in the `s3-def` runs {span(calm, 1)} ms",
    )
    yield (
        FIDELITY,
        f"newcomers took {span(many)} % of the slots of containers with ten of them, {span(few)} % of others, and "
        f"{taken or 'none'} of {given} in the `s3-def` runs",
    )


def slots_of_newcomers(tables: Tables, others_wait: int) -> tuple[int, int]:
    """Slots given while so many others waited, before and after: to newcomers, and altogether."""
    came_s, sent_s = tables.requests["start_s"], tables.requests["server_arrival_s"]
    waiting = np.array([np.sum((came_s < now_s - FREE_S) & (sent_s > now_s + FREE_S)) for now_s in sent_s])
    wanted = waiting >= others_wait
    return int(np.sum(wanted & (sent_s - came_s < FREE_S))), int(np.sum(wanted))


def longest_waits() -> Words:
    """Who lost slots in s4-min2, and how long they waited."""
    _, tables = read("s4-min2")
    newcomers, slots = slots_of_newcomers(tables, 1)
    waited_s = tables.requests["server_arrival_s"] - tables.requests["start_s"]
    last, second, third = np.argsort(-waited_s)[:3]
    yield (
        FIDELITY,
        f"{newcomers} of the {slots} slots that others waited for went to newcomers; requests "
        f"{tables.requests['id'][second]} and {tables.requests['id'][last]} waited {waited_s[second]:.1f} and "
        f"{waited_s[last]:.1f} s, where the longest of the others was {waited_s[third]:.1f} s",
    )


def pods_that_never_came_up() -> Words:
    """Pods that were not ready at the end of their life, long after they should have been."""
    found: dict[str, list[float]] = {}
    for name in names():
        run, tables = read(name)
        pods = tables.pods
        end_s = np.fmin(np.fmin(pods["delete_requested_s"], pods["gone_s"]), float(run["end_s"]))
        lived_s = (end_s - pods["created_s"])[np.isnan(pods["ready_s"])]
        overdue_s = [float(one) for one in lived_s if one > 2.0 * run["container"]["listens_after_s"]]
        if overdue_s:
            found[name] = overdue_s
    ((name, overdue_s),) = found.items()
    run, tables = read(name)
    yield (
        FIDELITY,
        f"(`{name}`). {len(overdue_s)} of its {len(tables.pods['pod'])} pods were not ready after {span(overdue_s)} s, "
        f"where containers open their port after {run['container']['listens_after_s']} s",
    )
    yield DIFFERENCES, f"{len(overdue_s)} pods in one of {len(names())} runs"


@cache
def scale_outs_took_s() -> dict[str, float]:
    """From the tick before the first scale-out to the object that shows it [s], of each run."""
    took_s = {}
    for name in names():
        run, tables = read(name)
        scaled_s = summarise(tables, float(run["end_s"]))["first_scale_out_s"]
        if scaled_s is not None:
            took_s[name] = float(scaled_s - tables.ticks["t_s"][tables.ticks["t_s"] <= scaled_s].max())
    return took_s


def slow_scale_outs() -> dict[str, float]:
    """Those that took much longer than usual."""
    return {name: took_s for name, took_s in scale_outs_took_s().items() if took_s > 0.1}


def slow_objects() -> Words:
    """Runs in which an object was written late."""
    slow, usual_s = slow_scale_outs(), float(np.median(list(scale_outs_took_s().values())))
    yield (
        FIDELITY,
        f"In {', '.join(f'`{name}`' for name in slow)} the first scale-out took {span(list(slow.values()), 2)} s from "
        f"the tick to the object, where {usual_s:.3f} s is usual",
    )


def a_threshold_met_exactly() -> Words:
    """The average that made a second pod, and the row that is decided otherwise."""
    ticks = read("s4-rps5")[1].ticks
    yield (
        FIDELITY,
        f"The panic average at {at(ticks, 6.346, 't_s'):.1f} s was {at(ticks, 6.346, 'panic'):.1f}, at a target of "
        f"{at(ticks, 6.346, 'target'):.1f}",
    )
    ended = int(np.flatnonzero(np.diff(ticks["panic_mode"]) == -1)[-1]) + 1
    called_s = ticks["t_s"][:ended][ticks["desired_panic"][:ended] >= 2 * ticks["ready_pods"][:ended]].max()
    yield FIDELITY, f"{ticks['t_s'][ended] - called_s:.3f} s after it was last called for"


def shared_arrivals() -> Words:
    """Runs of s4 that were sent requests at the same times, and how many in the busiest phase."""
    groups: dict[int, list[str]] = {}
    for name in names():
        run, tables = read(name)
        if name.startswith("s4") and run["workload"]["kind"] == "open-poisson":
            groups.setdefault(len(tables.requests["start_s"]), []).append(name)
    four, three = sorted((one for one in groups.values() if len(one) >= fidelity.ENOUGH), key=len, reverse=True)
    assert (len(four), len(three)) == (4, 3)
    many, fewer = busiest_phase(four), busiest_phase(three)
    yield (
        FIDELITY,
        f"Four runs have one and the same sequence of {many[0]} arrivals, with {many[1]} in the minute of "
        f"{many[2]:.0f} expected; three have another of {fewer[0]}, with {fewer[1]} of {fewer[2]:.0f} expected",
    )


def busiest_phase(members: list[str]) -> tuple[int, int, float]:
    """Arrivals of runs that share them: altogether, and in the phase that most are expected in; and how many are."""
    sent_s = np.array([read(name)[1].requests["start_s"] for name in members])
    assert np.ptp(sent_s, axis=0).max() < 0.1
    phases = read(members[0])[0]["workload"]["phases"]
    expected = [phase["rate_per_s"] * phase["duration_s"] for phase in phases]
    ends_s = np.cumsum([0.0, *(phase["duration_s"] for phase in phases)])
    busiest = int(np.argmax(expected))
    came, _ = np.histogram(sent_s[0], ends_s)
    return len(sent_s[0]), int(came[busiest]), expected[busiest]


def removed_at_once() -> Words:
    """The scale-down of s4-pt200-a."""
    _, tables = read("s4-pt200-a")
    asked_s = np.sort(tables.pods["delete_requested_s"][tables.pods["delete_requested_s"] >= 0])
    together = int(np.sum(asked_s < asked_s[0] + 1.0))
    pods = int(at(tables.ticks, asked_s[0], "ready_pods"))
    assert (together, pods) == (3, 6)
    yield FIDELITY, f"Which three of six pods a scale-down took, at {asked_s[0]:.1f} s"


MEASURED: tuple[Callable[[], Words], ...] = (
    order_of_addresses, ingress_counter, autoscalers_clock, envoys_choice_of_pods, a_lost_turn, a_sample_of_pods,
    two_numbers_in_one_second, two_scrapes_in_one_second, busy_machine, longest_waits, pods_that_never_came_up,
    slow_objects, a_threshold_met_exactly, shared_arrivals, removed_at_once,
)  # fmt: skip
"""What needs no prediction."""


# What is predicted, as in the tables of docs/fidelity.md.


@cache
def predicted() -> dict[str, fidelity.Row]:
    """All runs, predicted as in the first table."""
    rows = fidelity.rows(200, "recorded", only=names(), places=fidelity.places_by_others(names()))
    return {row.name: row for row in rows}


@cache
def aligned(name: str) -> Comparison:
    """A run, predicted with phase-aligned clocks."""
    return compare(folder(name), replications=100, align=True, seed=1, engine="compiled")


def off(name: str, metric: str) -> float:
    """How much less is predicted than was measured [% of it]."""
    found = predicted()[name].metrics[metric]
    assert found["predicted"] is not None
    assert found["measured"] is not None
    return 100.0 * (1.0 - found["predicted"] / found["measured"])


def busy_machine_predicted() -> Words:
    """The runs on a busy machine."""
    busy = busy_runs()
    most = {metric: max(off(name, metric) for name in busy) for metric in ("p50_s", "total_s", "max_s")}
    yield FIDELITY, f"predicted up to {most['max_s']:.0f} % too short"
    yield FIDELITY, f"Medians are up to {most['p50_s']:.1f} % too short, test durations up to {most['total_s']:.1f} %"
    outside = [
        name for name in slow_scale_outs() if not fidelity.inside(predicted()[name].metrics["first_scale_out_s"])
    ]
    yield FIDELITY, f"{len(outside)} of them lie outside their intervals"
    early_s = []
    for row in predicted().values():
        metric = row.metrics["first_scale_out_s"]
        measured_s, predicted_s = metric["measured"], metric["predicted"]
        if (
            measured_s is not None
            and predicted_s is not None
            and not fidelity.inside(metric)
            and measured_s > predicted_s
        ):
            early_s.append(measured_s - predicted_s)
    yield (
        DIFFERENCES,
        f"{len(busy)} measured runs on a busy machine: p50 up to {most['p50_s']:.1f} %, test durations up to "
        f"{most['total_s']:.1f} % and the max latency up to {most['max_s']:.0f} % too short; in {len(early_s)} of "
        f"{len(names())} runs the first scale-out {span(early_s, 2)} s early",
    )


def gateways_predicted() -> Words:
    """Envoy's two runs of fifty requests, and the run whose pods never came up."""
    short = [off(name, "p50_s") for name in SHORT_ENVOY]
    yield FIDELITY, f"p50 is predicted {min(short):.0f} and {max(short):.0f} % too short"
    never = "s6-stz-ing-tbc0-a"
    less, more = off(never, "p50_s"), -off(never, "pod_seconds")
    yield FIDELITY, f"p50 is predicted {less:.0f} % too short, pod seconds {more:.0f} % too long"


def phases_predicted() -> Words:
    """What replications make of phases that nobody knows."""
    first_s = predicted()["s4-rps5"].drawn["first_scale_out_s"]
    later = first_s > first_s.min() + 10.0
    yield (
        FIDELITY,
        f"the first scale-out comes {np.median(first_s[later]) - np.median(first_s[~later]):.0f} s later "
        f"({int(later.sum())} of {len(later)} replications)",
    )
    name = "s5-step1to8-ing-tbc0"
    found = compare(folder(name), replications=200, seed=1, engine="compiled")
    eighth_s = np.array([np.sort(one.pods[:, 0])[7] - one.load_ns for one in found.result.outcomes]) / SECOND_NS
    early, p95_s = eighth_s < 30.0, found.result.figures["latency_s.p95"]
    measured_s = found.pod_created_s["measured"][6]
    assert measured_s is not None
    yield (
        FIDELITY,
        f"In the {int(early.sum())} of {len(early)} replications that have the eighth pod as early, the p95 is "
        f"{np.median(p95_s[early]):.2f} s, measured {found.metrics['p95_s']['measured']:.2f} s",
    )
    yield FIDELITY, f"the eighth pod came {np.median(eighth_s[~early]) - measured_s:.0f} s earlier than usual"


def steps_predicted() -> Words:
    """Runs with phase-aligned clocks."""
    found = aligned("s4-pt200-a")
    most, pods = found.result.figures["max_pods"], found.measured.pods
    assert set(most) == {6.0, 8.0}
    yield (
        FIDELITY,
        f"{int(np.sum(most == 8.0))} of {len(most)} replications with phase-aligned clocks follow the measured run, "
        "with eight pods; the others have six",
    )
    # Under load, up to the tick after the first removal.
    ticks = found.measured.ticks
    there = (ticks["t_s"] > 0.0) & (ticks["t_s"] <= np.nanmin(pods["delete_requested_s"]) + 2.0)
    near = 0
    for one in found.result.outcomes:
        t_s = (one.ticks["t_ns"] - one.load_ns) / SECOND_NS
        same = np.abs(t_s - ticks["t_s"][there][:, np.newaxis]).argmin(axis=1)
        near += all(np.abs(one.ticks[name][same] - ticks[name][there]).max() < 0.01 for name in ("stable", "panic"))
    yield (
        FIDELITY,
        f"In `s4-pt200-a` the averages of {near} of {len(most)} replications lie within 0.01 of the printed ones for "
        f"{int(ticks['t_s'][there].max())} seconds",
    )
    error = fidelity.error("p95_s", aligned("s6-stz-tbcm1-a").metrics["p95_s"])
    yield FIDELITY, f"Clock phases: with phase-aligned clocks the error is {error:.1f} %"


PREDICTED: tuple[Callable[[], Words], ...] = (
    busy_machine_predicted, gateways_predicted, phases_predicted, steps_predicted,
)  # fmt: skip
"""What follows from predictions, which take a minute."""


def stands(page: str, words: str) -> bool:
    """Whether a page has these words, wherever its lines end."""
    return " ".join(words.split()) in " ".join((ROOT / page).read_text(encoding="utf-8").split())


def main() -> int:
    """Count, print, and say what does not stand on its page."""
    missing = 0
    for count in (*MEASURED, *PREDICTED):
        for page, words in count():
            there = stands(page, words)
            missing += not there
            print(f"{page}: {words}" if there else f"NOT in {page}: {words}", flush=True)
    return int(missing > 0)


if __name__ == "__main__":
    sys.exit(main())
