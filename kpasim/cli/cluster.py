"""`kpasim cluster`: look after clusters that runs have used."""

import contextlib

import click

from kpasim.cli import options
from kpasim.cli.output import note, print_json


@click.group("cluster", epilog="\b\nTry: kpasim cluster clean --dry-run")
def command() -> None:
    """Clean up clusters after runs."""


@command.command("clean", epilog="\b\nTry: kpasim cluster clean --dry-run")
@options.value("--target", "CONTEXT", "Context of the kubeconfig.  [default: the current context]")
@options.kubeconfig
@options.namespace
@options.flag("--all-namespaces -A", "Search all namespaces (needs permissions in the whole cluster).")
@options.value("--run", "ID", "Only objects of this run.")
@options.flag("--dry-run", "List the objects that would be removed.")
@options.value(
    "--timeout timeout_s",
    options.Amount(0),
    "Maximum time for the termination of pods.",
    default=660.0,
    metavar="SECONDS",
)
@options.as_json
def clean(
    *,
    target: str | None,
    kubeconfig: str | None,
    namespace: str | None,
    all_namespaces: bool,
    run: str | None,
    dry_run: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Remove what runs have left in a cluster.

    A run removes what it created, also when it fails or is interrupted. Objects of a killed run are found by the label
    kpasim.dev/run: Services and InferenceServices that the run created are deleted, adopted Services are restored. Do
    not clean up a namespace that another run still uses. The local cluster needs no cleaning: it ends with the run that
    started it.
    """
    from kpasim.cluster.deadline import Deadline
    from kpasim.cluster.deploy import leftovers, withdraw
    from kpasim.cluster.kube import connect, has_config
    from kpasim.cluster.objects import checked_label
    from kpasim.errors import RunError

    if target is None and kubeconfig is None and not has_config():
        if run is not None:
            raise RunError(f"--run {run}: no kubeconfig: there is no cluster to look in (give --kubeconfig FILE)")
        note("no kubeconfig: there is no cluster to clean; local clusters end with their run")
        if as_json:
            print_json([])
        return
    done = []
    with contextlib.closing(connect(target, kubeconfig)) as kube:
        where = None if all_namespaces else checked_label(namespace or kube.namespace, "--namespace")
        place = "any namespace" if where is None else f"namespace {where}"
        for found in leftovers(kube, where, None if run is None else checked_label(run, "--run")):
            what = "put back" if found.adopted else "deleted"
            if not dry_run:
                doing, end = ("putting back", "ready again") if found.adopted else ("removing", "gone")
                note(f"{found.deployed} (run {found.run}): {doing} ...")
                limit = Deadline(timeout_s, f"{kube.name}: {found.deployed} {end}", note=note)
                what = withdraw(kube, found.deployed, found.run, limit)
            about = {"kind": found.deployed.resource.kind, "namespace": found.deployed.namespace}
            done.append({**about, "name": found.deployed.name, "run": found.run, "action": what})
    if run is not None and not done:
        raise RunError(f"--run {run}: nothing of this run is left in {place} of {kube.name}")
    if as_json:
        print_json(done)
        return
    for entry in done:
        action = f"would be {entry['action']}" if dry_run else entry["action"]
        click.echo(f"{entry['kind']} {entry['namespace']}/{entry['name']} (run {entry['run']}): {action}")
    if not done:
        click.echo(f"nothing left in {place} of {kube.name}")
