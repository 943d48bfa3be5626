"""Choice of the engine, and execution of replications."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from functools import cache as once
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

from kpasim.engines import sampling
from kpasim.engines.compiled import cache
from kpasim.errors import RunError
from kpasim.studies.execution.allocation import in_parts
from kpasim.studies.execution.workers import spread

if TYPE_CHECKING:
    from kpasim.engines.outcome import Outcome
    from kpasim.engines.params import Draws, Params
    from kpasim.spec.experiment import Experiment

Engine = Literal["auto", "compiled", "reference"]

SMALL_RUN = 15_000
"""Requests, all replications together, that the reference engine answers sooner than a compiler."""
SEVERAL_PROCESSES = 5_000
"""Requests that the reference engine simulates for two seconds, in which several processes overtake one."""
SEVERAL_THREADS = 1_000
"""Requests of one replication that the compiled engine simulates for as long as Python prepares it, from which on a
second thread is worth its start."""
REPLICATIONS_OF_A_PART = 5
"""Replications that a process of the reference engine simulates before it takes others."""


def choose_engine(asked: Engine, requests: int) -> str:
    """The engine that answers soonest.

    ``auto`` is the compiled engine, except for a small run while its code is not in the cache yet.

    Raises:
        RunError: There is no engine of that name.
    """
    if asked not in get_args(Engine):
        raise RunError(f"engine: {asked!r} is not known (one of {', '.join(get_args(Engine))})")
    if asked != "auto":
        return asked
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        return "reference"
    return "compiled" if is_warm() or requests > SMALL_RUN else "reference"


def is_warm() -> bool:
    """Whether the compiled engine is in the cache; a file there that must not be loaded is told once."""
    if cache.is_warm():
        return True
    place = cache.object_file()
    with contextlib.suppress(OSError):  # A folder that cannot be entered.
        if place.exists() and cache.read_object(place) is None:
            _tell_damaged(str(place))
    return False


@once
def _tell_damaged(place: str) -> None:
    message = f"{place} is damaged, or others can write to it: it is not used, and the fast engine is compiled anew."
    logging.getLogger(__name__).warning(message)


@once
def ready() -> None:
    """Load the compiled engine, before threads and processes ask for it. Where it must be compiled first, that is said.

    Raises:
        RunError: It cannot be compiled.
    """
    from kpasim.engines.compiled import machine

    if not is_warm():
        # Nobody should have to guess what takes so long: a warning is shown on stderr unless logging is set up.
        message = "Compiling the fast engine, once for this version; this takes about half a minute ..."
        logging.getLogger(__name__).warning(message)
    machine.ready()


def execute(
    params: Params,
    draws: Sequence[Draws],
    engine: str,
    threads: int = 0,
    progress: Callable[[int], None] = lambda done: None,
    play: Callable[[Params, Draws], Outcome] | None = None,
) -> list[Outcome]:
    """Simulate replications with one engine.

    Args:
        params: The experiment.
        draws: Random numbers of each replication.
        engine: ``"compiled"`` or ``"reference"``.
        threads: Replications simulated at the same time, by the reference engine in processes; 0 for one on each core.
        progress: Called now and then with the number of replications finished.
        play: Simulates a replication in the place of ``reference.run``; a function of a module.

    Returns:
        What each replication left, in their order.
    """
    at_once = threads or os.cpu_count() or 1
    if engine == "reference":
        processes = at_once if sum(len(one.delay) for one in draws) >= SEVERAL_PROCESSES else 1
        parts = [
            draws[first : first + REPLICATIONS_OF_A_PART] for first in range(0, len(draws), REPLICATIONS_OF_A_PART)
        ]
        found: dict[int, list[Outcome]] = {}
        for place, outcomes in spread(partial(_play_part, play, params), list(enumerate(parts)), processes=processes):
            found[place] = outcomes
            progress(sum(len(part) for part in found.values()))
        return [outcome for place in range(len(parts)) for outcome in found[place]]
    from kpasim.engines import compiled

    ready()
    return compiled.run_many(params, draws, at_once if len(draws[0].delay) >= SEVERAL_THREADS else 1)


def execute_long(
    experiment: Experiment,
    sampler: sampling.Sampler,
    count: int,
    threads: int = 0,
    progress: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Simulate long replications, whose sampler has parts, with the compiled engine; see ``engines.long``.

    Threads and progress are as for `execute`.
    """
    from kpasim.engines import long

    ready()

    def play(replication: int, pods: int) -> Outcome:
        return long.play(sampler.params, sampler, replication, pods)

    at_once, pods = threads or os.cpu_count() or 1, sampling.PART // sampling.REQUESTS_PER_POD
    return in_parts(experiment, sampler, count, play, threads=at_once, pods=pods, progress=progress)


def _play_part(
    play: Callable[[Params, Draws], Outcome] | None, params: Params, part: tuple[int, Sequence[Draws]]
) -> tuple[int, list[Outcome]]:
    """Simulate some replications with the reference engine; what they left, with the place of the part."""
    from kpasim.engines import reference

    place, draws = part
    return place, [(play or reference.run)(params, one) for one in draws]
