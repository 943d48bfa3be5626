"""`kpasim init`: a first experiment from five questions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kpasim.cli import options
from kpasim.cli.output import note

if TYPE_CHECKING:
    from kpasim.spec.catalogue import Entry

DEFAULT_MODEL, DEFAULT_HEY = "sd15@t4", "-n 50 -c 5 -t 180"


@click.command(
    epilog="\b\nTry: kpasim init painter.yaml --model sdxl@a10g --hey '-n 50 -c 5 -t 180' --instance g5.xlarge --yes"
)
@click.argument("out", type=click.Path(dir_okay=False), default="experiment.yaml")
@options.value("--manifest", click.Path(), "Your Service or InferenceService YAML.  [default: one is written]")
@options.value("--model", "NAME", "Service time: a name of `kpasim models`, or a time such as 11s.")
@options.value("--hey hey_flags", "FLAGS", "The load: hey's flags, or a rate such as 0.5/s.")
@options.value("--cold-start", "TIME", "Time from a pod's creation to its first response.")
@options.value("--instance", "TYPE", "Instance type: a name of `kpasim prices`, or TYPE=PRICE (USD an hour).")
@options.flag("--yes", "Ask nothing: take the defaults for what is not given.")
def command(
    out: str,
    manifest: str | None,
    model: str | None,
    hey_flags: str | None,
    cold_start: str | None,
    instance: str | None,
    yes: bool,
) -> None:
    """Write a commented experiment to OUT from five questions.

    Each option is the reply to a question. An existing file is not replaced.
    """
    from kpasim.errors import RunError
    from kpasim.results.files import write_text
    from kpasim.spec.firstdraft import MANIFEST, Draft
    from kpasim.spec.quick import read_value

    def ask(given: str | None, question: str, default: str) -> str:
        if given is not None or yes:
            return given if given is not None else default
        try:
            return str(click.prompt(question, default=default, show_default=bool(default))).strip()
        except click.Abort as stopped:
            if not isinstance(stopped.__context__, EOFError):
                raise
            click.echo()
            raise RunError("nobody replies (give --yes to take the defaults, and options for the rest)") from None

    if Path(out).exists():
        raise RunError(f"{out}: is there already (name another file)")
    manifest = ask(manifest, "1/5 Your Service or InferenceService YAML (empty: one is written)", "")
    model = ask(model, "2/5 Model and GPU (kpasim models lists them), or a service time such as 11s", DEFAULT_MODEL)
    entry, service_time, source = _service_time(model)
    hey_flags = ask(hey_flags, "3/5 Load: hey's flags, or a rate such as 0.5/s", DEFAULT_HEY)
    guess = f"{entry.cold_start_s if entry else 120.0:g}s"
    replied = ask(cold_start, "4/5 Time from a pod's creation to its first response", guess)
    cold_source = "yours" if replied != guess else f"an estimate, {_why(entry)}"
    instance = ask(instance, "5/5 Instance type (kpasim prices lists them), or TYPE=PRICE", _first_type(entry))
    machine, price_source = _machine(instance)
    written = None
    if not manifest:
        written = Path(out).with_name(f"{Path(out).stem}-service.yaml")
        if written.exists():
            raise RunError(f"{written}: is there already (give --manifest {written}, or name another file)")
        concurrency = entry.slots if entry else 1
        write_text(written, MANIFEST.format(name=_name(Path(out).stem), concurrency=concurrency), folders=True)
    try:
        starts = read_value("--cold-start", replied), cold_source
        guessed = entry is not None or replied == guess
        draft = Draft(str(written or manifest), service_time, source, _load(hey_flags), *starts, machine, price_source,
                      guessed)  # fmt: skip
        draft.experiment()
    except Exception:
        if written is not None:
            written.unlink()
        raise
    write_text(out, draft.text(out), folders=True)
    note(f"Wrote {out}{f' and {written}' if written else ''}. Next: kpasim run {out}, or kpasim ui {out}")


def _service_time(text: str) -> tuple[Entry | None, Any, str]:
    """The service time that a name of the catalogue or a time says, and its source."""
    from kpasim.spec.catalogue import entry
    from kpasim.spec.quick import read_value

    if "@" not in text:
        return None, read_value("--model", text), "yours"
    found = entry(text)
    date = f", {found.date}" if found.date else ""
    return found, found.service_time, f"{found.title} on {found.gpu}; {found.kind}: {found.how} ({found.source}{date})"


def _load(text: str) -> Mapping[str, Any]:
    """The workload that flags of hey, or a rate of random arrivals, say."""
    from kpasim.spec.quick import hey_workload, read_value

    if text.startswith("-") or text.startswith("hey"):
        return hey_workload(text)
    return {"kind": "poisson", "rate": read_value("--hey", text), "duration": "1h", "timeout": "180s"}


def _why(entry: Entry | None) -> str:
    if entry is None:
        return "such as a new machine, an image pull and the load of the weights"
    return f"a container's start and {entry.weights_gb:g} GB of weights from network storage, without a new machine"


def _first_type(entry: Entry | None) -> str:
    """An instance type of the GPU that was chosen."""
    from kpasim.results.cost import price_list

    wanted = entry.gpu if entry else "T4"
    fitting = {name: one for name, one in price_list().items() if one.gpu.partition("-")[0] == wanted}
    return min(fitting, key=lambda name: (fitting[name].estimate, fitting[name].currency != "USD", fitting[name].stale))


def _machine(text: str) -> tuple[dict[str, Any], str]:
    """An instance type with its price, and where the price comes from."""
    from kpasim.errors import RunError
    from kpasim.results.cost import price_list

    name, equals, amount = text.partition("=")
    if equals:
        try:
            return {"name": name, "price-per-hour": float(amount), "currency": "USD"}, "The price is yours."
        except ValueError:
            raise RunError(f"--instance {text}: {amount!r} is not a price (write TYPE=1.006)") from None
    known = price_list()
    if name not in known:
        raise RunError(f"--instance {name}: has no known price (kpasim prices lists those; or write {name}=PRICE)")
    one = known[name]
    machine = {"name": name, "price-per-hour": one.per_hour, "currency": one.currency, "gpus": one.gpus}
    return machine, f"{one.gpus} x {one.gpu}, {one.standing}: {one.source} ({one.date or 'no date'})"


def _name(stem: str) -> str:
    """A name that Kubernetes takes."""
    letters = "".join(one if one.isascii() and one.isalnum() else "-" for one in stem.lower()).strip("-")
    return letters if letters[:1].isalpha() else f"service-{letters}".strip("-")
