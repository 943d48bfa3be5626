"""The README keeps its word: its two blocks, its arrows, its table of files, its picture."""

import re
import subprocess
import sys

from tests.documented import ROOT, Block, blocks, prepare, run
from tests.test_layers import MAY_IMPORT

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_two_blocks_are_all_one_needs():
    """The README has two blocks of commands: one makes an environment and runs the headline, one runs the tests."""
    first, second = [one for one in blocks(README) if one.language == "bash"]

    for block in (first, second):
        assert block.text.startswith("python3 -m venv .venv\n.venv/bin/pip install -q ")
    assert first.text.endswith(".venv/bin/kpasim run experiments/hey50x5.yaml\n")
    assert '-e ".[test]"' in second.text
    assert "<!-- command: test -->\n```bash\n" + second.text in TEXT


def test_the_first_block_ends_with_the_report_of_the_headline_run(tmp_path):
    """What the first block runs, once kpasim is installed, prints hey's report and the figures with intervals."""
    place = tmp_path / "kpasim"
    place.mkdir()
    environment = prepare(place)
    first = next(one for one in blocks(README) if one.language == "bash")
    command = first.text.splitlines()[-1].removeprefix(".venv/bin/")

    done = run(Block(README, first.line, "bash", command, ()), place, environment)

    assert done.returncode == 0, done.stderr
    assert "Summary:\n  Total:" in done.stdout
    assert "[200]\t50 responses" in done.stdout
    assert "3 replications: median and 90 % interval" in done.stdout


def test_python_of_the_readme_runs(tmp_path):
    """Each block of Python does what it is shown for."""
    place = tmp_path / "kpasim"
    place.mkdir()
    environment = prepare(place)
    for block in blocks(README):
        if block.language == "python":
            done = run(block, place, environment)
            assert done.returncode == 0, f"{block.name}\n{done.stderr}"


def test_every_command_it_names_exists():
    """Whatever follows `kpasim` in a code span is a command."""
    from kpasim.cli.main import COMMANDS

    named = set(re.findall(r"`kpasim ([a-z]+)", TEXT))

    assert named <= set(COMMANDS)
    assert {"run", "check", "sweep", "tune", "compare", "validate", "report"} <= named


def test_its_arrows_are_the_ones_that_are_tested():
    """The line of layers names each layer that the test of the layers holds, from the top to the bottom."""
    line = next(one for one in TEXT.splitlines() if one.startswith("`cli > "))
    groups = [group.split(", ") for group in line.strip("`").split(" > ")]

    assert {layer for group in groups for layer in group} == set(MAY_IMPORT) - {"server"}
    for place, group in enumerate(groups):
        above = {layer for higher in groups[:place] for layer in higher}
        for layer in group:
            assert not MAY_IMPORT[layer] & above, layer


def test_our_files_and_knatives_are_what_the_code_says():
    """Each of our files in the table exists and names every file of Knative that stands beside it."""
    rows = re.findall(r"^\| \[([\w/.]+)\]\(([\w/.]+)\) \| (.+) \|$", TEXT, re.M)

    assert len(rows) >= 10
    for _, path, theirs in rows:
        source = (ROOT / path).read_text(encoding="utf-8")
        for file in re.findall(r"`([^`]+\.go)`", theirs):
            assert file.rpartition("/")[2] in source, f"{path}: {file}"


def test_the_picture_is_made_by_a_program():
    """The pictures that the README shows are those that docs/figures.py and docs/screenshots.py make, and are there."""
    pictures = re.findall(r"\]\((docs/images/[\w.]+)\)", TEXT)

    assert len(pictures) == 2
    for picture, program in zip(pictures, ("figures.py", "screenshots.py"), strict=True):
        assert (ROOT / picture).exists()
        assert f'"{picture.rpartition("/")[2]}"' in (ROOT / "docs" / program).read_text(encoding="utf-8")


def test_the_version_names_what_can_change_a_number():
    """`kpasim --version` names kpasim, Knative's commit, the engines, and the packages that matter."""
    done = subprocess.run(
        [sys.executable, "-m", "kpasim", "--version"], capture_output=True, text=True, check=True, cwd=ROOT
    )

    for word in (
        "kpasim 0.",
        "knative/serving@98e5ef9",
        "compiled (numba)",
        "reference (SimPy)",
        "numpy ",
        "Python 3.",
    ):
        assert word in done.stdout
