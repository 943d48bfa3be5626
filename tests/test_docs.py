"""Every command that the documentation shows can be run."""

from __future__ import annotations

import re
import sys

import pytest

from kpasim.results.tables import OPTIONAL, REQUIRED
from tests.documented import ROOT, blocks, pages, prepare, run

NO_CLUSTER = {"docs/guides/cluster.md", "docs/tutorial.md"}
"""Pages with commands that need a cluster; they are rehearsed against the stand-in."""


def runnable(page):
    """The blocks of a page that are run."""
    return [one for one in blocks(page) if one.language in {"bash", "python"} and one.mode != "skip"]


WITH_COMMANDS = [page for page in pages() if runnable(page)]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_commands_of_a_page_run_in_order(page, tmp_path):
    """From top to bottom, in one folder, each block of a page does what it is shown for."""
    place = tmp_path / "kpasim"
    place.mkdir()
    environment = prepare(place)
    for block in blocks(page):
        if block.language == "yaml" and (name := re.match(r"# ([\w.-]+\.yaml)\n", block.text)):
            (place / name[1]).write_text(block.text, encoding="utf-8")
        if block not in runnable(page) or block.mode == "stand-in":
            continue
        done = run(block, place, environment)
        assert done.returncode == 0, f"{block.name}\n{block.text}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("page", sorted(NO_CLUSTER))
def test_commands_for_a_cluster_are_rehearsed(page, tmp_path):
    """What needs a cluster is run against the stand-in, which is asked whether it would take it all."""
    pytest.importorskip("torch", reason="the stand-in runs kpasim's own server: needs the extra server")
    from kpasim.cluster.local import LocalCluster

    place = tmp_path / "kpasim"
    place.mkdir()
    environment = {**prepare(place), "KPASIM_REHEARSE": "1"}
    some = [one for one in runnable(ROOT / page) if one.mode == "stand-in"]
    assert some
    with LocalCluster() as cluster:
        environment["KUBECONFIG"] = str(cluster.kubeconfig)
        for block in some:
            text = block.text.replace("my-context", cluster.context)
            done = run(type(block)(block.page, block.line, block.language, text, block.notes), place, environment)
            assert done.returncode == 0, f"{block.name}\n{text}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def test_every_page_that_needs_a_cluster_is_listed():
    """A command is rehearsed instead of run on the pages named here, and nowhere else."""
    found = {str(page.relative_to(ROOT)) for page in pages() if any(one.mode == "stand-in" for one in blocks(page))}

    assert found == NO_CLUSTER


def test_links_between_pages_lead_somewhere():
    """No relative link or picture of the documentation, the README or the changelog points at a missing file."""
    for page in [*pages(), ROOT / "README.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            file = target.partition("#")[0]
            if file and "://" not in file:
                assert (page.parent / file).exists(), f"{page.relative_to(ROOT)}: {target}"


@pytest.mark.parametrize("kind", ["experiment", "model", "sweep", "runs"])
def test_the_reference_holds_every_key(kind, monkeypatch):
    """The generated pages name every key of every kind of file, each with what may stand there."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    sys.modules.pop("hooks", None)
    import hooks

    text = hooks.on_page_markdown(f"<!-- generated: {kind} -->")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]

    assert rows
    assert all(row[1].strip() for row in rows)
    columns = [name for table in (*REQUIRED.values(), *OPTIONAL.values()) for name in table]
    wanted = columns if kind == "runs" else hooks.schema(kind)["properties"]
    assert all(f"| `{key}` |" in text for key in wanted)
    assert "kpasim__" not in text


def test_the_traps_are_held_by_tests_that_exist():
    """Each test that the table of traps names is there, in the file that it says; all 28 traps are listed."""
    text = (ROOT / "docs" / "known-differences.md").read_text(encoding="utf-8")
    files = {"": "test_goldens", "pods": "test_goldens_pods", "requests": "test_goldens_requests"}
    rows = re.findall(r"^\| (\d+) \|.*\| (.+) \|$", text, re.M)

    assert [int(number) for number, _ in rows] == list(range(1, 29))
    for number, tests in rows:
        named = re.findall(r"`(?:([\w/.]+)::)?(test_\w+)`", tests)
        assert named, number
        for place, name in named:
            path = ROOT / (place if place.endswith(".py") else f"tests/engines/{files[place]}.py")
            assert f"def {name}(" in path.read_text(encoding="utf-8"), f"trap {number}: {name}"
