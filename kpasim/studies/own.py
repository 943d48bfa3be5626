"""An autoscaler of a user's own: a Python function that decides, in the place of Knative's.

    def decide(seen, memory):
        return math.ceil(seen.concurrency / seen.target) + 1

The function gets a `Seen` and a dict that it may use as its memory (a new dict for each replication), and returns the
number of pods that it wants. It is called at Knative's tick, every two seconds; all else is Knative's: the activator
holds requests, and min-scale and max-scale limit the answer. It runs in the reference engine only.
"""

import importlib.util
import math
import sys
import traceback
from collections.abc import Callable
from functools import cache as once
from pathlib import Path
from typing import Any, NamedTuple

from kpasim.engines.model import kpa, state
from kpasim.engines.outcome import Outcome
from kpasim.engines.params import FOREVER_NS, SECOND_NS, Draws, Params
from kpasim.engines.reference import Autoscaler, Decision, Simulation
from kpasim.errors import RunError
from kpasim.policy import burst, decider

MOST_PODS = 100_000
"""Pods that a function may ask for; more is a mistake."""


class Seen(NamedTuple):
    """What an autoscaler may know at a tick.

    Attributes:
        time_s: Time since the start of the load [s]; minus infinity before it.
        concurrency: Average number of requests in flight over the stable window, waiting ones included (requests per
            second where the service scales on `rps`).
        burst: The same over the panic window, the most recent tenth of it.
        target: Target of the metric for each pod, utilisation included.
        pods: Pods that were asked for last.
        ready_pods: Pods that are ready.
        starting_pods: Pods that exist and are not ready yet.
        cold_start_s: Mean cold start of the model [s].
        min_scale: `min-scale` of the service.
        max_scale: `max-scale` of the service, 0 for none.
    """

    time_s: float
    concurrency: float
    burst: float
    target: float
    pods: int
    ready_pods: int
    starting_pods: int
    cold_start_s: float
    min_scale: int
    max_scale: int


class Own(NamedTuple):
    """A user's function, by where it is: processes load it anew.

    Attributes:
        path: The Python file.
        function: Name of the function in it.
    """

    path: str
    function: str

    def __str__(self) -> str:
        return f"{self.path}:{self.function}"


def own_autoscaler(path: str, function: str) -> Own:
    """A function in a Python file.

    Raises:
        RunError: There is no such file or function, or the file cannot be run.
    """
    found = Own(path, function)
    _load(found)
    return found


@once
def _load(own: Own) -> Callable[[Seen, dict[Any, Any]], Any]:
    path = Path(own.path)
    if not path.is_file():
        raise RunError(f"--with {own}: no such file")
    spec = importlib.util.spec_from_file_location(f"kpasim_own_{abs(hash(str(path.resolve())))}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise RunError(f"--with {own}: {_where(error, path)}") from None
    function = getattr(module, own.function, None)
    if not callable(function):
        raise RunError(f"--with {own}: {path} has no function {own.function}")
    return function  # type: ignore[no-any-return]


def _where(error: BaseException, path: Path) -> str:
    """An error of a user's file in one line, with the line that it is in."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else lines[-1] if lines else None
    place = f"{path}:{line}: " if line else ""
    return f"{place}{type(error).__name__}: {error}".replace("\n", " ")


class OwnAutoscaler(Autoscaler):
    """Asks a user's function; the windows, the ticks and the path of requests are Knative's.

    Args:
        own: The function.
        cold_start_s: Mean cold start of the model [s].
    """

    def __init__(self, own: Own, cold_start_s: float) -> None:
        self.own, self.function, self.memory = own, _load(own), dict[Any, Any]()
        self.cold_start_s = cold_start_s

    def decide(self, sim: state.Simulation, reachable: int) -> Decision:
        """Pods that the function wants."""
        decision = kpa.decide(sim, reachable)
        if not decision.is_valid:
            return decision
        params, there = sim.params, sim.revision
        seen = Seen(
            time_s=-math.inf if sim.load_ns == FOREVER_NS else (sim.now_ns - sim.load_ns) / SECOND_NS,
            concurrency=float(decision.stable),
            burst=float(decision.panic),
            target=params.target_value,
            pods=int(there.replicas),
            ready_pods=int(there.ready_pods),
            starting_pods=max(0, int(there.replicas - there.ready_pods)),
            cold_start_s=self.cold_start_s,
            min_scale=params.min_scale,
            max_scale=params.max_scale,
        )
        try:
            pods = self.function(seen, self.memory)
        except Exception as error:
            raise RunError(f"--with {self.own}: {_where(error, Path(self.own.path))}") from None
        if isinstance(pods, bool) or not isinstance(pods, int) or not 0 <= pods <= MOST_PODS:
            raise RunError(f"--with {self.own}: returned {pods!r:.60} (must be a whole number of pods, 0 or more)")
        excess = burst.excess_burst_capacity(
            sim.revision.ready_pods, params.total_value, params.target_burst_capacity, decision.panic
        )
        return Decision(True, pods, excess, decision.stable, decision.panic, decider.STABLE, False)


def play(own: Own, cold_start_s: float, params: Params, draws: Draws) -> Outcome:
    """One replication under a user's function, with the reference engine.

    Raises:
        RunError: The function fails, or returns no number of pods.
        CapacityExceeded: The run needs more pods, nodes or requests than there are random numbers for.
    """
    return Simulation(params, draws, OwnAutoscaler(own, cold_start_s)).run()
