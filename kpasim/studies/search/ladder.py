"""The cheapest settings with one change, with two changes ...: most of what can be saved takes few of them."""

from kpasim.studies.search.race import LAST, Candidate, Race, gap

TOLERANCE = 0.01
"""Share of the cost that fewer changes may cost more."""
_SAME = 3
"""Digits after the point of relative costs that are called the same."""


def _fewer_changes(race: Race, best: Candidate) -> Candidate:
    """The best of a race without changes that are hardly worth it: each is taken back where that costs nothing.

    Returns:
        Settings that meet the SLOs and almost surely cost no more than the best but for the tolerance.
    """
    fewest = best
    for axis, own in enumerate(race.space.origin):
        place = (*fewest.place[:axis], own, *fewest.place[axis + 1 :])
        race.join([place])
        one = race.candidates.get(place)
        if one is not None and race.judge(one) and _as_cheap(race, one, best):
            fewest = one
    return fewest


def climb(race: Race, best: Candidate) -> list[Candidate | None]:
    """The cheapest candidate that meets the SLOs with at most 0, 1, 2 ... changes, up to those of the best of a race.

    Beside what the race has tried, these are points that take changes of the best back, and points one change away
    from the step before.

    Returns:
        One for each number of changes; None where nothing that was tried meets the SLOs.
    """
    # First of all, whatever the budget: whether the present settings meet the SLOs.
    race.judge(race.candidates[race.space.origin])
    _fewer_changes(race, best)
    race.join(race.space.between(best.place))
    steps: list[Candidate | None] = []
    for changes in range(best.changes + 1):
        before = (steps and steps[-1]) or _nearest(race, changes - 1)
        if before is not None:
            race.join(place for place in race.space.lines(before.place) if race.space.changes(place) <= changes)
        step = _cheapest(race, best, [one for one in race.candidates.values() if one.changes <= changes])
        if step is not None:
            # It may have fewer changes than are allowed: what it took joined only now.
            steps[step.changes :] = [step] * (changes - step.changes)
        steps.append(step)
    return steps


def fewest_changes(race: Race, best: Candidate, steps: list[Candidate | None]) -> Candidate:
    """The first step that almost surely costs no more than the best but for the tolerance."""
    for one in steps:
        if one is not None and _as_cheap(race, one, best):
            return one
    return best


def _cheapest(race: Race, best: Candidate, among: list[Candidate]) -> Candidate | None:
    """The cheapest of some candidates that meets the SLOs; of equal ones that with the smallest steps."""
    winner: Candidate | None = None
    for one in sorted(among, key=lambda one: gap(one, best).mean):
        if winner is not None and gap(one, best).low > gap(winner, best).mean:
            continue
        if race.judge(one) and (winner is None or _order(race, one, best) < _order(race, winner, best)):
            winner = one
    return winner


def _order(race: Race, one: Candidate, best: Candidate) -> tuple[float, int, int]:
    far = sum(abs(index - own) for index, own in zip(one.place, race.space.origin, strict=True))
    return round(gap(one, best).mean, _SAME), one.changes, far


def _as_cheap(race: Race, one: Candidate, best: Candidate) -> bool:
    while True:
        apart = gap(one, best)
        if apart.high <= TOLERANCE or apart.low > TOLERANCE or one.count >= LAST or race.spent:
            return apart.high <= TOLERANCE
        race.execute(one, min(2 * one.count, LAST))


def _nearest(race: Race, changes: int) -> Candidate | None:
    """Where nothing with so many changes meets the SLOs: what comes nearest."""
    few = [one for one in race.candidates.values() if one.changes <= changes]
    return min(few, key=lambda one: (-one.share, one.miss, one.cost), default=None)
