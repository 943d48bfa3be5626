"""State of the page: an edited manifest and changed settings, and the experiment that they make; all sizes bounded."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from kpasim.engines import lower
from kpasim.engines.params import Params
from kpasim.errors import FileError, Problem, RunError
from kpasim.spec.experiment import Experiment
from kpasim.spec.manifest import read_object
from kpasim.spec.objects import services_in
from kpasim.spec.settings import parse_settings, with_settings
from kpasim.spec.workload import FILE_KINDS
from kpasim.spec.yamlfile import parse_documents
from kpasim.ui.source import Source

MANIFEST = "manifest"
"""What messages call the text of the editor."""

MOST_TEXT = 200_000
"""Characters of a manifest at most."""
MOST_SETTINGS, MOST_VALUE = 100, 4_000
"""Changed settings at most, and characters of a value."""
MOST_REPLICATIONS = 2_000
"""Replications at most."""
MOST_REQUESTS = 500_000
"""Requests of one replication at most."""
MOST_SIMULATED_S = 35 * 86_400.0
"""Simulated time at most [s]."""
MOST_EVENTS = 6_000_000
"""Requests and ticks of the autoscaler, all replications together, from which on fewer replications are simulated."""
MOST_TRACE_BYTES = 64_000_000
"""Size of a recorded trace at most."""
TICK_S = 2.0
"""Time from one decision of the autoscaler to the next."""

Path_ = Annotated[str, Field(min_length=1, max_length=200)]
Value = Annotated[str, Field(min_length=1, max_length=MOST_VALUE)]


class State(BaseModel):
    """What the page sends.

    Attributes:
        text: The manifest in the editor, None where it is that of the file.
        settings: Changed settings, pairs of path and value as ``--set`` takes them, in order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Annotated[str, Field(max_length=MOST_TEXT)] | None = None
    settings: Annotated[tuple[tuple[Path_, Value], ...], Field(max_length=MOST_SETTINGS)] = ()

    @property
    def assignments(self) -> list[str]:
        """The settings as ``--set`` takes them."""
        return [f"{path}={value}" for path, value in self.settings]


def experiment_of(source: Source, state: State) -> Experiment:
    """The experiment of a state of the page.

    Raises:
        ExperimentError: The manifest cannot be used.
        RunError: A setting is refused, or the experiment is too large for the page.
    """
    experiment = source.experiment
    if state.text is not None:
        services = services_in(parse_documents(state.text, MANIFEST), MANIFEST)
        one = next((each for each in services if each.name == experiment.service.name), services[0])
        experiment = experiment.with_service(read_object(one, experiment.config_autoscaler, experiment.defaults))
    experiment = with_settings(experiment, parse_settings(state.assignments))
    if state.text is not None:
        experiment = experiment.with_settings({})  # what the new manifest contradicts is said now
    _check_size(experiment, source)
    return experiment


def _check_size(experiment: Experiment, source: Source) -> None:
    """Refuse what the page does not simulate before any of it is read or drawn."""
    count, load = experiment.replications, experiment.workload
    if count > MOST_REPLICATIONS:
        raise RunError(f"replications: {count:,} (at most {MOST_REPLICATIONS:,} on the page; kpasim run takes more)")
    lengths = {"workload": load.length_s, "horizon": experiment.horizon_s, "repeat": experiment.repeat_s,
               "start": experiment.start.for_s}  # fmt: skip
    for key, length_s in lengths.items():
        if length_s is not None and length_s > MOST_SIMULATED_S:
            days = f"{MOST_SIMULATED_S / 86_400:g} days"
            raise RunError(f"{key}: {length_s / 86_400:,.0f} days (at most {days} on the page; kpasim run takes more)")
    if isinstance(load, FILE_KINDS) and load != source.experiment.workload:
        _check_file(load.file, source.folders)


def _check_file(name: str, folders: Sequence[Path]) -> None:
    """Let a recorded trace be read from the folders of the page only."""
    path = Path(name).resolve()
    if not any(path.is_relative_to(folder) for folder in folders):
        raise RunError(f"workload.file: {name}: is outside of {folders[0]} (copy it there)")
    if not path.is_file():
        raise RunError(f"workload.file: {name}: no such file in {folders[0]}")
    if path.stat().st_size > MOST_TRACE_BYTES:
        raise RunError(f"workload.file: {name}: is larger than {MOST_TRACE_BYTES // 1_000_000} MB (use a part of it)")


def replications_of(experiment: Experiment, params: Params | None = None) -> int:
    """How many replications the page simulates: those of the experiment, or as many as its bounds allow.

    Raises:
        RunError: A single one is too large.
    """
    params = params or lower.lower(experiment)
    if params.requests > MOST_REQUESTS:
        raise RunError(
            f"workload: up to {params.requests:,} requests (at most {MOST_REQUESTS:,} on the page; kpasim run takes "
            "more)"
        )
    length_s = max(experiment.workload.length_s or 0.0, experiment.horizon_s or 0.0, experiment.repeat_s or 0.0)
    events = max(1, params.requests + math.ceil(length_s / TICK_S))
    return max(1, min(experiment.replications, MOST_EVENTS // events))


def problems(error: Exception) -> list[dict[str, Any]]:
    """What is wrong, for the page: message, key, and the line of the editor where it stands there."""
    if not isinstance(error, FileError):
        lines = (line.removeprefix("--set ") for line in str(error).splitlines())
        return [{"message": line, "place": "", "line": None} for line in lines]
    files: Sequence[FileError] = getattr(error, "errors", (error,))
    return [_problem(one, file.path) for file in files for one in file.problems]


def _problem(one: Problem, path: str) -> dict[str, Any]:
    place = f"{one.place}: " if one.place else ""
    inside = path == MANIFEST
    where = "" if inside or path == "experiment" else f"{path}: "
    return {"message": f"{where}{place}{one.message}", "place": one.place, "line": one.line if inside else None}
