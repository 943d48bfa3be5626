"""The work of the page: what is sent back for a state, message by message."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kpasim.engines import lower
from kpasim.errors import KpasimError, RunError
from kpasim.spec.experiment import Experiment
from kpasim.spec.quick import flow, hey_workload
from kpasim.studies.against import against
from kpasim.studies.check import findings
from kpasim.studies.common import rest_alike
from kpasim.studies.run import Result, after, simulate
from kpasim.ui import output
from kpasim.ui.across import REPLICATIONS, across
from kpasim.ui.knobs import knobs
from kpasim.ui.source import Source
from kpasim.ui.state import State, experiment_of, problems, replications_of
from kpasim.ui.view import view

FIRST_REPLICATIONS, FIRST_REQUESTS = 40, 120_000
"""Replications of the first response at most, and requests of all of them together."""
LEAST_REPLICATIONS = 5
"""Replications of the first response at least."""
MOST_COMPARED = 2
"""Variants of a comparison."""

Message = dict[str, Any]


class Job(BaseModel):
    """What the page asks for.

    Attributes:
        kind: ``run``: figures of a state; ``across``: one setting over its range; ``out``: a file; ``hey``: hey's flags
            as a workload.
        state: The variant that is shown.
        pinned: The variant that it is compared with.
        path: The setting of ``across``.
        what: The file of ``out``.
        flags: hey's flags.
        page: The page that asks: its newer jobs abandon its older ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["run", "across", "out", "hey"]
    state: State = State()
    pinned: State | None = None
    path: Annotated[str, Field(max_length=200)] = ""
    what: Literal["experiment", "manifest", "report"] = "experiment"
    flags: Annotated[str, Field(max_length=500)] = ""
    page: Annotated[str, Field(max_length=50)] = ""


def parse_job(data: bytes) -> Job:
    """A job out of the body of a request.

    Raises:
        RunError: It is none.
    """
    try:
        return Job.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise RunError(f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from None


def perform(source: Source, job: Job, finished: Callable[[int, int], None]) -> Iterator[Message]:
    """The messages of a job; what the user can fix is one of them. ``finished`` may raise to end the work."""
    try:
        yield from _WORK[job.kind](source, job, finished)
    except KpasimError as error:
        yield {"kind": "problems", "problems": problems(error)}


def _run(source: Source, job: Job, finished: Callable[[int, int], None]) -> Iterator[Message]:
    experiment = experiment_of(source, job.state)
    pinned = experiment_of(source, job.pinned) if job.pinned is not None else None
    params = lower.lower(experiment)
    count = replications_of(experiment, params)
    if pinned is not None:
        count = min(count, replications_of(pinned))
    first = min(count, max(LEAST_REPLICATIONS, min(FIRST_REPLICATIONS, FIRST_REQUESTS // max(1, params.requests))))
    for replications in dict.fromkeys((first, count)):
        shown = _simulated(experiment, pinned, replications, finished)
        yield {"kind": "figures", "of": count, "final": replications == count, **shown}
        if replications == first:
            yield _setup(source, job, experiment, pinned, count)


def _simulated(
    experiment: Experiment, pinned: Experiment | None, count: int, finished: Callable[[int, int], None]
) -> Message:
    """The figures of so many replications."""
    runs = count * (1 if pinned is None else 1 + MOST_COMPARED)

    def alone(done: int) -> None:
        finished(done, runs)

    if pinned is None:
        return view(simulate(experiment, replications=count, progress=alone))
    # The tiles are those of `kpasim run`; the verdicts those of `kpasim run --against`, which may end both runs later.
    compared = against(pinned, experiment, replications=count, progress=after(alone, count))
    same = compared.end_s == experiment.horizon_s and not compared.met_idle and rest_alike(pinned, experiment)
    result = compared.other if same else simulate(experiment, replications=count, progress=alone)
    return view(result, compared)


def _setup(source: Source, job: Job, experiment: Experiment, pinned: Experiment | None, count: int) -> Message:
    """What the page shows beside the figures: settings, manifest, changes, commands."""
    asked = experiment.replications
    manifest = experiment.service.to_yaml()
    compare = ""
    if job.pinned is not None and pinned is not None:
        compare = output.compare_command(source, (job.pinned, pinned), (job.state, experiment), count)
    return {
        "kind": "setup",
        "name": source.name,
        "knobs": [asdict(one) | {"changed": one.changed} for one in knobs(experiment, source.experiment)],
        "load": experiment.workload.kind,
        "workload": flow(experiment.raw["workload"]),
        "manifest": manifest,
        "edited": job.state.text not in {None, source.manifest},
        "changes": output.changes(source, experiment),
        "diff": output.diff(source, manifest),
        "command": output.command(source, job.state, experiment, count),
        "compare": compare,
        "saved": output.saved_name(experiment),
        "count": count,
        "bounded": f"{count:,} of {asked:,} replications: more take too long for a page" if count < asked else "",
        "findings": [
            {"level": one.level, "place": one.place, "text": f"{one.what}. {one.fix}".strip(), "line": one.line}
            for one in findings(experiment)
        ],
    }


def _across(source: Source, job: Job, finished: Callable[[int, int], None]) -> Iterator[Message]:
    experiment = experiment_of(source, job.state)
    count = min(replications_of(experiment), REPLICATIONS)
    yield {"kind": "across", **across(experiment, job.path, count, finished)}


def _out(source: Source, job: Job, finished: Callable[[int, int], None]) -> Iterator[Message]:
    experiment = experiment_of(source, job.state)
    if job.what == "manifest":
        yield {"kind": "file", "name": f"{experiment.service.name}.yaml", "text": experiment.service.to_yaml()}
    elif job.what == "experiment":
        yield {"kind": "file", "name": output.saved_name(experiment), "text": output.experiment_text(experiment)}
    else:
        count = replications_of(experiment)
        result: Result = simulate(experiment, replications=count, progress=lambda done: finished(done, count))
        yield {"kind": "file", "name": f"{experiment.service.name}.html", "text": output.report(result)}


def _hey(source: Source, job: Job, finished: Callable[[int, int], None]) -> Iterator[Message]:
    yield {"kind": "workload", "text": flow(hey_workload(job.flags))}


_WORK: Mapping[str, Callable[[Source, Job, Callable[[int, int], None]], Iterator[Message]]] = {
    "run": _run,
    "across": _across,
    "out": _out,
    "hey": _hey,
}
