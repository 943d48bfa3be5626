"""The scale-down delay."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpasim.policy import delay


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 50)), min_size=1, max_size=60),
    st.integers(1, 40),
)
def test_the_maximum_is_that_of_the_slots_the_delay_covers(drawn, delay_s):
    """The clever window agrees with looking at every decision of the last slots."""
    slots = delay.new_slots(delay_s)
    size = math.ceil(delay_s / delay.SLOT_S)
    seen = []
    now_s = 1000
    for gap_s, value in drawn:
        now_s += gap_s
        delay.record(slots, now_s, value)
        seen.append((now_s // delay.SLOT_S, value))
        assert delay.current(slots) == max(kept for slot, kept in seen if now_s // delay.SLOT_S - slot < size)


@pytest.mark.parametrize(("delay_s", "held_s"), [(1, 2), (2, 2), (3, 4), (4, 4), (30, 30)])
def test_a_delay_is_held_in_whole_ticks(delay_s, held_s):
    """A delay of 3 s behaves as one of 4."""
    slots = delay.new_slots(delay_s)
    delay.record(slots, 100, 9)
    held = []
    for now_s in range(102, 140, 2):
        delay.record(slots, now_s, 1)
        held.append(delay.current(slots) == 9)

    assert held == [2 * (place + 1) < held_s for place in range(len(held))]


def test_two_decisions_in_one_slot_keep_the_larger():
    """A poke just before a tick can only raise what the tick holds."""
    slots = delay.new_slots(2)
    delay.record(slots, 100, 5)
    delay.record(slots, 101, 3)

    assert delay.current(slots) == 5


def test_no_delay_has_no_slots():
    """An empty array means that the delay is off."""
    assert len(delay.new_slots(0)) == 0


def test_nothing_recorded_reads_zero():
    """Before the first decision the window holds nothing back."""
    assert delay.current(delay.new_slots(10)) == 0
