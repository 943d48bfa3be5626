"""A race between settings for the cheapest that meets its SLOs.

Replications are spent where candidates are close, until the best is known or cannot be told from the others. All
candidates meet the same random numbers, so costs are compared replication by replication. A candidate leaves the race
when it almost surely misses an SLO, or when it almost surely is no cheaper, by more than a trifle, than one that
keeps it. Points next to the best, and next to those that stay long, join the race.

Source:
    Maron and Moore, "Hoeffding races" (NIPS 1993); paired differences under common random numbers as in Nelson and
    Matejcik, "Using common random numbers for indifference-zone selection", Management Science 41 (1995).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from kpasim.arrays import Array, Bools, Floats
from kpasim.errors import KpasimError
from kpasim.results.student import half_width
from kpasim.results.summary import Figures
from kpasim.studies.runner import Runner, slo_figures_of
from kpasim.studies.search.slo import Slo, all_met, wilson, worst_miss
from kpasim.studies.search.space import Place, Space

FIRST = 4
"""Replications that every candidate gets; each further round doubles them."""
SERIOUS = 64
"""Replications from which on a candidate may be called good, and its neighbours join."""
LAST = 1024
"""Replications of one candidate at most, while others are open."""
LATEST = 16_384
"""Replications of one that is cheaper than the best and may or may not meet the SLOs, once nothing else is open."""
TWINS = 16
"""Replications from which on two candidates that did exactly the same are taken for one."""
CLOSE = 128
"""Replications that are spent to tell a candidate from the best, once nothing else is open."""
SAMPLE = 256
"""Points that the race begins with at most."""
TRIFLE = 0.005
"""Difference in cost, as a share, that is not worth a replication."""
NEAR = 0.01
"""Difference in what an SLO is missed by, as a share of its limit, that does not count."""
NEAREST = 8
"""Candidates that get a closer look where nobody meets the SLOs."""
DROP_Z, KEEP_Z, LIKELY_Z = 2.807034, 2.326348, 1.959964
"""Normal quantiles of the bounds beyond which a candidate misses an SLO (99.75 %) or keeps it (99 %), and of
intervals that are shown (95 % in all)."""
HOPEFUL_Z = 1.0
"""Standard errors above its share that a candidate must be good with, to get more than `LAST` replications."""
COST_CONFIDENCE = 0.99
"""One-sided confidence of differences in cost."""

State = Literal["open", "missed", "expensive", "tied", "undecided"]


class Gap(NamedTuple):
    """Relative difference in cost from another candidate: a mean and its one-sided 99 % bounds."""

    low: float
    mean: float
    high: float


@dataclass(eq=False)
class Candidate:
    """Settings, and what their replications showed so far.

    Attributes:
        place: Point of the space.
        settings: Values by path, those that differ from the experiment only.
        runner: Runner of its settings.
        state: ``open`` while it may win; ``missed`` an SLO; more ``expensive`` than the best; ``tied`` with it, a
            trifle apart at most; ``undecided`` when it had all replications and may or may not meet the SLOs.
        costs: Cost by replication.
        met: Whether each replication met the SLOs.
        missed: Distance of each replication from the SLOs, as a share of the limit; infinite where failures make it so.
        unanswered: Requests without a successful response in each replication.
        cost: Mean cost.
        share: Share of replications that met the SLOs.
        ahead: Figures of its next replications where they are simulated already, with those of other candidates.
    """

    place: Place
    settings: dict[str, Any]
    runner: Runner
    state: State = "open"
    costs: Floats = field(default_factory=lambda: np.zeros(0))
    met: Bools = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    missed: Floats = field(default_factory=lambda: np.zeros(0))
    unanswered: Floats = field(default_factory=lambda: np.zeros(0))
    cost: float = math.nan
    share: float = math.nan
    ahead: Figures | None = None

    def show(self, **shown: Array) -> None:
        """Take what all replications so far showed; its means are asked for in each comparison."""
        for name, values in shown.items():
            setattr(self, name, values)
        self.cost, self.share = float(np.mean(self.costs)), float(np.mean(self.met))

    @property
    def count(self) -> int:
        """Replications so far."""
        return len(self.costs)

    @property
    def changes(self) -> int:
        """How many settings differ from the experiment."""
        return len(self.settings)

    @property
    def miss(self) -> float:
        """Median distance from the SLOs."""
        return float(np.median(self.missed))

    def bounds(self, z: float) -> tuple[float, float]:
        """Interval of the probability to meet the SLOs."""
        return wilson(int(self.met.sum()), self.count, z)


def gap(one: Candidate, other: Candidate) -> Gap:
    """Relative difference in cost ``one - other`` over the replications that both have.

    Infinite where a replication of ``one`` cannot be billed.
    """
    if one is other:
        return Gap(0.0, 0.0, 0.0)
    if not math.isfinite(one.cost):
        return Gap(math.inf, math.inf, math.inf)
    n = min(one.count, other.count)
    pairs = one.costs[:n] - other.costs[:n]
    scale = float(other.costs[:n].mean()) or 1.0
    mean = float(pairs.mean()) / scale
    half = float(half_width(pairs, COST_CONFIDENCE)) / abs(scale)
    return Gap(mean - half, mean, mean + half)


def alike(one: Candidate, other: Candidate) -> bool:
    """Whether two candidates cost the same in every replication that both have, and met the same SLOs."""
    n = min(one.count, other.count)
    return bool(np.array_equal(one.costs[:n], other.costs[:n]) and np.array_equal(one.met[:n], other.met[:n]))


def _nearness(one: Candidate) -> tuple[float, ...]:
    # Where failures make every distance infinite, fewer failures are nearer.
    miss = round(one.miss / NEAR) if math.isfinite(one.miss) else math.inf
    return (-one.share, miss, float(np.mean(one.unanswered)), one.cost)


@dataclass(eq=False)
class Race:
    """The race for the cheapest settings that meet their SLOs.

    Attributes:
        space: Where to look.
        make: Makes the runner of settings; raises a KpasimError where they cannot be.
        slos: What a run must meet.
        probability: Smallest probability to meet them.
        cost_figure: What is to be least.
        seed: Seed of the sample that the race begins with.
        budget: Replications at most.
        progress: Called with the replications simulated and the candidates still open.
        simulate: Simulates replications of runners, on so many threads (0: on all cores).
        candidates: All that took part, by point.
        best: The cheapest of those that meet the SLOs so far.
        simulated: Replications simulated in all.
        cut_short: Whether the race ended because its replications were spent.
        refused: Points that cannot be.
    """

    space: Space
    make: Callable[[dict[str, Any]], Runner]
    slos: Sequence[Slo]
    probability: float
    cost_figure: str
    _: KW_ONLY
    seed: int
    budget: int
    progress: Callable[[int, int], None]
    simulate: Callable[[Sequence[tuple[Runner, range]], int], list[Figures]] = slo_figures_of
    candidates: dict[Place, Candidate] = field(default_factory=dict)
    best: Candidate | None = None
    simulated: int = 0
    cut_short: bool = False
    refused: set[Place] = field(default_factory=set)
    _looked: set[tuple[str, Place]] = field(default_factory=set)

    def run(self) -> None:
        """Race until the best is known, nothing is left to try, or the budget is spent."""
        # A small budget begins with fewer points, to have something left for those that look good.
        start = max(1, min(SAMPLE, self.budget // (4 * FIRST)))
        origin = self.space.origin
        near = [origin, *self.space.lines(origin)][: 1 + start // 2]
        self.join([*near, *self.space.sample(start, self.seed)])
        while not self.spent:
            one = self._next()
            if one is None:
                if self._look_around():
                    continue
                one = self._closest()
                if one is None:
                    return
                self.execute(one, 2 * one.count)
                self._judge(one)
            elif one.count < SERIOUS or not self._look("lines", one):
                if self.best is not None and one.count < SERIOUS:
                    # All of them have their turn, one after the other.
                    self._execute_ahead(self._equals(one), 2 * one.count)
                self.execute(one, min(2 * one.count, LAST))
                self._judge(one)
        self.cut_short = True

    def dismiss(self, one: Candidate) -> None:
        """Take a candidate out of the race, because it missed an SLO when it was judged, and let the others race on."""
        one.state = "missed"
        if one is not self.best:
            return
        self.best = None
        others = [each for each in self.candidates.values() if each.state in {"expensive", "tied"}]
        for other in others:
            other.state = "open"
        for other in sorted(others, key=lambda each: each.cost):
            self._judge(other)

    @property
    def nearest(self) -> Candidate:
        """The candidate that comes nearest to the SLOs, the cheapest of those that are about as near."""
        return min(self.candidates.values(), key=_nearness)

    def nearest_miss(self) -> Candidate:
        """The same after a closer look at those who seem to come nearest: few replications may have flattered them."""
        for one in sorted(self.candidates.values(), key=_nearness)[:NEAREST]:
            self.execute(one, SERIOUS)
        return self.nearest

    def allow(self, more: int) -> None:
        """Allow so many replications from now on."""
        self.budget = self.simulated + more

    def judge(self, one: Candidate) -> bool:
        """Whether a candidate almost surely meets the SLOs; simulates until that is known or no replication is left."""
        while True:
            if one.state == "missed" or one.bounds(DROP_Z)[1] < self.probability:
                return False
            if one.count >= SERIOUS and one.bounds(KEEP_Z)[0] >= self.probability:
                return True
            if one.count >= LAST or self.spent:
                return False
            self.execute(one, min(2 * one.count, LAST))

    @property
    def spent(self) -> bool:
        """Whether the replications that are allowed were simulated."""
        return self.simulated >= self.budget

    def among(self, state: State) -> list[Candidate]:
        """Candidates of a state, the cheapest first."""
        found = [one for one in self.candidates.values() if one.state == state and one is not self.best]
        return sorted(found, key=lambda one: one.cost)

    def join(self, places: Iterable[Place]) -> bool:
        """Let points join the race; returns whether there was a new one."""
        joined: list[Candidate] = []
        for place in places:
            left = self.budget - self.simulated - FIRST * len(joined)
            if place in self.candidates or place in self.refused or left <= 0:
                continue
            settings = self.space.settings(place)
            try:
                one = Candidate(place, settings, self.make(settings))
            except KpasimError:
                if place == self.space.origin:
                    raise
                self.refused.add(place)
                continue
            self.candidates[place] = one
            joined.append(one)
        self._execute_ahead(joined, FIRST)
        for one in joined:
            self.execute(one, FIRST)
            self._judge(one)
        return bool(joined)

    def execute(self, one: Candidate, count: int) -> None:
        """Simulate a candidate up to a number of replications, and the best along with it, so that they compare.

        One that did exactly as another one in all replications so far is taken to go on doing so.
        """
        # Beyond what all may have, a candidate is known to be cheaper than the best, and is simulated alone.
        for each in (one, self.best if count <= LAST else None):
            if each is None or each.count >= count:
                continue
            twin = self._twin(each, count) if each.count >= TWINS else None
            if twin is not None:
                each.show(**{name: getattr(twin, name)[:count] for name in ("costs", "met", "missed", "unanswered")})
                continue
            figures, each.ahead = each.ahead, None
            if figures is None or len(figures["requests"]) != count - each.count:
                [figures] = self.simulate([(each.runner, range(each.count, count))], 0)
            self.simulated += count - each.count
            each.show(
                # What cannot be billed is never the cheapest.
                costs=np.append(each.costs, np.nan_to_num(figures[self.cost_figure], nan=np.inf)),
                met=np.append(each.met, all_met(self.slos, figures)),
                missed=np.append(each.missed, worst_miss(self.slos, figures)),
                unanswered=np.append(each.unanswered, figures["requests"] - figures["ok"]),
            )
        self.progress(self.simulated, [each.state for each in self.candidates.values()].count("open"))

    def _execute_ahead(self, some: Sequence[Candidate], count: int) -> None:
        """Simulate candidates up to a number of replications together, which is cheaper, before they are executed."""
        some = [one for one in some if one.ahead is None]
        found = self.simulate([(one.runner, range(one.count, count)) for one in some], 0)
        for one, figures in zip(some, found, strict=True):
            one.ahead = figures

    def _equals(self, one: Candidate) -> list[Candidate]:
        """Candidates that are next with one: as many replications, and on the same side of the probability wanted.

        No more than the budget allows, and of those that did the same so far only the first.
        """
        found: list[Candidate] = []
        for each in sorted(self._open, key=lambda each: each.cost):
            beside = (each.count, each.share < self.probability) == (one.count, one.share < self.probability)
            if beside and not (each.count >= TWINS and self._twin(each, 2 * each.count, found)):
                found.append(each)
        return found[: math.ceil((self.budget - self.simulated) / one.count)]

    def _twin(self, one: Candidate, count: int, coming: Sequence[Candidate] = ()) -> Candidate | None:
        """A candidate with more replications whose costs, answers and misses were the same as far as both went.

        Or one that gets them soon.
        """
        some = [*coming, *(other for other in self.candidates.values() if other.count >= count)]
        same = (other for other in some if alike(one, other))
        return next((other for other in same if np.array_equal(one.missed, other.missed[: one.count])), None)

    def _judge(self, one: Candidate) -> None:
        """Decide what is to become of a candidate after what it has shown."""
        if one is self.best:
            return
        if one.bounds(DROP_Z)[1] < self.probability:
            one.state = "missed"
            return
        apart = None if self.best is None else gap(one, self.best)
        if apart is not None and apart.low > -TRIFLE:
            one.state = "expensive" if apart.low > 0 else "tied"
            return
        certain = math.isfinite(one.cost) and one.count >= SERIOUS and one.bounds(KEEP_Z)[0] >= self.probability
        out_of_replications = one.count >= LAST
        if certain and (apart is None or apart.high < 0 or (out_of_replications and apart.mean < 0)):
            self._crown(one)
        elif out_of_replications:
            broken = one.bounds(LIKELY_Z)[1] < self.probability
            one.state = "missed" if broken else "tied" if certain else "undecided"

    def _crown(self, one: Candidate) -> None:
        """Make a candidate the best, and judge the others against it."""
        self.best = one
        one.state = "open"
        for other in list(self.candidates.values()):
            if other is not one and other.state in {"open", "undecided", "tied"}:
                self._judge(other)

    @property
    def _open(self) -> list[Candidate]:
        """Candidates that may win."""
        return [one for one in self.candidates.values() if one.state == "open" and one is not self.best]

    def _next(self) -> Candidate | None:
        """The candidate to simulate next: the cheapest that seems to meet the SLOs, else one that may meet them."""
        found = self._open
        if not found:
            return None
        if self.best is None:
            return min(found, key=lambda one: (one.share < self.probability, -one.share, one.cost, one.miss))
        return min(found, key=lambda one: (one.share < self.probability, one.count, one.cost))

    def _closest(self) -> Candidate | None:
        """Who may be better than the best, which more replications would tell; not those who do the same."""
        best = self.best
        if best is None:
            return None
        found = [one for one in self.among("tied") if one.count < CLOSE and not alike(one, best)]
        found += [one for one in self.among("undecided") if self._hopeful(one) and gap(one, best).high < -TRIFLE]
        return min(found, key=lambda one: (one.count, one.cost), default=None)

    def _hopeful(self, one: Candidate) -> bool:
        """Whether a candidate may yet be called good: it has replications left, and may be good enough for them."""
        enough = self.probability + KEEP_Z * math.sqrt(self.probability * (1.0 - self.probability) / LATEST)
        return one.count < LATEST and one.bounds(HOPEFUL_Z)[1] >= enough

    def _look_around(self) -> bool:
        """Let neighbours of the best, or of the nearest miss, join; returns whether there were new ones."""
        centre = self.best or self.nearest
        return self._look("lines", centre) or self._look("diagonals", centre)

    def _look(self, where: Literal["lines", "diagonals"], one: Candidate) -> bool:
        """Let the neighbours of a candidate join, once; returns whether there were new ones."""
        if (where, one.place) in self._looked:
            return False
        self._looked.add((where, one.place))
        around = self.space.lines if where == "lines" else self.space.diagonals
        return self.join(around(one.place))
