"""The sliding maximum behind ``scale-down-delay``: a lower scale must last a whole delay before it counts.

Slots of two seconds, the decision tick, are counted from the Unix epoch; a value recorded in one slot is held until
it is as many slots old as the delay is long. Two decisions in one slot keep the larger.

State is one int64 array: place of the oldest kept value, number of kept values, then values, then their slots. Kept
values fall from oldest to newest, so the oldest is the maximum and each decision costs constant time on average.

Source:
    knative/serving@98e5ef9, pkg/autoscaler/aggregation/max/timewindow.go, pkg/autoscaler/aggregation/max/window.go
"""

import math

import numpy as np

from kpasim.arrays import Ints

SLOT_S = 2
"""Length of a slot, Knative's decision tick [s]."""

_OLDEST, _LENGTH, _VALUES = 0, 1, 2


def new_slots(delay_s: float, slot_s: float = SLOT_S) -> Ints:
    """State of an empty delay window; shape ``(0,)``, which means off, when ``delay_s`` is 0.

    Source: timewindow.go, ``NewTimeWindow``.
    """
    size = math.ceil(delay_s / slot_s)
    return np.zeros(2 + 2 * size if size > 0 else 0, dtype=np.int64)


def clear(slots: Ints) -> None:
    """Forget all decisions, as a new process does."""
    if len(slots):
        slots[_LENGTH] = 0


def record_slot(slots: Ints, slot: int, value: int) -> None:
    """Record ``value`` in slot number ``slot``, which is not below the slots recorded before.

    Source: window.go, ``window.Record``.
    """
    size = (len(slots) - _VALUES) // 2
    times = _VALUES + size
    oldest = int(slots[_OLDEST])
    length = int(slots[_LENGTH])
    while length > 0 and value >= slots[_VALUES + (oldest + length - 1) % size]:
        length -= 1
    while length > 0 and slot - slots[times + oldest] >= size:
        length -= 1
        oldest = (oldest + 1) % size
    if length > 0 and slots[times + (oldest + length - 1) % size] == slot:
        # The kept value of this slot is larger; it stays, and is the newest.
        slots[_OLDEST] = oldest
        slots[_LENGTH] = length
        return
    newest = (oldest + length) % size
    slots[_VALUES + newest] = value
    slots[times + newest] = slot
    slots[_OLDEST] = oldest
    slots[_LENGTH] = length + 1


def record(slots: Ints, now_s: int, value: int) -> None:
    """Record a decision taken in Unix second ``now_s`` (timewindow.go, ``TimeWindow.Record``)."""
    record_slot(slots, now_s // SLOT_S, value)


def current(slots: Ints) -> int:
    """Largest value of the delay window as of the latest record; 0 before any (window.go, ``window.Current``)."""
    return int(slots[_VALUES + slots[_OLDEST]])
