"""Settings changed on the command line: ``PATH=VALUE``, such as ``model.cold-start=30s``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kpasim.errors import ExperimentError, FileError, RunError
from kpasim.spec.configmaps import ClusterConfig
from kpasim.spec.manifest import ServiceManifest, setting_place, setting_value
from kpasim.spec.yamlfile import parse_documents

if TYPE_CHECKING:
    from kpasim.spec.experiment import Experiment


def parse_settings(texts: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """Read settings by path, each ``PATH=VALUE``; the value is YAML.

    Raises:
        RunError: One cannot be read, or a path is given twice.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        path, equals, value = (part.strip() for part in text.partition("="))
        if not (path and equals and value):
            raise RunError(f"{option} {text}: has no value (write PATH=VALUE, such as model.cold-start=30s)")
        if path in settings:
            raise RunError(f"{option} {text}: {path} is given twice (give it once)")
        try:
            documents = parse_documents(value, option)
        except FileError as error:
            raise RunError(f"{option} {text}: {error.problems[0].message}") from None
        settings[path] = documents[0].data if documents else None
    return settings


def with_settings(experiment: Experiment, settings: Mapping[str, Any], option: str = "--set") -> Experiment:
    """The experiment with settings from the command line.

    Raises:
        RunError: No such setting, or a value that is refused; one line, with the nearest path.
    """
    if not settings:
        return experiment
    try:
        return experiment.with_settings(settings)
    except ExperimentError as error:
        raise RunError(_refusal(error, settings, option)) from None


def with_service_settings(
    service: ServiceManifest, settings: Mapping[str, Any], option: str = "--set", cluster: ClusterConfig | None = None
) -> ServiceManifest:
    """A manifest by itself with settings from the command line; their paths begin with ``service.``.

    Raises:
        RunError: As `with_settings`.
    """
    if not settings:
        return service
    edits = []
    for path, value in settings.items():
        head, _, rest = path.partition(".")
        if head != "service" or not rest:
            raise RunError(f"{option} {path}: a manifest has no such setting (write service.annotations.max-scale=3)")
        try:
            place = setting_place(service, rest)
            edits.append((place, setting_value(place, value)))
        except ValueError as error:
            raise RunError(_refusal(ExperimentError.of("", str(error), place=path), settings, option)) from None
    try:
        cluster = cluster or ClusterConfig()
        return service.with_edits(edits, cluster.autoscaler, cluster.defaults)
    except ExperimentError as error:
        raise RunError(_refusal(error, settings, option)) from None


def _refusal(error: ExperimentError, settings: Mapping[str, Any], option: str) -> str:
    """What is wrong with the settings, in one line."""
    problem = error.problems[0]
    inside = problem.place.replace("[", ".").replace("]", "")
    path = next((one for one in settings if f"{inside}.".startswith(f"{one}.") or one.startswith(f"{inside}.")), None)
    if path is None and len(settings) == 1:
        [path] = settings
    if path is None:
        return f"{option}: {problem.place}: {problem.message}"
    message = problem.message
    if message.startswith("unknown"):
        from kpasim.spec.keys import nearest

        near = nearest(path)
        if path in near:  # a setting of another kind of load or distribution
            return f"{option} {path}: {message}"
        message = f"no such setting ({f'did you mean {near[0]}?' if near else 'kpasim explain lists them'})"
    elif inside not in {path, ""} and inside.startswith(f"{path}."):
        message = f"{inside.removeprefix(f'{path}.')}: {message}"
    return f"{option} {path}: {message}"
