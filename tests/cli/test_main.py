"""Manners of the command line: help, suggestions, exit status, and what happens when the world misbehaves."""

import inspect
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from kpasim.cli.main import cli
from kpasim.errors import RunError
from kpasim.results.files import atomic_write
from tests.documented import help_pages
from tests.real_runs import folder as real
from tests.spec.test_bad_input import CASES, spoiled

HEADLINE = Path(__file__).parents[2] / "experiments" / "hey50x5.yaml"
SERVICE = (HEADLINE.parent / "manifests" / "stable-diffusion.yaml").read_text(encoding="utf-8")
KPASIM = [sys.executable, "-m", "kpasim.cli.main"]
QUICK = ["--engine", "reference", "-n", "2"]
READY_WITHIN = """
import kpasim.cli.main as m
begin = m.cli.main
def ready(**how):
    print("ready", flush=True)
    return begin(**how)
m.cli.main = ready
m.main()
"""
"""`kpasim`, which says when it would notice an interrupt: a moment earlier it is Python that is interrupted."""


def kpasim(*args: object, **how) -> subprocess.CompletedProcess[str]:
    """How a command of its own process ends."""
    command = [*KPASIM, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **how)


@pytest.mark.parametrize("words", [name.split()[1:] for name, _ in help_pages()][1:])
def test_every_command_explains_itself(words):
    """The help of a command has its own name, says what it does, and ends with a whole line to paste."""
    done = CliRunner().invoke(cli, [*words, "--help"])

    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: cli {' '.join(words)} ")
    line = done.output.splitlines()[-1].strip()
    assert line.startswith("Try: ")
    assert f"kpasim {words[0]}" in line
    for path in re.findall(r"experiments/[\w./-]+", line):
        assert (HEADLINE.parents[1] / path).exists()


@pytest.mark.parametrize("words", [name.split()[1:] for name, _ in help_pages() if " serve" not in name][1:])
def test_a_command_declares_the_options_that_it_takes(words):
    """What click hands to a command has the names of its parameters, whose types mypy checks."""
    command = cli
    for word in words:
        command = command.get_command(None, word)
    names = set()
    for one in inspect.signature(inspect.unwrap(command.callback)).parameters.values():
        options = re.fullmatch(r"Unpack\[(.*)\]", one.annotation) if one.kind is one.VAR_KEYWORD else None
        names |= set(eval(options[1], command.callback.__globals__).__annotations__) if options else {one.name}

    assert names == {one.name for one in command.params if one.expose_value and one.name != "help"}


def test_a_misspelt_command_is_guessed():
    """`kpasim rnu` asks whether `run` was meant, with exit status 2."""
    done = CliRunner().invoke(cli, ["rnu"])

    assert done.exit_code == 2
    assert "Did you mean 'run'?" in done.output


def test_what_one_can_mend_is_told_in_one_line(tmp_path):
    """A wrong key is named with its file and line; there is no traceback, and the exit status is 1."""
    (tmp_path / "bad.yaml").write_text(HEADLINE.read_text(encoding="utf-8") + "sed: 1\n", encoding="utf-8")

    done = kpasim("run", tmp_path / "bad.yaml", *QUICK)

    assert done.returncode == 1
    assert done.stdout == ""
    assert all(line.startswith("Error: ") for line in done.stderr.splitlines())
    assert "sed: unknown key (did you mean seed?)" in done.stderr


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_bad_input_ends_with_status_1(name, tmp_path):
    """Whatever is wrong with a file, `kpasim run` says so in lines of their own and ends with status 1."""
    done = CliRunner().invoke(cli, ["run", str(spoiled(name, tmp_path)), *QUICK])

    assert done.exit_code == 1
    assert done.output
    assert all(line.startswith("Error: ") for line in done.output.splitlines())


def test_a_first_experiment_is_written_where_there_was_no_folder(tmp_path):
    """`--write-experiment` makes its folder, and the file finds the manifest from there."""
    path = tmp_path / "new" / "first.yaml"
    manifest = HEADLINE.parent / "manifests" / "stable-diffusion.yaml"
    times = ("--service-time", "11s", "--cold-start", "120s")

    done = kpasim("run", "--manifest", manifest, "--hey", "-n 10 -c 5", *times, *QUICK, "--write-experiment", path)
    again = kpasim("run", path, *QUICK, "--json")

    assert done.returncode == 0
    assert again.returncode == 0
    assert json.loads(again.stdout)["summary"]["requests"] == 10


def test_results_go_to_stdout_and_notes_to_stderr(tmp_path):
    """With --json stdout is one JSON object, whatever else there is to say."""
    done = kpasim("run", HEADLINE, *QUICK, "--json", "--out", tmp_path / "run")

    assert done.returncode == 0
    assert json.loads(done.stdout)["replications"] == 2


def test_a_reader_that_leaves_is_no_error():
    """`kpasim run ... | head -1` prints one line and complains of nothing."""
    first = f"{' '.join(KPASIM)} run {HEADLINE} -n 2 --engine reference | head -1"
    done = subprocess.run(["bash", "-c", first], capture_output=True, text=True, check=False, timeout=120)

    assert done.stdout.startswith("Wait ")
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_full_disk_behind_stdout_is_told_in_one_line(more):
    """Where stdout cannot be written the reason stands on stderr, once, and the exit status is 1."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        command = [*KPASIM, "run", str(HEADLINE), *QUICK, *more]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120)

    assert done.returncode == 1
    assert "Error: the output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_leaves_no_half_folder(tmp_path):
    """A run that cannot write its tables says which file, and leaves neither a part of it nor a run.json."""

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    done = kpasim("run", HEADLINE, *QUICK, "--out", tmp_path / "run", preexec_fn=small)

    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    left = sorted(one.name for one in (tmp_path / "run").iterdir())
    assert not [name for name in left if name.endswith(".part")]
    assert "run.json" not in left


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_is_named(tmp_path, place):
    """A file where a folder should be made is an error of one line."""
    (tmp_path / "file").touch()

    done = kpasim("run", HEADLINE, *QUICK, "--out", tmp_path / place)

    assert done.returncode == 1
    assert f"Error: {tmp_path / place}: cannot be made" in done.stderr


@pytest.mark.parametrize("command", [["run"], ["check"], ["report"], ["compare"]])
def test_unreadable_input_is_named(tmp_path, command):
    """A folder where a file is wanted, a file that is missing: one line, no traceback, no success."""
    for path in (tmp_path, tmp_path / "missing"):
        done = kpasim(*command, path)
        assert done.returncode in {1, 2}, done.stderr
        assert "Traceback" not in done.stderr
        assert str(path) in done.stderr


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.25, 0.5, 0.9, 1.4])
def test_ctrl_c_at_any_time_leaves_nothing_half_done(tmp_path, after_s):
    """An interrupted run ends soon, with status 130 and one word; what it had not finished is not there."""
    command = [sys.executable, "-c", READY_WITHIN, "run", str(HEADLINE), "-n", "4000", "--engine", "reference"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "run")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)

    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "Interrupted."
    assert not (tmp_path / "run" / "run.json").exists()


def test_an_import_is_finished_before_ctrl_c(tmp_path):
    """Python may lose an interrupt inside an import: it comes afterwards, and ends the command as anywhere else."""
    press = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('whole', flush=True)\n"
    (tmp_path / "pressed.py").write_text(press, encoding="utf-8")
    script = """
import kpasim.cli.main as m, time
def begin(**how):
    import pressed
    time.sleep(60)
m.cli.main = begin
m.main()
"""

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=50, cwd=tmp_path
    )

    assert done.returncode == 130
    assert done.stdout == "whole\n"
    assert done.stderr.split() == ["Interrupted."]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device"), MemoryError])
def test_a_file_is_whole_or_not_there(tmp_path, error):
    """Whatever happens while a file is written, the old one stays and nothing lies beside it."""
    path = tmp_path / "table.csv"
    path.write_text("old", encoding="utf-8")
    wanted = RunError if isinstance(error, OSError) else error

    def write() -> None:
        with atomic_write(path) as file:
            file.write("half")
            raise error

    with pytest.raises(wanted):
        write()

    assert [one.name for one in tmp_path.iterdir()] == ["table.csv"]
    assert path.read_text(encoding="utf-8") == "old"


def test_completion_is_offered():
    """The line that the documentation gives for bash prints a completion script, and it completes commands."""
    script = kpasim(env={**os.environ, "_KPASIM_COMPLETE": "bash_source"})
    asked = {"_KPASIM_COMPLETE": "bash_complete", "COMP_WORDS": "kpasim ru", "COMP_CWORD": "1"}
    words = kpasim(env={**os.environ, **asked})

    assert "complete -o nosort -F _kpasim_completion kpasim" in script.stdout
    assert words.stdout.split() == ["plain,run"]


@pytest.mark.parametrize(
    ("words", "stream", "status"),
    [
        (("manifest", "import", "-"), "<&-", 1),
        (("schema", "experiment"), ">&-", 0),
        (("run", HEADLINE, *QUICK), ">&-", 0),
        (("run", "nowhere.yaml"), "2>&-", 1),
        (("--help",), ">&- 2>&-", 0),
    ],
)
def test_a_stream_that_is_closed_is_no_accident(words, stream, status):
    """Where the shell gives a command no stdin, stdout or stderr, it works, or says in one line what it lacks."""
    command = " ".join([*map(shlex.quote, [*KPASIM, *map(str, words)]), stream])

    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1


@pytest.mark.parametrize("option", ["--hey", "--service-time", "--cold-start", "--write-experiment"])
def test_an_option_that_would_do_nothing_is_refused(option):
    """What describes an experiment to be put together is not taken, and ignored, beside one that is there."""
    done = CliRunner().invoke(cli, ["run", str(HEADLINE), option, "11s"])

    assert done.exit_code == 2
    assert f"{option} goes with --manifest" in done.output


@pytest.mark.parametrize(
    ("words", "module", "extra"),
    [
        (("validate", HEADLINE), "aiohttp", "cluster"),
        (("validate", HEADLINE, "--target", "mine", "--dry-run"), "kubernetes", "cluster"),
        (("load", HEADLINE, "--url", "http://127.0.0.1:1/"), "aiohttp", "cluster"),
        (("serve", "txt2img", "--random-weights", "tiny"), "uvicorn", "server"),
    ],
)
def test_what_a_plain_installation_lacks_is_named(words, module, extra):
    """A command whose packages are not installed says in one line what installs them."""
    without = f"import sys; sys.modules[{module!r}] = None; import kpasim.cli.main as m; m.main()"

    done = subprocess.run(
        [sys.executable, "-c", without, *map(str, words)], capture_output=True, text=True, check=False, timeout=120
    )

    assert done.returncode == 1
    assert re.fullmatch(r"Error: .*missing.*", done.stderr.splitlines()[-1])
    assert done.stderr.splitlines()[-1].endswith(f": pip install 'kpasim[{extra}]'")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "kind", "hint"),
    [
        ("run", "serving.knative.dev/v1\nkind: Service", "make one of a Service: kpasim manifest import two.yaml"),
        ("check", "apps/v1\nkind: Deployment", "kind Service; or KServe's InferenceService"),
    ],
)
def test_other_manifests_are_told_what_to_do_with_them(command, kind, hint, tmp_path, monkeypatch):
    """Several objects given for an experiment, and another kind given for a Service, have a next step."""
    monkeypatch.chdir(tmp_path)
    Path("two.yaml").write_text(f"kind: Namespace\napiVersion: v1\n---\napiVersion: {kind}\n", encoding="utf-8")

    done = CliRunner().invoke(cli, [command, "two.yaml"])

    assert done.exit_code == 1
    assert re.fullmatch(r"Error: two\.yaml:\d: .*\n", done.output)
    assert hint in done.output


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("check", "-"), SERVICE),
        (("check", "-"), HEADLINE.read_text(encoding="utf-8")),
        (("tune", "-", "--slo", "p95<=200s", "--budget", "40", "--engine", "reference"), None),
        (("manifest", "diff", "-", "manifests/stable-diffusion.yaml"), SERVICE),
    ],
)
def test_a_stream_is_as_good_as_a_file(words, text, monkeypatch):
    """`kubectl get ksvc -o yaml | kpasim check -`, and the same for the others that look twice at what they read."""
    monkeypatch.chdir(HEADLINE.parent)

    done = CliRunner().invoke(cli, words, input=text or HEADLINE.read_text(encoding="utf-8"))

    assert done.exit_code in {0, 3}, done.output
    assert "Error" not in done.output


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_a_folder_that_is_no_run_is_told_where_runs_come_from(place, tmp_path, monkeypatch):
    """`kpasim compare` says whether there is no folder or no run in it, and what leaves one."""
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(cli, ["compare", place])

    assert done.exit_code == 1
    assert re.fullmatch(
        rf"Error: {re.escape(place)}: (no such folder|holds no run .*); kpasim run --out .*\n", done.output
    )


@pytest.mark.parametrize("words", [("calibrate", "run", "-o"), ("report", "run", "-n", "0", "-o")])
def test_a_folder_for_what_is_written_is_made(words, tmp_path, monkeypatch):
    """A model or a page may go into a folder that is not there yet."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(real("s1-warm-def-r03"), "run")

    done = CliRunner().invoke(cli, [*words, "new/folder/file"])

    assert done.exit_code == 0, done.output
    assert (tmp_path / "new" / "folder" / "file").exists()
