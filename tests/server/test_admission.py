"""The queue before the pipeline."""

import asyncio

import pytest

from kpasim.server.admission import Admission, RefusedError


def test_slots_are_taken_then_the_queue_then_nothing() -> None:
    """The first run, the next wait, the one after that is refused with the counts."""

    async def scene() -> None:
        admission = Admission(slots=2, depth=1)
        first, second, third = (admission.enter() for _ in range(3))
        assert [place.done() for place in (first, second, third)] == [True, True, False]
        with pytest.raises(RefusedError, match=r"2 running, 1 waiting"):
            admission.enter()

    asyncio.run(scene())


def test_places_are_handed_on_in_order() -> None:
    """A request that leaves hands its slot to the one that has waited longest."""

    async def scene() -> None:
        admission = Admission(slots=1, depth=2)
        first, second, third = (admission.enter() for _ in range(3))
        admission.leave(first)
        assert (second.done(), third.done(), admission.running, admission.waiting) == (True, False, 1, 1)
        admission.leave(second)
        assert third.done()
        admission.leave(third)
        assert (admission.running, admission.waiting) == (0, 0)

    asyncio.run(scene())


def test_one_that_stops_waiting_frees_its_place_in_the_queue() -> None:
    """A waiting request that leaves makes room for another and takes no slot."""

    async def scene() -> None:
        admission = Admission(slots=1, depth=1)
        first, second = admission.enter(), admission.enter()
        admission.leave(second)
        third = admission.enter()
        assert admission.waiting == 1
        admission.leave(first)
        assert third.done()
        assert not second.done()

    asyncio.run(scene())


def test_closing_refuses_new_ones_and_waits_for_the_rest() -> None:
    """A closed queue takes nobody in and says once when the last admitted request is done."""

    async def scene() -> None:
        admission = Admission(slots=1, depth=1)
        told: list[bool] = []
        first, second = admission.enter(), admission.enter()
        admission.close(lambda: told.append(True))
        with pytest.raises(RefusedError, match="shutting down"):
            admission.enter()
        admission.leave(first)
        assert second.done()
        assert told == []
        admission.leave(second)
        assert told == [True]

    asyncio.run(scene())


def test_closing_an_idle_queue_tells_at_once() -> None:
    """With nobody admitted there is nothing to wait for."""
    told: list[bool] = []
    Admission(slots=1, depth=0).close(lambda: told.append(True))
    assert told == [True]
