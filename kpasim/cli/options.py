"""Options that several commands share, and kinds of values."""

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Pair(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Two words with an equals sign between them, as a tuple; the name is what messages call it."""

    def __init__(self, name: str, example: str = "") -> None:
        self.name, self._such = name, f", such as {example}" if example else ""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """The two words."""
        first, _, second = (part.strip() for part in str(value).partition("="))
        if not (first and second):
            self.fail(f"{value!r} is not {self.name}{self._such}", param, ctx)
        return first, second


class Output(click.Path):
    """A file or a folder to write: what is missing of the path is made now, not after the work.

    What is still empty at the end of the command goes again.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path."""
        from kpasim.results.files import make_folder

        path = Path(str(super().convert(value, param, ctx)))
        folder = path.parent if self.file_okay else path
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        make_folder(folder)
        if ctx:
            # The context of a command whose options are refused is never closed.
            ctx.find_root().call_on_close(lambda: _remove_empty(missing))
        return path


class Amount(click.FloatRange):
    """A finite number within bounds; of click's own, `nan` is within all of them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def flag(names: str, text: str) -> Decorator:
    """A switch; names are as click has them, with a space between."""
    return click.option(*names.split(), is_flag=True, help=text)


def value(names: str, kind: str | type | click.ParamType, text: str, **more: Any) -> Decorator:  # type: ignore[type-arg, unused-ignore]
    """An option with a value, of a type or with a word for it."""
    what = {"metavar": kind} if isinstance(kind, str) else {"type": kind}
    return click.option(*names.split(), help=text, **{**what, **more})


def many(names: str, kind: str | click.ParamType, text: str, **more: Any) -> Decorator:  # type: ignore[type-arg, unused-ignore]
    """The same, which may be given several times."""
    return value(names, kind, text, multiple=True, **more)


def choice(names: str, words: Sequence[str], text: str) -> Decorator:
    """One of some words, the first of them where none is given."""
    return value(names, click.Choice(words), text, default=words[0], show_default=True)


FILE, FOLDER = Output(dir_okay=False), Output(file_okay=False)

seed: Decorator = value("--seed", click.IntRange(0), "Seed of all random numbers.")
settings: Decorator = many(
    "--set settings",
    "PATH=VALUE",
    "Change a setting, such as model.cold-start=30s; repeatable. kpasim explain lists the paths.",
)
as_json: Decorator = flag("--json as_json", "One JSON object on stdout.")
namespace: Decorator = value("--namespace -n", "NAME", "Namespace.  [default: the context's]")
kubeconfig: Decorator = value("--kubeconfig", click.Path(dir_okay=False), "Kubeconfig file, instead of the default.")
header: Decorator = many("-H --header headers", "NAME:VALUE", "Header of each request.")
cluster_config: Decorator = many(
    "--cluster-config",
    "FILE",
    "ConfigMaps of the cluster, a List of them, or a KnativeServing of Knative's operator; repeatable.",
    type=click.Path(),
)


def body(further: str = "") -> Decorator:
    """What requests send; ``further`` goes on after the words that every command has."""
    text = f"Body of each request; @FILE.jsonl: a body per line, used in order{further}"
    return value("--body", "TEXT|@FILE", text)


def replications(text: str = "Number of replications.", default: int | None = None, least: int = 1) -> Decorator:
    """How many replications."""
    number = click.IntRange(least)
    return value("-n --replications", number, text, default=default, show_default=bool(default))


class Quick(TypedDict):
    """What `of_manifest` gives a command."""

    hey_flags: str | None
    service_time: str | None
    cold_start: str | None


def of_manifest(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that make an experiment of a manifest, see `Quick`."""
    for names, metavar, text in (
        ("--cold-start", "TIME", "With a manifest: time from pod creation to its first response."),
        ("--service-time", "TIME", "With a manifest: service time of a request, such as 11s."),
        ("--hey hey_flags", "FLAGS", "With a manifest: hey's flags, such as '-n 50 -c 5 -t 180'."),
    ):
        function = value(names, metavar, text)(function)
    return function


def engine(further: str = "") -> Decorator:
    """The choice of the engine; ``further`` goes on after the words that every command has."""
    return choice("--engine", ["auto", "compiled", "reference"], f"auto: the engine that finishes first{further}.")


def model_named(name: str) -> dict[str, Any]:
    """The model that --model names: a file, or one that comes with kpasim.

    Raises:
        BadParameter: There is none.
    """
    from kpasim.spec.experiment import find_model, read_model

    path = find_model(name)
    if path is None:
        raise click.BadParameter(f"{name!r} is neither a file nor the name of a model", param_hint="--model")
    return dict(read_model(path)[1])
