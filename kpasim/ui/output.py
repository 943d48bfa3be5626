"""What leaves the page: the manifest, its diff, commands that give the same numbers, the experiment, the report."""

import difflib
import shlex
import tempfile
from pathlib import Path

from kpasim.errors import KpasimError
from kpasim.spec.difference import differences
from kpasim.spec.experiment import Experiment
from kpasim.spec.quick import yaml_text
from kpasim.spec.settings import parse_settings
from kpasim.studies.run import Result
from kpasim.ui.source import Source
from kpasim.ui.state import State


def changes(source: Source, experiment: Experiment) -> list[dict[str, str]]:
    """Each setting that is not as it was opened: path, value before, value now."""
    found = differences(source.experiment, experiment)
    return [dict(zip(("path", "before", "now"), (one.setting, *one.texts), strict=True)) for one in found]


def diff(source: Source, manifest: str) -> str:
    """The changes of the manifest as a unified diff; empty without any."""
    service = source.experiment.service
    name = Path(service.path).name if service.path else f"{service.name}.yaml"
    before, now = (text.splitlines(keepends=True) for text in (source.manifest, manifest))
    return "".join(difflib.unified_diff(before, now, f"a/{name}", f"b/{name}"))


def command(source: Source, state: State, experiment: Experiment, replications: int) -> str:
    """The command that gives the numbers of the page.

    Where the manifest was edited in a way that no setting expresses, it is about the experiment as the page saves it.
    """
    given = settings_of(source, state, experiment)
    if given is None:
        return _line("", [saved_name(experiment)], experiment, replications)
    return _line(source.before, [source.file, *options("--set", given)], experiment, replications)


def compare_command(
    source: Source, pinned: tuple[State, Experiment], now: tuple[State, Experiment], replications: int
) -> str:
    """The command that compares the pinned variant with this one; empty where settings alone do not express both."""
    one, other = settings_of(source, *pinned), settings_of(source, *now)
    if one is None or other is None:
        return ""
    words = [source.file, *options("--set", one), "--against", source.file, *options("--against-set", other)]
    return _line(source.before, words, pinned[1], replications)


def _line(before: str, words: list[str], experiment: Experiment, replications: int) -> str:
    """A command that runs after another one, where there is one."""
    count = ["-n", str(replications)] if replications != experiment.replications else []
    first = f"{before} &&\n" if before else ""
    return f"{first}{shlex.join(['kpasim', 'run', *words, *count])}"


def options(option: str, values: list[str]) -> list[str]:
    """An option repeated for each value."""
    return [word for value in values for word in (option, value)]


def settings_of(source: Source, state: State, experiment: Experiment) -> list[str] | None:
    """The changes as ``--set`` takes them; None where the edited manifest holds more than settings."""
    if state.text is None:
        return state.assignments
    own = {path for path, _ in state.settings}
    edited = [
        f"{one.setting}={'null' if one.after is None else one.after}"
        for one in differences(source.experiment, experiment)
        if one.setting.startswith("service.") and one.setting not in own
    ]
    try:
        again = source.experiment.with_settings(parse_settings([*edited, *state.assignments]))
    except KpasimError:
        return None
    return [*edited, *state.assignments] if not differences(again, experiment) else None


def saved_name(experiment: Experiment) -> str:
    """Name of the file that the page saves an experiment as."""
    return f"{experiment.service.name}-changed.yaml"


def experiment_text(experiment: Experiment) -> str:
    """The whole experiment as one file: the manifest, the model and all settings are in it."""
    return f"# Saved by kpasim ui. Paths are relative to {Path.cwd()}.\n{yaml_text(dict(experiment.raw))}"


def report(result: Result) -> str:
    """The HTML report of a result."""
    from kpasim.report.html import page_of

    with tempfile.TemporaryDirectory(prefix="kpasim-ui-") as place:
        folder = Path(place) / result.experiment.name
        result.write(folder)
        return page_of(folder)
