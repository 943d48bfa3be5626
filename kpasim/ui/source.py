"""What the page is about: an experiment, a manifest or a run folder, and how a command names it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from kpasim.errors import RunError
from kpasim.results.tables import read_object
from kpasim.spec.experiment import Experiment, from_mapping, load, loads, shipped_experiments
from kpasim.spec.objects import split_name
from kpasim.spec.quick import import_manifest

HEADLINE = "hey50x5.yaml"
"""The published load test, which the page shows where no file is named."""


@dataclass(frozen=True)
class Source:
    """An experiment, and where it comes from.

    Attributes:
        experiment: The experiment as it was opened.
        name: What the page calls it.
        file: The experiment's file as a command names it; of a manifest or a run folder the file that has to be saved.
        before: Command that writes ``file``; empty where it is there.
        folders: Folders whose files a recorded trace may be read from.
    """

    experiment: Experiment = field(repr=False)
    name: str
    file: str
    before: str
    folders: tuple[Path, ...]

    @cached_property
    def manifest(self) -> str:
        """The manifest as it was opened."""
        return self.experiment.service.to_yaml()


def open_source(path: str | None) -> Source:
    """What a path names: an experiment, a manifest, or a run folder; without one the published load test.

    Raises:
        KpasimError: It is none of them, or cannot be used.
    """
    here = Path.cwd()
    if path is None:
        file = shipped_experiments() / HEADLINE
        shown = file.relative_to(here) if file.is_relative_to(here) else file
        return Source(load(file), file.stem, str(shown), "", (here, file.parent.resolve()))
    if Path(path).is_dir():
        return _of_folder(Path(path), here)
    from kpasim.studies.check import is_manifest

    beside = Path(split_name(path)[0]).resolve().parent
    if not is_manifest(path):
        experiment = load(path)
        return Source(experiment, experiment.name, path, "", (here, beside))
    text = import_manifest(path, out=None, hey_flags=None, service_time=None, cold_start=None)
    experiment = loads(text, path=path, base=here)
    out = f"{experiment.service.name}-experiment.yaml"
    before = shlex.join(["kpasim", "manifest", "import", path, "--out", out])
    return Source(experiment, experiment.service.name, out, before, (here, beside))


def _of_folder(folder: Path, here: Path) -> Source:
    """The experiment of a run folder."""
    about = read_object(folder / "run.json")
    given = about.get("experiment")
    if not isinstance(given, Mapping):
        raise RunError(f"{folder}: run.json holds no experiment (name an experiment file)")
    experiment = from_mapping(given, base=here, path=str(folder / "run.json"))
    name = str(about.get("name") or folder.name)
    return Source(experiment, name, f"{experiment.service.name}.yaml", "", (here, folder.resolve()))
