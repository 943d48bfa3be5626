"""`kpasim manifest`: from a Service manifest to an experiment, and back."""

import contextlib

import click

from kpasim.cli import options
from kpasim.cli.output import note, print_json, write_file


@click.group(epilog="\b\nTry: kpasim manifest import experiments/manifests/stable-diffusion.yaml")
def command() -> None:
    """Make an experiment from a Service manifest, write changed settings into the manifest, compare two manifests."""


@command.command(
    "import", epilog="\b\nTry: kubectl get ksvc painter -o yaml | kpasim manifest import - --out painter.yaml"
)
@click.argument("file", required=False, type=click.Path())
@options.value(
    "--from-cluster",
    "NAMESPACE/NAME",
    "Read this Service from the cluster, instead of FILE; its manifest is written beside --out.",
)
@options.value("--context", "NAME", "With --from-cluster: context of the kubeconfig.")
@options.value("--out", click.Path(), "File for the experiment.  [default: stdout]")
@options.value("--hey hey_flags", "FLAGS", "The load: hey's flags, such as '-n 50 -c 5 -t 180'.")
@options.value("--service-time", "TIME", "Service time of a request, such as 11s.")
@options.value("--cold-start", "TIME", "Time from a pod's creation to its first response.")
def import_(
    file: str | None,
    from_cluster: str | None,
    context: str | None,
    out: str | None,
    hey_flags: str | None,
    service_time: str | None,
    cold_start: str | None,
) -> None:
    """Write an experiment for the Service in FILE, with guesses, and comments on where to find the real values.

    The experiment names FILE, relative to where it stands itself. A manifest from a stream (-) becomes part of it.
    """
    from kpasim.spec.quick import import_manifest

    if (file is None) == (from_cluster is None):
        raise click.UsageError("give FILE or --from-cluster NAMESPACE/NAME")
    if from_cluster is not None:
        file = _fetched(from_cluster, context, out)
    assert file is not None
    text = import_manifest(file, out=out, hey_flags=hey_flags, service_time=service_time, cold_start=cold_start)
    if out is None:
        click.echo(text, nl=False)
        return
    write_file(out, text, f". Next: kpasim check {out}")


def _fetched(place: str, context: str | None, out: str | None) -> str:
    """Path of the manifest of a Service in the cluster, written beside the experiment."""
    from pathlib import Path

    from kpasim.cluster.deploy import import_from_cluster
    from kpasim.cluster.kube import connect

    namespace, slash, name = place.partition("/")
    if not slash or not namespace or not name:
        raise click.UsageError(f"--from-cluster {place}: give NAMESPACE/NAME")
    with contextlib.closing(connect(context)) as kube:
        text = import_from_cluster(namespace, name, kube)
    path = (Path(out).parent if out else Path()) / f"{name}-service.yaml"
    write_file(path, text)
    return str(path)


@command.command(
    "export", epilog="\b\nTry: kpasim manifest export experiments/hey50x5.yaml --set service.annotations.max-scale=5"
)
@click.argument("experiment", type=click.Path())
@options.settings
@options.value("--settings file", click.Path(), "File with settings: a mapping of path to value.")
@options.value("--out", click.Path(), "File for the manifest.  [default: stdout]")
def export(experiment: str, settings: tuple[str, ...], file: str | None, out: str | None) -> None:
    """Write the Service manifest of EXPERIMENT, with changed settings in its author's own spelling.

    Comments, order, quotes and unknown fields are kept. Without a change, the file is identical, byte for byte.
    """
    from kpasim.spec.experiment import load
    from kpasim.spec.settings import parse_settings
    from kpasim.spec.yamlfile import read_mapping

    changes = dict(read_mapping(file, kind="a file of settings").data) if file else {}
    changes |= parse_settings(settings)
    changed = load(experiment).with_settings(changes) if changes else load(experiment)
    text = changed.service.to_yaml()
    if out is None:
        click.echo(text, nl=False)
    else:
        write_file(out, text, f". Next: kpasim check {out}")
    elsewhere = [path for path in changes if not path.startswith("service.")]
    if elsewhere:
        note(f"Note: not part of a Service manifest: {', '.join(elsewhere)}")


@command.command(
    "diff",
    epilog="\b\nTry: kpasim manifest diff experiments/manifests/stable-diffusion.yaml experiments/manifests/sd15.yaml",
)
@click.argument("before", type=click.Path())
@click.argument("after", type=click.Path())
@options.as_json
def diff(before: str, after: str, as_json: bool) -> None:
    """Show the settings that differ between two manifests, or between two experiments."""
    from kpasim.spec.difference import differences, read_either

    found = differences(read_either(before), read_either(after))
    if as_json:
        print_json({"before": before, "after": after, "differences": [one._asdict() for one in found]})
        return
    if not found:
        note("No setting differs.")
        return
    rows = [("setting", before, after)]
    rows += [(one.setting, *one.texts) for one in found]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for setting, old, new in rows:
        click.echo(f"{setting:{widths[0]}}  {old:{widths[1]}}  {new}")
