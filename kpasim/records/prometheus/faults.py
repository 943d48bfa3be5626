"""What is wrong with the series of a service: gaps, counter resets, revisions that are gone, what is missing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from kpasim.arrays import Floats
from kpasim.records.prometheus import names
from kpasim.records.prometheus.observation import ROLES, Gap, Reset, Revision, Series, Target
from kpasim.records.prometheus.targets import HOLD
from kpasim.records.record import iso


def find_gaps(
    series: Sequence[Series],
    targets: Mapping[Target, Floats],
    interval_s: Mapping[str, float],
    started_s: Mapping[Target, float],
) -> tuple[Gap, ...]:
    """Stretches without samples, of everything and of each target, also before a running process was scraped at all.

    ``series`` are at the finest step, ``targets`` the successful scrapes of each, ``started_s`` when its process began.
    """
    longest: dict[Target, Floats] = {}
    for one in series:
        if len(one.times_s) > len(longest.get(one.target, ())):
            longest[one.target] = one.times_s
    shortest = min((i for i in interval_s.values() if i > 0), default=0.0)
    everything = np.unique(np.concatenate(list(longest.values())))
    common = [Gap(a, b) for a, b in _holes(everything, HOLD * shortest)]
    result = list(common)
    for target, times in targets.items():
        role, instance, _ = target
        slack = interval_s[role]
        holes = _holes(times, HOLD * slack)
        since_s = max(float(everything[0]), started_s.get(target, np.inf))
        if slack and len(times) and role != "queue-proxy" and times[0] - since_s > 2 * HOLD * slack:
            holes.insert(0, (since_s, float(times[0])))
        for begin, end in holes:
            if not any(gap.begin_s - slack <= begin and end <= gap.end_s + slack for gap in common):
                result.append(Gap(begin, end, role, instance))
    return tuple(sorted(result, key=lambda gap: (gap.begin_s, gap.role, gap.instance)))


def _holes(times: Floats, hold_s: float) -> list[tuple[float, float]]:
    if hold_s <= 0:
        return []
    wide = np.flatnonzero(np.diff(times) > hold_s)
    return [(float(times[i]), float(times[i + 1])) for i in wide]


def find_resets(series: Sequence[Series]) -> tuple[Reset, ...]:
    """Falls of counters, those of one target between two scrapes together."""
    found: dict[tuple[Target, float, float], int] = defaultdict(int)
    for one in series:
        if one.kind == "counter":
            times = one.known.times_s
            for i in np.flatnonzero(np.diff(one.known.values) < 0):
                found[(one.target, float(times[i]), float(times[i + 1]))] += 1
    return tuple(
        Reset(before, after, role, instance, pod, count)
        for ((role, instance, pod), before, after), count in sorted(found.items(), key=lambda item: item[0][1:])
    )


def find_revisions(series: Sequence[Series], interval_s: Mapping[str, float]) -> tuple[Revision, ...]:
    """Each revision's lifetime: a deleted revision may be exported for longer, with constant values.

    At the activator its counters and gauges go on as long as the activator lives. Autoscalers of 1.19.0 to 1.19.6 went
    on as well (knative/serving#16200): their gauges speak of pods of which no queue-proxy is left.
    """
    hold = HOLD * max(interval_s.values())
    result = []
    known = [s for s in series if not np.isnan(s.values).all()]
    for name in sorted({s.revision for s in known} - {""}):
        own = [s for s in known if s.revision == name]
        first, exported = min(s.times_s[0] for s in own), max(s.times_s[-1] for s in own)
        by_role = {role: [s for s in own if s.role == role] for role in ROLES}
        changed = max(_last_change(s) for s in own)
        pods_end = max((s.known.times_s[-1] for s in by_role["queue-proxy"]), default=0.0)
        gauges = [s.known for s in by_role["autoscaler"]]
        gauges_end = max((s.times_s[-1] for s in gauges), default=0.0)
        alive = max(changed, pods_end, gauges_end)
        left = max((s.values[-1] for s in gauges if s.metric == "kn_revision_pods_count"), default=0.0)
        if left > 0 and by_role["queue-proxy"] and max(changed, pods_end) < gauges_end - hold:
            alive = max(changed, pods_end)
        gone = bool(by_role["autoscaler"]) and alive < exported - hold
        note = f"deleted by {iso(round(alive))} and exported on with constant values" if gone else ""
        result.append(Revision(name, float(first), float(alive if gone else exported), float(exported), note))
    return tuple(sorted(result, key=lambda revision: revision.first_s))


def _last_change(series: Series) -> float:
    """Time of the last sample that differs from the one before [s since 1970]; of the first where none does."""
    known = series.known
    changed = np.flatnonzero(np.diff(known.values) != 0)
    return float(known.times_s[changed[-1] + 1] if len(changed) else known.times_s[0])


def find_missing(series: Sequence[Series]) -> list[str]:
    """What a backtest would need and is not there."""
    there = {f"{one.metric} {one.role}" for one in series}
    needed = ((*key.split(), what) for key, what in names.NEEDED.items() if key not in there)
    return [f"{metric} ({role}): {what}" for metric, role, what in needed]
