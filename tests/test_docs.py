"""Every command that the documentation, the README and the help pages show can be run."""

import os
import re
import shlex
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kpasim.cli.output import NOT_MET, UNDECIDED
from kpasim.results.tables import OPTIONAL, REQUIRED
from tests.documented import ROOT, Block, blocks, help_pages, pages, prepare, run

NO_CLUSTER = {"docs/guides/cluster.md", "docs/tutorial.md"}
"""Pages with commands that need a cluster; they are rehearsed against the fake cluster."""


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
        if block not in runnable(page) or block.mode == "fake-cluster":
            continue
        done = run(block, place, environment)
        assert done.returncode == 0, f"{block.name}\n{block.text}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("page", sorted(NO_CLUSTER))
def test_commands_for_a_cluster_are_rehearsed(page, tmp_path):
    """What needs a cluster is run against the fake cluster, which is asked whether it would take it all."""
    pytest.importorskip("torch", reason="the fake cluster runs kpasim's own server: needs the extra server")
    from kpasim.cluster.fake.cluster import CONTEXT
    from kpasim.cluster.local import local_cluster

    place = tmp_path / "kpasim"
    place.mkdir()
    environment = {**prepare(place), "KPASIM_REHEARSE": "1"}
    some = [one for one in runnable(ROOT / page) if one.mode == "fake-cluster"]
    assert some
    with local_cluster() as kubeconfig:
        environment["KUBECONFIG"] = str(kubeconfig)
        for block in some:
            text = block.text.replace("my-context", CONTEXT)
            done = run(type(block)(block.page, block.line, block.language, text, block.notes), place, environment)
            assert done.returncode == 0, f"{block.name}\n{text}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def test_every_page_that_needs_a_cluster_is_listed():
    """A command is rehearsed instead of run on the pages named here, and nowhere else."""
    found = {str(page.relative_to(ROOT)) for page in pages() if any(one.mode == "fake-cluster" for one in blocks(page))}

    assert found == NO_CLUSTER


def test_only_the_installation_is_left_out():
    """No block of commands on any page is skipped but those that install kpasim, which the test has done already."""
    skipped = [one for page in pages() for one in blocks(page) if one.mode == "skip"]

    assert [(str(one.page.relative_to(ROOT)), "pip install" in one.text) for one in skipped] == [
        ("docs/tutorial.md", True),
        ("docs/tutorial.md", True),
    ]


def example_of(command):
    """The line to paste at the end of a help page."""
    return (command.epilog or "").removeprefix("\b\n").removeprefix("Try: ")


EXAMPLES = {name: example_of(command) for name, command in help_pages()}
RUN_OTHERWISE = {"kpasim load", "kpasim observe", "kpasim serve", "kpasim serve txt2img", "kpasim ui"}
"""Examples that need a server to talk to, or are one: see tests of their own, also in tests/ui."""
ON_PAGES = {line for page in WITH_COMMANDS for one in runnable(page) if not one.mode for line in one.text.splitlines()}
"""Lines that run with their page."""


@pytest.mark.parametrize(
    "name", sorted(set(EXAMPLES) - RUN_OTHERWISE - {name for name, line in EXAMPLES.items() if line in ON_PAGES})
)
def test_the_example_of_a_help_page_runs(name, tmp_path):
    """The last line of each help page does what it is shown for; what needs a cluster is rehearsed.

    With the few replications of a test `kpasim tune` may find that nothing meets the SLOs, or not know.
    """
    if name == "kpasim validate":
        pytest.importorskip("torch", reason="the fake cluster runs kpasim's own server: needs the extra server")
    place = tmp_path / "kpasim"
    place.mkdir()
    environment = {**prepare(place), "KPASIM_REHEARSE": "1"}
    block = Block(ROOT / "README.md", 0, "bash", EXAMPLES[name], (("given", "runs/hey50x5-live"),))

    done = run(block, place, environment)

    assert done.returncode in ({0, NOT_MET, UNDECIDED} if name == "kpasim tune" else {0}), (
        f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
    )
    assert "Traceback" not in done.stderr


def test_the_example_of_load_runs(tmp_path):
    """It sends its requests to whatever listens at the URL."""
    received = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    place = tmp_path / "kpasim"
    place.mkdir()
    environment = prepare(place)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        text = EXAMPLES["kpasim load"].replace(":7860/", f":{server.server_port}/")
        done = run(Block(ROOT / "README.md", 0, "bash", text, ()), place, environment)
        server.shutdown()

    assert done.returncode == 0, done.stderr
    assert received == [("/sdapi/v1/txt2img", b"{}")] * 50


def test_the_example_of_serve_serves(tmp_path):
    """The server of both help pages listens, and ends when it is told to."""
    pytest.importorskip("torch", reason="needs the extra server")
    assert EXAMPLES["kpasim serve"] == EXAMPLES["kpasim serve txt2img"]
    command = [sys.executable, "-m", *EXAMPLES["kpasim serve"].replace("7860", "0").split()]

    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stderr=log, stdout=subprocess.DEVNULL, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
    try:
        deadline = time.monotonic() + 120
        while not (found := re.search(r"listening on (http://\S+)", (tmp_path / "log").read_text(encoding="utf-8"))):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with urllib.request.urlopen(f"{found[1]}/healthz", timeout=60) as answer:
            assert answer.status == 200
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("page", [*pages(), ROOT / "README.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_running_text_exist(page):
    """What a sentence calls `kpasim COMMAND --option` is a command with that option; programs it names are there."""
    commands = dict(help_pages())
    text = page.read_text(encoding="utf-8")
    for found in re.findall(r"`(?:[^`\n]*\| )?kpasim ([a-z][^`\n]*)`", text):
        words = shlex.split(found)
        name = "kpasim"
        while words and f"{name} {words[0]}" in commands:
            name = f"{name} {words.pop(0)}"
        assert name != "kpasim", found
        known = {option for one in commands[name].params for option in (*one.opts, *one.secondary_opts)} | {"--help"}
        assert {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"} <= known, found
    for module, path in re.findall(r"`python (?:-m (benchmarks[\w.]*)|([\w/]+\.py))", text):
        assert (ROOT / (path or f"{module.replace('.', '/')}.py")).exists(), (module, path)


def test_links_between_pages_lead_somewhere():
    """No relative link or picture of the documentation, the README or the changelog points at a missing file."""
    for page in [*pages(), ROOT / "README.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            file = target.partition("#")[0]
            if file and "://" not in file:
                assert (page.parent / file).exists(), f"{page.relative_to(ROOT)}: {target}"


@pytest.mark.parametrize("kind", ["experiment", "model", "sweep", "runs"])
def test_the_reference_holds_every_key(kind, monkeypatch):
    """The generated pages name every key of every kind of file, each with its type."""
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
    """Each test that the table of traps names is there, in the file that it says; all 29 traps are listed."""
    text = (ROOT / "docs" / "known-differences.md").read_text(encoding="utf-8")
    files = {"": "test_goldens", "pods": "test_goldens_pods", "requests": "test_goldens_requests"}
    rows = re.findall(r"^\| (\d+) \|.*\| (.+) \|$", text, re.M)

    assert [int(number) for number, _ in rows] == list(range(1, 30))
    for number, tests in rows:
        named = re.findall(r"`(?:([\w/.]+)::)?(test_\w+)`", tests)
        assert named, number
        for place, name in named:
            path = ROOT / (place if place.endswith(".py") else f"tests/engines/{files[place]}.py")
            assert f"def {name}(" in path.read_text(encoding="utf-8"), f"trap {number}: {name}"


def test_events_of_a_request_are_what_the_page_says():
    """The table of the page on performance is what counting them gives."""
    done = subprocess.run(
        [sys.executable, "benchmarks/events.py"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout in (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
