"""The engine to read, to step through and to extend: the events of the model on SimPy's clock, in plain Python.

    sim = Simulation(params, draws)
    while sim.step():
        print(sim.now_ns, sim.revision.replicas, [pod.phase for pod in sim.pods[: sim.revision.pods]])

A class derived from it can do something of its own at an event (``handle``), or at a time of its own (``env``); another
autoscaler takes the place of Knative's as a class derived from ``Autoscaler``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from kpasim.arrays import Ints
from kpasim.engines import outcome
from kpasim.engines.clock import priority
from kpasim.engines.model import events, kpa, state
from kpasim.engines.model.kpa import Decision
from kpasim.engines.model.state import Entity
from kpasim.engines.outcome import CapacityExceeded, Outcome
from kpasim.engines.params import FOREVER_NS, NEVER_NS, Capacity, Draws, Params
from kpasim.policy import windows

TABLES = ("up_policies", "down_policies", "schedule", "restarts", "silences")
"""Settings that the policy takes as tables."""


class Rows(dict[int, Any]):
    """Entities made when they are first asked for: nobody knows beforehand how many there will be."""

    def __init__(self, kind: type[Entity]) -> None:
        super().__init__()
        self._kind = kind

    def __missing__(self, index: int) -> Entity:
        """A new one."""
        entity = self[index] = self._kind()
        return entity


class Autoscaler:
    """What decides how many pods there are, over Knative's data plane. This one is Knative's; derive from it.

    Those of other projects have clocks and metrics of their own, see ``model/autoscaler.py``.
    """

    def start(self, sim: Simulation) -> tuple[int, float]:
        """A revision begins: pods wanted, and excess burst capacity, before the first decision."""
        return kpa.start(sim)

    def observe(self, sim: Simulation, concurrency: float, requests: float) -> None:
        """What the last second was like, at an activator or in the pods."""
        kpa.observe(sim, concurrency, requests)

    def decide(self, sim: Simulation, reachable: int) -> Decision:
        """Pods wanted now; no pod is asked for where the revision is not reachable."""
        return kpa.decide(sim, reachable)

    def decides_after(self, sim: Simulation, time_ns: int) -> int:
        """When it decides next after ``time_ns``."""
        return kpa.decides_after(sim, time_ns)


class Simulation(state.Simulation):
    """One replication of one experiment, on SimPy's environment, whose clock counts nanoseconds.

    Args:
        params: The experiment.
        draws: Random numbers of the replication.
        decider: What decides how many pods there are.

    Attributes:
        env: SimPy's environment. Events of the model have ``(time, kind, entity)`` as their priority.
    """

    def __init__(self, params: Params, draws: Draws, decider: Autoscaler | None = None) -> None:
        super().__init__()
        self.decider = decider or Autoscaler()
        self.env = simpy.Environment()
        # Python reads lists several times as fast as arrays.
        self.params = params._replace(**_lists(params))
        self.draws = draws._replace(**_lists(draws))
        self.supply = state.Supply(len(draws.sent), 1, 0, 0)
        rows = state.sizes(params, draws, Capacity(1, len(draws.pod), len(draws.node), 1, 1, 1))
        for name, field in state.FIELDS.items():
            if name != "core":
                setattr(self, name, _made(field, state.shape(field, rows)))
        self.clients.rows = FOREVER_NS
        self.recorder.tick_rows = self.recorder.scaling_rows = FOREVER_NS
        self.ingress.age_mask = FOREVER_NS - 1
        self.spans[:] = windows.NEVER_S
        self.late_block[:] = [NEVER_NS] * len(self.late_block)
        self.begin()

    def begin(self) -> None:
        """Create the revision, and all that follows from that."""
        events.begin(self)

    def schedule(self, time_ns: int, kind: int, entity: int) -> None:
        """Let an event of the model happen at ``time_ns``, in the order that ``clock.Kind`` gives simultaneous ones."""
        self._at(time_ns, kind, entity, lambda: self.handle(kind, entity))

    def wake(self, time_ns: int, kind: int, entity: int) -> None:
        """Look at a clock at ``time_ns``, unless it is put off by then."""
        if time_ns != FOREVER_NS:
            self._at(time_ns, kind, entity, lambda: self._look(kind, entity))

    def start_autoscaler(self) -> tuple[int, float]:
        """See ``Autoscaler.start``."""
        return self.decider.start(self)

    def observe(self, concurrency: float, requests: float) -> None:
        """See ``Autoscaler.observe``."""
        self.decider.observe(self, concurrency, requests)

    def decide(self, reachable: int) -> Decision:
        """See ``Autoscaler.decide``."""
        return self.decider.decide(self, reachable)

    def decides_after(self, time_ns: int) -> int:
        """See ``Autoscaler.decides_after``."""
        return self.decider.decides_after(self, time_ns)

    def comes_next(self, time_ns: int) -> bool:
        """SimPy's clock goes from event to event."""
        return False

    def is_quiet_now(self) -> bool:
        """SimPy does not say what it has yet to do at this moment."""
        return False

    def handle(self, kind: int, entity: int) -> None:
        """Handle one event that was scheduled."""
        events.handle(self, kind, entity)

    def handle_clock(self, kind: int, entity: int) -> None:
        """Handle one event of a clock."""
        events.handle_clock(self, kind, entity)

    def _look(self, kind: int, entity: int) -> None:
        if events.clock_due(self, kind, entity) == self.now_ns:
            self.handle_clock(kind, entity)

    def _at(self, time_ns: int, kind: int, entity: int, action: Callable[[], None]) -> None:
        def happens(_: simpy.Event) -> None:
            self.now_ns = time_ns
            action()

        event = simpy.Event(self.env)
        event._ok = True
        event._value = None
        event.callbacks.append(happens)
        self.env.schedule(event, priority=priority(kind, entity), delay=time_ns - self.env.now)

    def step(self) -> bool:
        """Let the next event happen; whether there was one."""
        if self.finished or self.fault or self.env.peek() == simpy.core.Infinity:
            return False
        self.env.step()
        return True

    def run(self) -> Outcome:
        """Let all events happen.

        Raises:
            CapacityExceeded: The run needs more pods, nodes or requests than there are random numbers for.
        """
        while self.step():
            pass
        if self.fault:
            raise CapacityExceeded(state.SHORT_OF[self.fault])
        concurrency_ns = events.finish(self)
        sent = range(self.clients.sent)
        return Outcome(
            self.load_ns,
            self.end_ns,
            _records([self.requests[index] for index in sent], outcome.REQUEST),
            np.array([self.drawn[index] for index in sent] if self.params.closed else [], dtype=np.int32),
            _table(self.pods[: self.revision.pods], state.Pod, outcome.POD_COLUMNS),
            _table(self.nodes[: self.cluster.nodes], state.Node, outcome.NODE_COLUMNS),
            _records([self.ticks[index] for index in range(self.recorder.ticks)], outcome.TICK),
            _records([self.scaling[index] for index in range(self.recorder.scalings)], outcome.CHANGE),
            concurrency_ns,
        )


def run(params: Params, draws: Draws) -> Outcome:
    """Run one replication with the reference engine.

    Raises:
        CapacityExceeded: The run needs more pods, nodes or requests than ``draws`` holds.
    """
    return Simulation(params, draws).run()


def _lists(settings: Params | Draws) -> dict[str, Any]:
    arrays = {name: value for name, value in settings._asdict().items() if isinstance(value, np.ndarray)}
    return {name: value.tolist() for name, value in arrays.items() if name not in TABLES}


def _made(field: state.Field, size: tuple[int, ...]) -> Any:
    """What a name stands for: an entity, many, or numbers."""
    by_row = field.size[:1] and field.size[0] in state.BY_REQUEST
    if field.is_entity:
        if by_row:
            return Rows(field.kind)
        if not size:
            return field.kind()
        return [[field.kind() for _ in range(size[1])] if size[1:] else field.kind() for _ in range(size[0])]
    if by_row:
        return {}
    if field.kind is float or field.size[1:] == (2,):  # what functions of the policy take as a whole
        return np.zeros(size, dtype=field.kind)
    return [0] * size[0] if len(size) == 1 else [[0] * size[1] for _ in range(size[0])]


def _records(entities: list[Any], dtype: np.dtype[Any]) -> NDArray[np.void]:
    """Entities as an array of records."""
    names = dtype.names or ()
    return np.array([tuple(getattr(entity, name) for name in names) for entity in entities], dtype=dtype)


def _table(entities: list[Any], kind: type[Entity], columns: int) -> Ints:
    """The first numbers of entities as an int64 array, also when there are none."""
    names = [one.name for one in fields(kind)][:columns]  # type: ignore[arg-type]
    rows = [[getattr(entity, name) for name in names] for entity in entities]
    return np.array(rows, dtype=np.int64).reshape(-1, columns)


__all__ = ["Autoscaler", "Decision", "Simulation", "run"]
