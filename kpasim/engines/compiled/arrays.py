"""The state of one run as arrays, and how compiled code finds them: by the names of ``model.state``."""

import math
from ctypes import addressof, c_char
from dataclasses import fields as fields_of
from functools import cache as once
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from kpasim.engines.compiled import event_queue
from kpasim.engines.model import state
from kpasim.engines.model.state import FIELDS, Entity, Field, Link, Queue, Simulation, Supply, renew
from kpasim.engines.outcome import CHANGE, REQUEST, TICK
from kpasim.engines.params import FOREVER_NS, NEVER_NS, Capacity, Draws, Params
from kpasim.policy import windows

NARROW = {
    state.Request: REQUEST,
    state.Tick: TICK,
    state.Change: CHANGE,
    Link: np.dtype([("next", np.int32), ("previous", np.int32)]),
    Queue: np.dtype({"names": ["head", "tail", "count"], "formats": [np.int32] * 3, "itemsize": 16}),
}
"""Records that are as narrow as their values allow, since there are as many of them as requests, or four of a pod."""
LINE = 64
"""Bytes of a line of the processor's cache. Long records take whole lines, so that what is asked of one at the same
time stands in few."""
WORDS = 3
"""Words of 64 bits by which compiled code knows an array: its address and shape. A number is the first of them."""


@once
def dtype_of(kind: Any) -> np.dtype[Any]:
    """The type of one number, or of the record that an entity is in an array."""
    if kind in NARROW:
        return NARROW[kind]
    if isinstance(kind, type) and issubclass(kind, Entity):
        hints = get_type_hints(kind)
        size = 8 * len(hints)
        layout: Any = {
            "names": [*hints],
            "formats": [np.dtype(hint) for hint in hints.values()],
            "offsets": [*range(0, size, 8)],
            "itemsize": size if size < 2 * LINE else -(-size // LINE) * LINE,
        }
        record: np.dtype[Any] = np.dtype(layout)
        return record
    return np.dtype({int: np.int64, float: np.float64, "int32": np.int32}[kind])


def _constants(kind: type[Any], prefix: str) -> dict[str, Field]:
    """Fields of a NamedTuple of settings: numbers, and arrays of as many dimensions as ``Draws`` says."""
    found = {}
    for name, hint in get_type_hints(kind).items():
        number = float if "float" in str(hint) else int
        plain = hint in (int, float)
        found[f"{prefix}.{name}"] = Field(number, () if plain else ("rows",) * (2 if name in _TABLES else 1))
    return found


_TABLES = ("service", "pod", "node", "up_policies", "down_policies", "schedule", "restarts", "silences")
"""Draws and settings with a row for each thing and several columns."""
_PARTS: dict[str, type[Any]] = {"params": Params, "draws": Draws, "supply": Supply}
CONSTANTS = {name: field for part, kind in _PARTS.items() for name, field in _constants(kind, part).items()}
"""What does not change while the loop runs, by its path in a ``Simulation``."""
ALL = {**FIELDS, **CONSTANTS}


def _places() -> tuple[dict[str, int], int]:
    places, end = {}, 0
    for name, field in ALL.items():
        places[name] = end
        end += dtype_of(field.kind).itemsize // 8 if field.is_entity and not field.size else WORDS
    return places, end


PLACES, SIZE = _places()
"""Where each name begins in the words, and how many words there are."""


_FIRST = {part: PLACES[f"{part}.{kind._fields[0]}"] for part, kind in _PARTS.items()}
SMALL = 1 << 14
"""Numbers in draws up to which their places are kept."""
KEPT_BYTES = 1 << 26
"""Memory that a run wrote to, up to which its arrays are kept for the next run of the same thread."""
POD_BYTES = 1 << 10
"""What a pod takes in all arrays together, roundly."""
MOST_GIVEN = 256
"""Draws whose places are kept at a time."""


class Arrays:
    """A ``Simulation`` in arrays, each by the name of its field.

    Attributes:
        words: What compiled code is given, shape ``(SIZE,)``: entities of which there is one, and where all arrays are.
        rows: How many rows the tables have, see ``state.sizes``.
        capacity: What they were made for.
        handed_over: Tables that an outcome has taken over, to be replaced before the next run.
        draws: Random numbers as compiled code sees them; the array of each name.
    """

    def __init__(self, params: Params, draws: Draws, capacity: Capacity, *, statistics_only: bool = False) -> None:
        self.words = np.zeros(SIZE, dtype=np.int64)
        self._statistics_only = statistics_only
        for name, field in FIELDS.items():
            if not field.size:
                first, dtype = PLACES[name], dtype_of(field.kind)
                setattr(self, name, self.words[first : first + dtype.itemsize // 8].view(dtype))
        self.rows: dict[str, int] = {}
        self.handed_over: list[str] = []
        self._given: dict[int, tuple[Draws, Draws, list[int]]] = {}
        self.take(params, draws, capacity)

    def take(self, params: Params, draws: Draws, capacity: Capacity) -> None:
        """Take an experiment, to be given its draws; tables of the right size are used again."""
        rows = state.sizes(params, draws, capacity, statistics_only=self._statistics_only)
        changed = {name for name, count in rows.items() if self.rows.get(name) != count}
        for name, field in FIELDS.items():
            if field.size and (not self.rows or not changed.isdisjoint(field.size)):
                # Rows are filled when something is put there, so the memory is not cleared first.
                self.put(name, _empty(state.shape(field, rows), dtype_of(field.kind)))
        self.rows, self.params, self.capacity = rows, params, capacity
        self._settings = _plain(params)
        self._write("params", _words(self._settings))
        self.write("recorder", state.Recorder(statistics_only=self._statistics_only))
        self.write("ingress", state.Ingress(age_mask=rows["age"] - 1))

    def give(self, draws: Draws, supply: Supply | None = None) -> None:
        """Take random numbers; all requests are supplied where nothing else is said."""
        # The settings of a sweep are given the same draws, each in turn; a draw that is kept keeps its id.
        given = self._given.get(id(draws))
        if given is None:
            plain = _plain(draws)
            given = draws, plain, _words(plain)
            if supply is None and sum(np.size(value) for value in plain) <= SMALL:
                if len(self._given) == MOST_GIVEN:
                    self._given.clear()
                self._given[id(draws)] = given
        _, self.draws, words = given
        self._write("draws", words)
        self._write("supply", _words(supply or Supply(len(draws.sent), 1, 0, 0)))

    @property
    def is_small(self) -> bool:
        """Whether they may be kept for the next run, which needs no new memory then: a sixth of the headline's time."""
        pods, sent = self.read("revision").pods, self.read("clients").sent
        return bool(POD_BYTES * pods + REQUEST.itemsize * sent <= KEPT_BYTES)

    def put(self, name: str, array: NDArray[Any]) -> None:
        """Let a name stand for an array."""
        setattr(self, name, array)
        first = PLACES[name]
        self.words[first : first + WORDS] = _where(array)

    def read(self, name: str) -> Any:
        """The entity that there is one of, as it is now."""
        return FIELDS[name].kind(*getattr(self, name).item())

    def write(self, name: str, entity: Entity) -> None:
        """Make the entity that there is one of what ``entity`` is."""
        getattr(self, name)[0] = tuple(getattr(entity, one.name) for one in fields_of(entity))  # type: ignore[arg-type]

    def _write(self, part: str, words: list[int]) -> None:
        """Tell compiled code of numbers and arrays that stay as they are while it runs."""
        first = _FIRST[part]
        self.words[first : first + len(words)] = words

    def __getattr__(self, name: str) -> Any:  # what ``put`` sets
        raise AttributeError(name)


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array that begins with a line of the cache."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + LINE, dtype=np.uint8)
    first = -memory.ctypes.data % LINE
    return memory[first : first + size].view(dtype).reshape(shape)


def _where(array: NDArray[Any]) -> tuple[int, int, int]:
    """Address and shape of an array."""
    assert array.flags.c_contiguous
    rows, columns = array.shape if array.ndim == 2 else (len(array), 0)
    # Compiled code takes no other arrays than those that can be written to; numpy's own address takes thrice as long.
    address = addressof(c_char.from_buffer(array)) if array.size else 0  # type: ignore[arg-type]
    return address, rows, columns


def _words(settings: Any) -> list[int]:
    """Numbers, and where arrays are, as compiled code knows them."""
    words: list[int] = []
    for value in settings:
        if isinstance(value, np.ndarray):
            words += _where(value)
        else:
            words += (int(np.float64(value).view(np.int64)) if isinstance(value, float) else value, 0, 0)
    return words


def _plain(settings: Any) -> Any:
    """Settings with numbers and arrays as compiled code takes them: contiguous, writable, of the types it knows."""
    part = "params" if isinstance(settings, Params) else "draws"
    values = []
    for name, value in zip(settings._fields, settings, strict=True):
        field = CONSTANTS[f"{part}.{name}"]
        if not field.size:
            values.append(field.kind(value))
        elif value.flags.c_contiguous and value.flags.writeable and value.dtype == field.kind:
            values.append(value)
        else:
            values.append(np.require(value, dtype=field.kind, requirements=["C", "W"]))
    return type(settings)(*values)


def reset(sim: Simulation) -> None:
    """Make the state that of a revision about to be created; rows of pods, nodes and requests are renewed when used."""
    only = sim.recorder.statistics_only
    tick_rows, scaling_rows, age_mask = len(sim.ticks), len(sim.scaling), sim.ingress.age_mask
    sim.now_ns = 0
    sim.load_ns = FOREVER_NS
    sim.end_ns = FOREVER_NS
    sim.clock_ns = FOREVER_NS
    sim.finished = 0
    sim.fault = state.NO_FAULT
    renew(sim.clients)
    renew(sim.ingress)
    renew(sim.revision)
    renew(sim.autoscaler)
    renew(sim.cluster)
    renew(sim.recorder)
    renew(sim.event_queue)
    renew(sim.pending)
    sim.recorder.statistics_only = only
    sim.recorder.tick_rows = tick_rows
    sim.recorder.scaling_rows = scaling_rows
    sim.ingress.age_mask = age_mask
    sim.clients.rows = len(sim.requests)
    sim.clients.mask = len(sim.requests) - 1 if only else -1
    event_queue.clear(sim)
    for index in range(len(sim.activators)):
        renew(sim.activators[index])
        renew(sim.waiting[index])
    for index in range(len(sim.workers)):
        renew(sim.workers[index])
    for index in range(len(sim.sessions)):
        renew(sim.sessions[index])
    for index in range(len(sim.stages)):
        renew(sim.stages[index])
        renew(sim.connections[index])
        renew(sim.turns[index])
    sim.turn[:] = 0
    sim.panicking[:] = 0
    sim.samples[:] = 0
    sim.total_samples[:] = 0
    sim.hpa_state[:] = 0
    sim.recommendations[:] = 0
    sim.up_events[:] = 0
    sim.down_events[:] = 0
    sim.keda_state[:] = 0
    sim.ring[:] = 0
    sim.ring_span[:] = 0
    sim.ring_total[:] = 0
    sim.rule_state[:] = 0
    sim.owners[:] = 0
    sim.delay_slots[:] = 0
    sim.stats[: len(sim.activators)] = 0
    sim.stable_buckets[:] = 0.0
    sim.panic_buckets[:] = 0.0
    sim.spans[:] = windows.NEVER_S
    sim.totals[:] = 0.0
    sim.histogram[:] = 0
    sim.late_block[:] = NEVER_NS


KERNELS = (reset,)
