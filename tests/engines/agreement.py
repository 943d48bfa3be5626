"""Whether two engines agree, and what the experiments that they agreed on have gone through."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings

from kpasim.engines import compiled, reference
from kpasim.engines import outcome as out
from kpasim.engines import params as of
from kpasim.engines.model.state import NO_ENDPOINT
from kpasim.engines.outcome import CapacityExceeded, Outcome
from kpasim.engines.params import Draws, Params
from kpasim.policy import burst
from kpasim.policy.rules import RULES
from tests import oracle

from .strategies import KINDS, Run, runs

Engine = Callable[[Params, Draws], Outcome]

RARE = 300
"""One experiment in so many must go through each thing that is counted."""


def played(engine: Engine, run: Run) -> Outcome | str:
    """The outcome, or what there was too little room for."""
    try:
        return engine(run.params, run.draws)
    except CapacityExceeded as short:
        return short.what


def first_difference(one: Outcome, other: Outcome) -> str:
    """Where two outcomes part, in words; empty when they are equal bit for bit."""
    for name in Outcome._fields:
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, np.ndarray):
            for row in range(min(len(a), len(b))):
                if a[row].tobytes() != b[row].tobytes():
                    return f"{name}[{row}]: {a[row].tolist()} != {b[row].tolist()}"
            if len(a) != len(b):
                longer = a if len(a) > len(b) else b
                row = min(len(a), len(b))
                return f"{name}: {len(a)} rows != {len(b)} rows; first surplus row {longer[row].tolist()}"
        elif a != b:
            return f"{name}: {a} != {b}"
    return ""


def assert_same(engine: Engine, run: Run, other: Engine = oracle.run) -> Outcome | str:
    """Both engines agree on a run, bit for bit; its outcome."""
    expected, found = played(other, run), played(engine, run)
    if isinstance(expected, str) or isinstance(found, str):
        assert expected == found, f"one engine is short of {[it for it in (expected, found) if isinstance(it, str)]}"
        return expected
    difference = first_difference(expected, found)
    assert not difference, f"the engines part at {difference}"
    return expected


def gone_through(run: Run, outcome: Outcome | str) -> set[str]:
    """Names of what happened in a run."""
    if isinstance(outcome, str):
        return {f"short of {outcome}"}
    p = run.params
    requests, pods, nodes, ticks, scaling = (
        outcome.requests, outcome.pods, outcome.nodes, outcome.ticks, outcome.scaling
    )  # fmt: skip
    never = of.NEVER_NS
    served = requests[requests[out.POD] >= 0]
    rules = set(ticks[out.RULE].tolist())
    facts = {
        **{f"status {status}": status in requests[out.STATUS] for status in (200, 0, 502, 503, 504, -1)},
        **{f"rule {name}": code in rules for code, name in enumerate(RULES)},
        **{f"autoscaler {name}": p.autoscaler == kind for name, kind in KINDS.items() if kind != of.KPA},
        "the HPA class": p.autoscaler == of.HPA and p.data_plane == of.ACTIVATORS,
        "metric cpu": p.autoscaler == of.HPA and p.metric == of.CPU,
        "spare pods": p.spare > 0,
        "a schedule": len(p.schedule) > 1,
        "a forecast": p.looks_ahead > 0,
        "no pod": ((requests[out.STATUS] == NO_ENDPOINT) & (requests[out.POD] < 0)).any(),
        "panic": ticks[out.PANIC_MODE].any(),
        "poke": ticks[out.POKED].any(),
        "direct requests": (served[out.ACTIVATOR] < 0).any(),
        "three activators": len(set(requests[out.ACTIVATOR].tolist()) - {-1}) >= 3,
        "serve mode": (scaling[out.MODE] == burst.SERVE).any(),
        "a pod gone": (pods[:, out.GONE] != never).any(),
        "a pod gone before it was ready": ((pods[:, out.GONE] != never) & (pods[:, out.READY] == never)).any(),
        "a pod without a node": (pods[:, out.SCHEDULED] == never).any(),
        "a pod that waited for a node": (pods[:, out.SCHEDULED] > pods[:, out.CREATED]).any(),
        "a pod found before it was ready": (pods[:, out.USABLE] < pods[:, out.READY])[pods[:, out.USABLE] > 0].any(),
        "a restart": (pods[:, out.RESTARTS] > 0).any(),
        "a killed pod": (pods[:, out.GONE] == pods[:, out.ASKED] + (p.grace_period_ns or p.timeout_ns)).any(),
        "two pods on a node": np.bincount(pods[pods[:, out.NODE] >= 0, out.NODE], minlength=1).max() > 1,
        "an ordered node": (nodes[:, out.NODE_READY] > nodes[:, out.NODE_CREATED])[nodes[:, out.NODE_ADDED] > 0].any(),
        "a released node": (nodes[:, out.NODE_GONE] != never).any(),
        "a second instance type": (pods[:, out.TYPE] == 1).any(),
        "sharing": len(p.slowdown) > 0 and len(served) > 1,
        "cookies": bool(p.cookies and p.affinity != of.NO_AFFINITY) and len(served) > 1,
        "an orphan": ((requests[out.STATUS] != 200) & (requests[out.DONE] > requests[out.RESPONSE])).any(),
        "work for a client that had gone": (served[out.BEGUN] > served[out.RESPONSE]).any(),
        "scale to zero": bool(len(scaling)) and scaling[out.REPLICAS][-1] == 0 and (pods[:, out.READY] != never).any(),
        "events at the same moment": len(set(requests[out.ARRIVED].tolist())) < len(requests),
    }
    return {name for name, happened in facts.items() if happened}


def agree(engine: Engine, experiments: int, others: tuple[str, ...] = (), other: Engine = oracle.run) -> Counter[str]:
    """Hold ``engine`` to the oracle on experiments drawn by hypothesis, the same ones each time.

    Args:
        engine: An engine.
        experiments: Number of experiments.
        others: Autoscalers beside Knative's own to draw from, which the oracle does not know.
        other: The engine that takes its place then.

    Returns:
        In how many of them each thing happened, ``"experiments"`` among these.
    """
    seen: Counter[str] = Counter()

    @settings(
        max_examples=experiments,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(runs(others))
    def each_agrees(run: Run) -> None:
        seen["experiments"] += 1
        seen.update(gone_through(run, assert_same(engine, run, other)))

    each_agrees()
    return seen


ENGINES: dict[str, Engine] = {"compiled": compiled.run, "reference": reference.run, "oracle": oracle.run}


def agree_apart(engine: str, experiments: int, *others: str, other: str = "oracle") -> Counter[str]:
    """``agree`` in a process of its own, so that the experiments are the same in each run of the tests.

    Hypothesis draws constants of the modules that are loaded, which in a test run depends on the tests before.
    """
    command = [sys.executable, "-m", "tests.engines.agreement", engine, str(experiments), other, *others]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    return Counter(json.loads(done.stdout))


def summary(seen: Counter[str]) -> str:
    """What happened how often, in one line."""
    happened = ", ".join(f"{name} {count}" for name, count in seen.most_common() if name != "experiments")
    return f"{seen['experiments']} experiments agree bit for bit: {happened}"


if __name__ == "__main__":
    first, number, second, *drawn_from = sys.argv[1:]
    print(json.dumps(agree(ENGINES[first], int(number), tuple(drawn_from), ENGINES[second])))
