"""Autoscalers that a command line names, each with what it needs for one experiment.

An experiment that states Knative's settings only is enough: bounds are those of its annotations, targets those of its
manifest, and what nothing says is the default of the autoscaler's own project. All of that is told (``assumed``).
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpasim.engines import sampling
from kpasim.engines.scaling import target_of
from kpasim.errors import ExperimentError, RunError
from kpasim.results.display import counted, number
from kpasim.spec.base import suggestion
from kpasim.spec.experiment import Experiment
from kpasim.spec.objects import objects_in, split_name
from kpasim.spec.quantities import duration_text
from kpasim.spec.scalerobjects import is_scaler_file, scaling_in
from kpasim.spec.scaling import DAY_S, DAYS, KINDS, Aim, Lookahead, Other, Schedule, Spare
from kpasim.spec.workload import OpenLoop
from kpasim.spec.yamlfile import only_mapping, read_documents
from kpasim.studies.own import Own, own_autoscaler
from kpasim.studies.steady import mean_cold_start_s

ALIASES = {"ray": "ray-serve"}
"""Shorter names of kinds."""
QUARTER_S = 900
"""Length of the stretches of time that a schedule is made of."""
EARLIER_LOADS = 5
"""Draws of the load, with other random numbers, that a schedule is made from."""
UNITS = {"rps": "requests/s", "request-rate": "requests/s", "utilization": "% busy", "cpu": "% of the CPU request"}
"""Units of metrics that do not count requests."""


class Rival(NamedTuple):
    """An autoscaler under which an experiment is simulated.

    Attributes:
        name: Short name, as on the command line.
        experiment: The experiment with this autoscaler.
        assumed: What nobody stated, in words; empty for the experiment's own autoscaler.
        own: A function of a user's own that decides; ``None`` for the autoscalers of kpasim.
    """

    name: str
    experiment: Experiment
    assumed: str = ""
    own: Own | None = None


def rivals(experiment: Experiment, texts: Sequence[str], changes: Mapping[str, Any] | None = None) -> list[Rival]:
    """The experiment as it is, then under each autoscaler that is named.

    Args:
        experiment: The experiment.
        texts: Each a kind (of ``KINDS`` or ``ALIASES``; ``spare:2`` has a number), a YAML file with a section
            ``autoscaler`` or with an HPA, a ScaledObject or the HTTP add-on's objects, or ``FILE.py:FUNCTION``;
            several with commas between.
        changes: Settings of autoscalers by path, the first part of which is the name: ``keda.polling-interval``.

    Raises:
        RunError: One is unknown, is named twice, or cannot be for this experiment.
    """
    changes = dict(changes or {})
    for path in changes:
        if not path.partition(".")[2]:
            raise RunError(f"--with-set {path}: names no setting of an autoscaler (write keda.polling-interval=10s)")
    own = experiment.scaling
    found = [Rival(f"spare:{own.pods}" if isinstance(own, Spare) else own.kind, experiment)]
    for text in (part.strip() for whole in texts for part in whole.split(",")):
        if not text:
            continue
        rival = _rival(experiment, text, changes)
        if rival.name in {one.name for one in found}:
            raise RunError(f"--with {text}: {rival.name} is compared already")
        found.append(rival)
    if len(found) < 2:
        raise RunError(f"--with: names no autoscaler (write some of {', '.join(KINDS)})")
    unused = [path for path in changes if path.partition(".")[0] not in {one.name for one in found[1:]}]
    if unused:
        raise RunError(f"--with-set {unused[0]}: begins with no autoscaler of --with (write keda.polling-interval=10s)")
    return found


def _rival(experiment: Experiment, text: str, changes: Mapping[str, Any]) -> Rival:
    """The autoscaler that one part of ``--with`` names."""
    if ".py:" in text:
        path, _, function = text.rpartition(":")
        plain = experiment.with_setting("autoscaler", "kpa")
        name = f"{Path(path).name}:{function}"
        about = f"{name} is asked every 2s; the activator, min-scale and max-scale are Knative's"
        return Rival(name, plain, about, own_autoscaler(path, function))
    if is_scaler_file(text):
        given, name = _of_file(text), Path(text.partition("#")[0]).stem
        chosen = _with(experiment, text, given, name, changes)
        return Rival(name, chosen, f"{name}: {assumed_of(chosen)}, of {text}")
    kind, colon, value = text.partition(":")
    kind = ALIASES.get(kind, kind)
    if kind not in KINDS or (colon and kind != "spare"):
        if text.endswith(".py"):
            raise RunError(f"--with {text}: names no function (write {text}:decide)")
        known = (*KINDS, *ALIASES)
        close = suggestion(kind, known)
        hint = f"{close} " if close.startswith("did") else ""
        kinds = ", ".join(known).replace("spare", "spare:2")
        raise RunError(
            f"--with {text}: no such autoscaler ({hint}write one of {kinds}, a YAML file with one, or mine.py:decide)"
        )
    name = f"spare:{value or 1}" if kind == "spare" else kind
    if colon and not value.isdecimal():
        raise RunError(f"--with {text}: spare takes a number of pods (write spare:2)")
    chosen = _with(experiment, text, {"kind": kind, **_defaults(experiment, kind, value)}, name, changes)
    return Rival(name, chosen, f"{name}: {assumed_of(chosen)}")


def _of_file(text: str) -> Any:
    """The autoscaler of a YAML file: its section ``autoscaler``, or the objects of an HPA, KEDA or its HTTP add-on."""
    documents = read_documents(split_name(text)[0])
    if objects_in(documents):
        return scaling_in(documents, text)
    given = only_mapping(documents, text, kind="an experiment, or a section autoscaler").data.get("autoscaler")
    if given is None:
        raise RunError(f"--with {text}: has no section autoscaler, and no HorizontalPodAutoscaler or ScaledObject")
    return given


def _with(
    experiment: Experiment, text: str, given: str | Mapping[str, Any], name: str, changes: Mapping[str, Any]
) -> Experiment:
    """The experiment with an autoscaler and the changes that are for it."""
    mine = {path.partition(".")[2]: value for path, value in changes.items() if path.partition(".")[0] == name}
    try:
        found = experiment.with_setting("autoscaler", given if isinstance(given, str) else dict(given))
        return found.with_settings({f"autoscaler.{path}": value for path, value in mine.items()}) if mine else found
    except ExperimentError as error:
        raise RunError(f"--with {text}: {error.problems[0].place}: {error.problems[0].message}") from None


def _defaults(experiment: Experiment, kind: str, value: str) -> dict[str, Any]:
    """What an autoscaler takes from Knative's settings; the rest is its own default."""
    if kind == "spare":
        return {"pods": int(value or 1)}
    if kind == "schedule":
        return schedule_of(experiment)
    chosen = KINDS[kind]
    if not issubclass(chosen, Other):
        return {}
    return chosen.from_knative(experiment.revision.min_scale, of_kserve=experiment.service.kserve is not None)


def assumed_of(experiment: Experiment) -> str:
    """The settings of an autoscaler that nobody stated, in words."""
    scaling, most = experiment.scaling, experiment.revision.max_scale
    if isinstance(scaling, Spare):
        return f"Knative's answer plus {counted(scaling.pods, 'pod')}"
    if isinstance(scaling, Schedule):
        spans = [f"{one.days} {one.start} to {one.end}: {counted(one.replicas, 'pod')}" for one in scaling.windows]
        more = f" and {len(spans) - 3} more windows" if len(spans) > 4 else ""
        shown = "; ".join(spans[:3] if more else spans)
        own = "the load's own rate, a cold start ahead" if isinstance(experiment.workload, OpenLoop) else "the clients"
        return f"minimum of pods from {own}: {shown}{more}"
    if isinstance(scaling, Lookahead):
        ahead_s = scaling.scale_up_forward_s
        ahead = "a mean cold start" if ahead_s is None else duration_text(ahead_s)
        days = "day" if scaling.history_days == 1 else "days"
        return f"{scaling.quantile:g} % of the demand of {scaling.history_days} earlier {days}, {ahead} ahead"
    if isinstance(scaling, Other):
        target = number(target_of(experiment, scaling.aim))
        unit = UNITS.get(scaling.aim.metric) or ("request" if target == "1" else "requests")
        unit += " in flight" * (scaling.aim.metric == "concurrency")
        return f"target {target} {unit} a pod, {scaling.least} to {scaling.max_of(most)} pods, {scaling.in_words}"
    return "as the manifest says"


def schedule_of(experiment: Experiment) -> dict[str, Any]:
    """A schedule that fits the load: the pods that its rate needs at each quarter of an hour, a cold start ahead.

    The rate is that of other draws of the same load, as somebody would see it on earlier days; a load that is recorded
    repeats itself. The demand is the rate times the mean service time (Little's law), and its largest quarter counts
    for each window.

    Clients of a closed loop are the demand themselves: one request each, for the first hour.

    Raises:
        RunError: The load needs no pod for a whole quarter of an hour.
    """
    workload, most = experiment.workload, experiment.revision.max_scale
    if not isinstance(workload, OpenLoop):
        pods = math.ceil(workload.concurrency / target_of(experiment, Aim("concurrency", None)))
        return {"windows": [{"days": DAYS[0], "start": "00:00", "end": "01:00", "replicas": min(pods, most or pods)}]}
    sent_s = [
        sampling.arrivals(workload, experiment.seed + 1 + draw, draw) / 1e9
        for draw in range(EARLIER_LOADS if workload.is_random else 1)
    ]
    length_s = max((float(times[-1]) for times in sent_s if len(times)), default=0.0)
    edges = np.arange(0.0, (math.floor(length_s / QUARTER_S) + 2) * QUARTER_S, QUARTER_S)
    rate = np.mean([np.histogram(times, edges)[0] for times in sent_s], axis=0) / QUARTER_S
    demand = rate * experiment.model.service_time.time.mean_s()
    target = target_of(experiment, Aim("concurrency", None))
    pods = np.ceil(demand / target - 1e-9).astype(int)
    most = most or pods.max(initial=0)
    by_place: dict[int, int] = {}
    for quarter, needed in enumerate(np.minimum(pods, most).tolist()):
        place = quarter % (7 * DAY_S // QUARTER_S)  # the load begins on Monday at midnight
        by_place[place] = max(by_place.get(place, 0), needed)
    ahead_min = math.ceil(mean_cold_start_s(experiment) / 60)
    windows = _windows(by_place, ahead_min)
    if not windows:
        raise RunError("--with schedule: the load needs no pod for a whole quarter of an hour (write windows yourself)")
    return {"windows": windows}


def _windows(by_place: Mapping[int, int], ahead_min: int) -> list[dict[str, Any]]:
    """Neighbouring quarters with the same pods, joined; windows that are alike on several days, once."""
    found: dict[tuple[int, int, int], list[int]] = {}
    of_day = DAY_S // QUARTER_S
    for day in range(7):
        end = 0
        for pods, alike in itertools.groupby(by_place.get(day * of_day + quarter, 0) for quarter in range(of_day)):
            begin, end = end, end + len(list(alike))
            if pods:
                found.setdefault((begin, end, pods), []).append(day)
    return [
        {
            "days": ",".join(DAYS[day] for day in days),
            "start": _clock(max(0, begin * QUARTER_S // 60 - ahead_min)),
            "end": _clock(end * QUARTER_S // 60),
            "replicas": pods,
        }
        for (begin, end, pods), days in sorted(found.items())
    ]


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
