"""Models from measured files: service time, cold start and their uncertainty, with how well they fit.

Distributions are fitted to files with single times. From a report of hey, the model is inferred by simulating the
experiment under many models, see `kpasim.studies.fit.inference`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

import kpasim
from kpasim.arrays import Floats
from kpasim.errors import RunError
from kpasim.records import Record, read
from kpasim.results.files import write_text
from kpasim.results.hey import HeyReport, report
from kpasim.spec.experiment import Experiment
from kpasim.spec.sharing import sharing
from kpasim.spec.workload import Hey
from kpasim.studies.fit import lines, modelfile, summaries
from kpasim.studies.fit.classes import names_of
from kpasim.studies.fit.clients import fit_clients
from kpasim.studies.fit.direct import Served, fit_service
from kpasim.studies.fit.families import BOOTSTRAPS, NOTHING, Fit, fit, sample
from kpasim.studies.fit.starts import StageFit, Starts, fit_starts

DRAWS = 200
"""Draws of what remains uncertain that a model file keeps."""
FEW_OUTSIDE = 3
"""Lines of a report outside their intervals from which on it is said that it is not explained."""
FEW_PARTS = 4
"""Distributions beyond which a model file keeps no draws: where so many are told apart each rests on many requests."""
KEPT = ("shutdown", "cancel-stops-work")
"""What a model says besides times; taken from the experiment's."""
KEPT_OF_SERVICE = ("by", "shared-by", "first-byte", "chunk-interval", "slots", "slowdown", "per-instance-type")
"""The same of its service time."""
KEPT_OF_START = ("crash", "always-fails")
"""The same of its cold start."""


@dataclass(frozen=True)
class Part:
    """One fitted distribution.

    Attributes:
        place: Its place in the model file.
        name: What it is, in words.
        fit: The distribution, and the times that it was fitted to.
    """

    place: str
    name: str
    fit: Fit


@dataclass(frozen=True)
class Calibration:
    """A fitted model and what is known of it.

    Attributes:
        name: The model's.
        model: The model as its file holds it.
        method: ``"direct"`` or ``"simulation"``.
        sample: How much of what was used: requests, timeouts, pods, runs simulated.
        estimates: Figures of the model: value, and the ends of its 90 % interval.
        parts: Distributions that were fitted to times.
        slowdown: Contention factor while 1, 2, 3 ... requests share a pod, with the ends of its 90 % interval.
        lines: For each summary statistic of a report: measured, predicted, 90 % interval, whether it was fitted.
        candidates: Candidate models of pod starts, the best first.
        equivalent: Names of candidates without a significant difference from the best.
        unidentified: Parameters whose posterior is as wide as their prior.
        values: Posterior draws of the uncertain numbers, where they were inferred.
        draws: Posterior draws of the estimates, likewise.
        notes: What a user should know.
    """

    name: str
    model: Mapping[str, Any]
    method: str
    sample: Mapping[str, int]
    estimates: Mapping[str, tuple[float, float, float]]
    parts: Sequence[Part] = ()
    slowdown: Sequence[tuple[float, float, float]] = ()
    lines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    candidates: Sequence[summaries.Compared] = ()
    equivalent: Sequence[str] = ()
    unidentified: Sequence[str] = ()
    values: Mapping[str, Floats] = field(default_factory=dict, repr=False)
    draws: Mapping[str, Floats] = field(default_factory=dict, repr=False)
    notes: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """What ``kpasim calibrate --json`` prints."""
        return {
            "name": self.name,
            "method": self.method,
            "sample": dict(self.sample),
            "estimates": _with_ends(self.estimates),
            "fits": [
                {
                    "place": part.place,
                    "name": part.name,
                    "family": part.fit.family,
                    "size": len(part.fit.times),
                    "censored": part.fit.times.censored,
                    "bic": dict(part.fit.bic),
                    "distance": part.fit.distance,
                    "qq": {"apart": part.fit.qq[0], "at": part.fit.qq[1], "bad": part.fit.bad},
                    "figures": _with_ends(part.fit.figures),
                }
                for part in self.parts
            ],
            "slowdown": [{"value": v, "lo": lo, "hi": hi} for v, lo, hi in self.slowdown],
            "lines": {name: dict(line) for name, line in self.lines.items()},
            "explanations": [asdict(one) for one in self.candidates],
            "alike": list(self.equivalent),
            "unidentified": list(self.unidentified),
            "notes": list(self.notes),
            "model": {key: value for key, value in self.model.items() if key != "posterior"},
            "draws": len(self.model.get("posterior", ())),
        }

    def text(self, comment: Sequence[str] = ()) -> str:
        """The model file, below some lines of comment."""
        return modelfile.text(self.model, comment)

    def write(self, path: str | Path, comment: Sequence[str] = ()) -> None:
        """Write the model file.

        Raises:
            RunError: It cannot be written.
        """
        write_text(path, self.text(comment))


def calibrate(
    files: str | Path | Sequence[str | Path],
    experiment: Experiment | None = None,
    *,
    name: str = "",
    candidate: str = "auto",
    without: Sequence[str] = (),
    stages: Mapping[str, str | Path] | None = None,
    columns: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    direct: bool = False,
    draws: int = DRAWS,
    seed: int = 1,
    effort: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
    service: str = "one-kind",
    reproduce: bool = False,
    only: str = "",
    clients: Mapping[int, str | Path] | None = None,
) -> Calibration:
    """Fit a model to measured files.

    Single times (a run folder, a CSV file, a trace, pods as kubectl prints them) are fitted directly: the family
    with the smallest Bayesian information criterion; times that broke off are right-censored. From a report of hey, or
    its CSV where several clients waited in one queue, the model is inferred by simulation.

    Args:
        files: One file or folder, or several that are about the same service.
        experiment: Experiment of the measured run; required for a report of hey. Its model supplies what files lack.
        name: Name of the model; that of the first file when not given.
        candidate: Candidate model of pod starts: a name out of ``CANDIDATES``, or ``"auto"`` for the candidate that
            predicts the report best.
        without: Summary statistics of a report to predict instead of fitting, such as ``total``.
        stages: Stages of a start by name, each with a file of its durations.
        columns: For CSV files, which column holds what; see `kpasim.records.tabular.read_csv`.
        skip_bad: Leave malformed lines out.
        direct: Use latencies as service times even where requests waited in a queue.
        draws: Draws of the uncertain parameters to keep.
        seed: Seed of all random numbers.
        effort: Simulated runs for a report of hey, as a multiple of those that a minute on two cores allows.
        progress: Called with the number of steps done, and of all.
        service: For a report of hey, the shape of the service time: ``"one-kind"`` (a shifted lognormal time) or
            ``"two-kinds"`` (two lognormal times, as of small and large pictures).
        reproduce: For a report of hey, tilt the posterior, as little as possible, so that each summary statistic is the
            median of its predictions.
        only: The one class of requests to fit, such as one endpoint of several; all of them when empty.
        clients: Load tests of one pod by their number of clients (1, 2, 4, 8 ...), from which service time and
            contention factors are fitted; other files may then hold pods.

    Raises:
        RecordError: A file cannot be read.
        RunError: The files do not tell enough, or not about this experiment.
    """
    paths = [files] if isinstance(files, str | Path) else list(files)
    loads = {count: read(path, skip_bad, columns=columns) for count, path in (clients or {}).items()}
    if not paths and not loads:
        raise RunError("no file to calibrate with")
    records = [read(path, skip_bad, columns=columns) for path in paths]
    if loads and any(one.requests or one.summary for one in records):
        raise RunError(
            "load tests of 1, 2, 4 ... clients (--clients) cannot be combined with files of requests, only of pods"
        )
    rng = np.random.default_rng(seed)
    notes = [f"{record.path}: {text}" for record in (*records, *loads.values()) for text in record.notes]
    period_s = experiment.service.probe.period_s if experiment is not None else 0.0
    service_name = experiment.service.name if experiment is not None else ""
    with_pods = [one for one in records if len(one.pods.get("pod", ()))]
    starts = fit_starts(with_pods, period_s, rng, service=service_name)
    notes += starts.notes
    extra = [_stage(stage, path, skip_bad, rng) for stage, path in (stages or {}).items()]
    summary = _summary(records, experiment, direct=direct or bool(only))
    title = name or Path(paths[0] if paths else "clients").name.split(".")[0]
    if summary is not None:
        if extra:
            raise RunError("stages cannot be combined with a report of hey; give pods as kubectl prints them")
        asked = summaries.Asked(candidate, service, reproduce, draws, seed, effort, progress)
        return _by_simulation(summary, records, experiment, title, starts.stages, tuple(without), asked, notes)
    served = fit_clients(loads, rng) if loads else fit_service(records, experiment, rng, only=only)
    if served is None and not starts.stages and not extra:
        why = [text for text in notes if "left out" in text or "leaves out" in text or "no duration" in text]
        if not columns and any(record.kind == "csv" for record in records):
            why.append("name the columns of a CSV file, such as --column duration=NAME")
        raise RunError("; ".join(["nothing to fit: no file has the duration of a response or a ready pod", *why]))
    return _by_fits(served, starts, extra, [*records, *loads.values()], experiment, title, draws, notes)


def _stage(name: str, path: str | Path, skip_bad: bool, rng: np.random.Generator) -> StageFit:
    """A stage of a start from a file of durations."""
    requests = read(path, skip_bad).requests
    times = sample(requests["duration_s"], requests["censored"]) if requests else NOTHING
    if len(times) == times.censored:
        raise RunError(f"{path}: no duration for the stage {name}")
    return StageFit(name, "start", fit(times, rng))


def _summary(
    records: Sequence[Record], experiment: Experiment | None, *, direct: bool
) -> tuple[HeyReport, Floats | None] | None:
    """The report to explain, with the times of the responses where they are known; ``None`` where times can be fitted.

    Raises:
        RunError: There are several, or it is not known of what.
    """
    reports: list[tuple[HeyReport, Floats | None]] = [(one.summary, None) for one in records if one.summary is not None]
    workload = experiment.workload if experiment is not None else None
    if isinstance(workload, Hey) and workload.concurrency > 1 and not direct:
        closed = [one for one in records if one.clients == "closed" and len(set(names_of(one.requests))) < 2]
        reports += [_report_of(one, workload) for one in closed]
    if not reports:
        return None
    if len(reports) > 1:
        raise RunError(
            "several reports, or load tests with queues: calibrate with one, or take latencies as they are (--direct)"
        )
    if experiment is None:
        raise RunError("a report of hey needs the experiment that was run (--experiment): queueing hides service times")
    if any(one.requests and one.clients != "closed" for one in records):
        raise RunError("a report of hey and files with single requests: calibrate with one kind of file")
    return reports[0]


def _report_of(record: Record, workload: Hey) -> tuple[HeyReport, Floats | None]:
    """The report that hey would have printed beside single requests, and when their responses came if that is known."""
    requests = record.requests
    start_s, latency_s, status = (requests[name] for name in ("start_s", "duration_s", "status"))
    found = report({"start_s": start_s, "latency_s": latency_s, "status": status})
    missing = (workload.per_worker or 0) * workload.concurrency - len(status)
    if missing > 0:
        # hey's CSV leaves out requests without a response; its report counts them.
        found = replace(found, errors={"left out of the CSV": missing})
    return found, None if record.grain_s else start_s + latency_s


def _by_simulation(
    summary: tuple[HeyReport, Floats | None],
    records: Sequence[Record],
    experiment: Experiment | None,
    title: str,
    starts: Sequence[StageFit],
    without: tuple[str, ...],
    asked: summaries.Asked,
    notes: list[str],
) -> Calibration:
    assert experiment is not None
    measured, ends_s = summary
    unknown = [one for one in without if one not in lines.LINES]
    if unknown:
        raise RunError(f"no summary statistic {unknown[0]!r} in a report of hey (one of {', '.join(lines.LINES)})")
    target = lines.target(measured, without, ends_s)
    found, compared, runs = summaries.explained(target, experiment, asked, starts)
    same = summaries.equivalent(compared)
    figures = found.figures
    estimates = {key: _interval(values) for key, values in figures.items()}
    source = [
        _made(records, f"a report of {measured.requests} requests"),
        "Method: simulation-based inference (regression-adjusted approximate Bayesian computation in shrinking "
        f"regions), {runs} runs of the experiment {experiment.name}, seed {asked.seed}",
        "Summary statistics fitted: "
        + ", ".join([*(one for one in target.names if one != "rps"), "histogram, errors"]),
        "Prior: " + "; ".join(f"{key} {text}" for key, text in found.priors.items()),
        "Posterior, median and 90 % interval: " + _said(estimates),
        *_tilted(found),
        *_explained(found, compared, same),
        "A single run was used: the variation between runs is known from the model only",
        *(f"Note: {text}" for text in found.notes),
    ]
    time, stages, posterior = found.written
    model = _model(experiment, title, source, {"time": time}, {"stages": stages})
    model["posterior"] = posterior
    counted = {
        "requests": measured.requests,
        "timeouts": sum(measured.errors.values()),
        "pods": sum(len(stage.time.times) for stage in starts[:1]),
        "runs": runs,
    }
    return Calibration(
        title,
        model,
        "simulation",
        counted,
        estimates,
        lines=found.lines,
        candidates=compared,
        equivalent=same,
        unidentified=found.unidentified,
        values=found.values,
        draws=figures,
        notes=[*notes, *found.notes, *_without_contention(experiment), *_unlike(found)],
    )


def _without_contention(experiment: Experiment) -> list[str]:
    """A note where requests can share a pod and the experiment's model does not say what that costs."""
    known = sharing(experiment)
    return [f"{known.text} A report does not show what sharing costs (see --clients)"] if known.assumed else []


def _unlike(found: summaries.Attempt) -> list[str]:
    """A note where the report is not like what the model predicts; of a dozen lines one may be outside by chance."""
    outside = [name for name, line in found.lines.items() if not line["lo"] <= line["measured"] <= line["hi"]]
    if len(outside) < FEW_OUTSIDE:
        return []
    return [
        f"no model of the prior reproduces the report: {', '.join(outside)} lie outside their 90 % intervals "
        "(is this the experiment of the report?)"
    ]


def _tilted(found: summaries.Attempt) -> list[str]:
    if not found.tilt:
        return []
    return [
        "Tilted (exponential tilting) so that each fitted statistic is the median of its predictions; KL divergence "
        f"from the posterior {found.tilt:.2f}, the smallest possible"
    ]


def _explained(found: summaries.Attempt, compared: Sequence[summaries.Compared], same: Sequence[str]) -> list[str]:
    said = [f"Candidate model: {found.candidate.name} ({found.candidate.says})"]
    if len(compared) > 1:
        scores = ", ".join(f"{one.name} {one.score:.1f} ({one.inside} of {one.lines})" for one in compared)
        said.append(f"Posterior predictive log score and statistics inside their 90 % interval: {scores}")
        others = ", ".join(same) if same else "none"
        said.append(f"Candidates without a significant difference in this report: {others}")
    if found.unidentified:
        said.append(f"Not identified, the posterior is about as wide as the prior: {', '.join(found.unidentified)}")
    return said


def _by_fits(
    served: Served | None,
    pods: Starts,
    extra: Sequence[StageFit],
    records: Sequence[Record],
    experiment: Experiment | None,
    title: str,
    draws: int,
    notes: list[str],
) -> Calibration:
    base = _base(experiment)
    service: dict[str, Any] = {}
    parts: list[Part] = []
    estimates: dict[str, tuple[float, float, float]] = {}
    counted = {"requests": 0, "timeouts": 0, "pods": 0, "runs": 0}
    if served is not None:
        service, parts = _service(served)
        counted |= {"requests": len(served.fit.times), "timeouts": served.fit.times.censored}
        for name, one in [(f"service {part.name}", part.time) for part in served.classes] or [("service", served.fit)]:
            estimates |= {f"{name}_{key}_s": value for key, value in one.figures.items()}
        notes += served.notes
    elif "service-time" in base:
        service = dict(base["service-time"]) if isinstance(base["service-time"], Mapping) else {}
        service = service if "distribution" not in service and service else {"time": base["service-time"]}
        notes.append("no file has service times: they are those of the experiment's model")
    else:
        raise RunError("no file has service times (give --experiment, whose model has some)")
    starts = [*pods.stages, *extra]
    load = served.load if served is not None else None
    cold = _with_load(_cold_start(starts, pods.crash_probability, base), load)
    if load is not None:
        estimates |= {f"first request, {key}_s": value for key, value in load.time.figures.items()}
    parts += [Part(f"cold-start.stages.{one.name}.time", f"start, {one.name}", one.time) for one in starts]
    notes += [text for part in parts for text in _bad(part)]
    counted["pods"] = sum(len(stage.time.times) for stage in pods.stages[:1])
    for stage in starts:
        estimates |= {f"{stage.name}_{key}_s": value for key, value in stage.time.figures.items()}
    if not starts:
        kept = experiment is not None and experiment.model.cold_start.stages
        said = "the cold start comes from the experiment's model" if kept else "the model has no cold start; add one"
        notes.append(f"no file has starts of pods: {said}")
    source = [
        _made(records, f"{counted['requests']} requests, {counted['timeouts']} timed out, {counted['pods']} pods"),
        "Method: maximum likelihood, family by smallest Bayesian information criterion (a large sample that fits no "
        f"family is used as it is), 90 % intervals from up to {BOOTSTRAPS} draws (of the posterior where times are "
        "exact and lognormal, else fitted to bootstrap resamples)",
        *(_fitted(part) for part in parts),
        *_about(served),
    ]
    sharing = served.sharing if served is not None else None
    without = ("slots", "slowdown") if sharing else ()
    model = _model(experiment, title, source, service, cold, without)
    posterior = _draws(parts, draws, served.curves if served is not None else ())
    if posterior:
        model["posterior"] = posterior
    curve = [(v, *ends) for v, ends in zip(sharing.slowdown, sharing.intervals, strict=True)] if sharing else []
    return Calibration(title, model, "direct", counted, estimates, parts=parts, slowdown=curve, notes=notes)


def _service(served: Served) -> tuple[dict[str, Any], list[Part]]:
    """The block ``service-time`` of a model, and its parts."""
    found: dict[str, Any] = {}
    if served.classes:
        found["classes"] = [
            {"name": one.name, "share": modelfile.rounded(one.share), "time": modelfile.written(one.time.time)}
            for one in served.classes
        ]
        parts = [
            Part(f"service-time.classes.{place}.time", one.name, one.time) for place, one in enumerate(served.classes)
        ]
    else:
        found["time"] = modelfile.written(served.fit.time)
        parts = [Part("service-time.time", "service time", served.fit)]
    if served.sharing is not None:
        if served.sharing.slots:
            found["slots"] = served.sharing.slots
        if served.sharing.slowdown:
            found["slowdown"] = [modelfile.rounded(value) for value in served.sharing.slowdown]
    if served.factors:
        found["per-instance-type"] = {name: modelfile.rounded(one[0]) for name, one in served.factors.items()}
    return found, parts


def _with_load(cold: Any, load: StageFit | None) -> Any:
    """The block ``cold-start`` with what first requests wait for, in place of such a stage of the experiment's."""
    if load is None:
        return cold
    cold = dict(cold) if isinstance(cold, Mapping) and "distribution" not in cold else {}
    stages = [dict(one) for one in cold.get("stages", ())]
    late = [place for place, one in enumerate(stages) if one.get("when", "before-ready") != "before-ready"]
    time = modelfile.written(load.time.time)
    if len(late) == 1:
        stages[late[0]] |= {"time": time}
    else:
        stages = [one for place, one in enumerate(stages) if place not in late]
        stages.append({"name": load.name, "kind": load.kind, "when": load.when, "time": time})
    return {**cold, "stages": stages}


def _cold_start(starts: Sequence[StageFit], crash: float | None, base: Mapping[str, Any]) -> Any:
    """The block ``cold-start``: stages that were fitted, and of the experiment's model what pods do not show."""
    if not starts:
        return base.get("cold-start") or {}
    before = base.get("cold-start")
    before = before if isinstance(before, Mapping) and "distribution" not in before else {}
    kept = {key: before[key] for key in KEPT_OF_START if key in before}
    if crash is not None:
        kept["crash"] = {**dict(kept.get("crash") or {}), "probability": modelfile.rounded(crash)}
    known = [dict(one) for one in before.get("stages", ())]
    names = [str(one.get("name")) for one in known]
    fitted = {
        stage.name: {"name": stage.name, "kind": stage.kind, "time": modelfile.written(stage.time.time)}
        | ({"at-a-time": stage.at_a_time} if stage.at_a_time else {})
        for stage in starts
    }
    # Stages of their own names refine the model's; the three that pods show replace all before readiness.
    if all(name in names for name in fitted):
        stages = [fitted.get(str(one.get("name")), one) for one in known]
    else:
        stages = [*fitted.values(), *(one for one in known if one.get("when", "before-ready") != "before-ready")]
    return {"stages": stages, **kept}


def _draws(parts: Sequence[Part], count: int, curves: Sequence[Floats] = ()) -> list[dict[str, Any]]:
    """Bootstrap draws of all numbers together; none where a model has many parts."""
    drawn = [part for part in parts if part.fit.draws]
    if not drawn or len(parts) > FEW_PARTS:
        return []
    found = []
    for row in range(count):
        one: dict[str, Any] = {}
        for part in drawn:
            one |= modelfile.settings(part.fit.draws[row % len(part.fit.draws)], part.place, whole=part.fit.mixed)
        if len(curves):
            factors = enumerate(curves[row % len(curves)])
            one |= {
                f"service-time.slowdown.{place}": modelfile.rounded(float(factor)) for place, factor in factors if place
            }
        found.append(one)
    return found


def _model(
    experiment: Experiment | None,
    title: str,
    source: Sequence[str],
    service: Mapping[str, Any],
    cold: Mapping[str, Any] | Any,
    without: Sequence[str] = (),
) -> dict[str, Any]:
    """A model of fitted parts, with what the experiment's model says beside them and the files do not tell."""
    base = _base(experiment)
    before = base.get("service-time")
    kept = {
        key: value
        for key, value in (before.items() if isinstance(before, Mapping) else ())
        if key in KEPT_OF_SERVICE and key not in without
    }
    model: dict[str, Any] = {"name": title}
    if base.get("description"):
        model["description"] = str(base["description"])
    model |= {"source": list(source), "service-time": {**kept, **service}}
    if cold:
        model["cold-start"] = cold
    return model | {key: base[key] for key in KEPT if key in base}


def _base(experiment: Experiment | None) -> Mapping[str, Any]:
    """The experiment's model as written."""
    found = experiment.raw.get("model") if experiment is not None else None
    return found if isinstance(found, Mapping) else {}


def _made(records: Sequence[Record], what: str) -> str:
    names = ", ".join(f"{Path(one.path).name} ({one.kind})" for one in records)
    measured = sorted({one.origin[:10] for one in records if one.origin})
    when = f", measured {' and '.join(measured)}" if measured else ""
    return f"Fitted by kpasim {kpasim.__version__} on {date.today().isoformat()} from {names}: {what}{when}"


def _fitted(part: Part) -> str:
    text = f"{part.name}: {part.fit.family}, {len(part.fit.times)} times"
    if part.fit.times.censored:
        text += f" ({part.fit.times.censored} censored)"
    if part.fit.bic:
        text += f", Q-Q distance {abs(part.fit.qq[0]):.1%} at p{100 * part.fit.qq[1]:.0f}"
    return text + ("; " + _said(part.fit.figures) if part.fit.figures else "")


def _about(served: Served | None) -> list[str]:
    if served is None:
        return []
    found = [
        f"{name}: {one[0]:.3g} times as long as the most common type ({one[1]:.3g} to {one[2]:.3g})"
        for name, one in served.factors.items()
        if one[1] != one[2]
    ]
    if served.sharing is not None and served.sharing.slowdown:
        sharing = served.sharing
        ends = (f"{low:.3g} to {high:.3g}" for low, high in sharing.intervals[1:])
        found.append(
            f"contention factors from {sharing.shared} requests that shared a pod, up to {len(sharing.slowdown)} "
            f"at once; 90 % intervals {', '.join(ends)}"
        )
    return found


def _bad(part: Part) -> list[str]:
    """A warning where a distribution does not follow its times, and what that means."""
    apart, share = part.fit.qq
    if not part.fit.bad:
        return []
    return [
        f"Warning: {part.name}: no family fits well: the p{100 * share:.0f} of the model is {abs(apart):.0%} "
        f"{'above' if apart > 0 else 'below'} that of the file (Q-Q distance); what is simulated with it is off by "
        "about as much. Look at --plot: are there several kinds of requests, or times that hold waiting?"
    ]


def _said(figures: Mapping[str, tuple[float, float, float]]) -> str:
    return ", ".join(
        f"{key.removesuffix('_s').replace('_', ' ')} {value:.4g} s ({low:.4g} to {high:.4g})"
        for key, (value, low, high) in figures.items()
    )


def _with_ends(figures: Mapping[str, tuple[float, float, float]]) -> dict[str, dict[str, float]]:
    return {name: {"value": value, "lo": low, "hi": high} for name, (value, low, high) in figures.items()}


def _interval(values: Floats) -> tuple[float, float, float]:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return float(middle), float(low), float(high)
