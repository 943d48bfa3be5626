"""Files of unknown origin do no harm: damaged sweeps, names that would steer a terminal."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kpasim.cli.main import cli

HEY = Path(__file__).parents[2] / "experiments" / "hey50x5.yaml"
ESCAPE = "\x1b]0;x\x07"


def kpasim(*words: object) -> Result:
    """Run a command."""
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A file of a sweep and the folder that it left."""
    place = tmp_path_factory.mktemp("swept")
    file, folder = place / "grid.yaml", place / "out"
    file.write_text(f"experiment: {HEY}\naxes:\n  service.annotations.max-scale: [1, 3]\nreplications: 2\n")
    assert kpasim("sweep", file, "--out", folder).exit_code == 0
    return file, folder


def cut(folder: Path) -> None:
    """Keep half of the table."""
    path = folder / "replications.parquet"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(folder: Path) -> None:
    """Flip bits all over the table."""
    path = folder / "replications.parquet"
    content = bytearray(path.read_bytes())
    for place in range(4, len(content) - 8, 97):
        content[place] ^= 0x55
    path.write_bytes(content)


def other_plan(folder: Path) -> None:
    """A plan without a plan."""
    (folder / "plan.json").write_text('{"fingerprints": []}')


def plan_of_numbers(folder: Path) -> None:
    """Fields of the plan that are of other types."""
    path = folder / "plan.json"
    plan = json.loads(path.read_text())
    for place in (plan, plan.get("about")):
        if isinstance(place, dict):
            place.update(settings=5, replications="x", axes=7)
    path.write_text(json.dumps(plan))


def plan_of_a_list(folder: Path) -> None:
    """Not an object at all."""
    (folder / "plan.json").write_text("[1, 2]")


@pytest.mark.parametrize("damage", [cut, flip, other_plan, plan_of_numbers, plan_of_a_list])
def test_a_damaged_sweep_is_one_line(damage: object, swept: tuple[Path, Path], tmp_path: Path) -> None:
    """``report`` and ``sweep --resume`` name the file that cannot be read; neither ends with a traceback."""
    file, folder = swept
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    damage(copy)  # type: ignore[operator]
    for done in (
        kpasim("report", copy, "-o", tmp_path / "page.html"),
        kpasim("sweep", file, "--out", copy, "--resume"),
    ):
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert done.exit_code == 1, done.output
        assert isinstance(done.exception, SystemExit), done.exception
        assert len(errors) == 1
        assert str(copy) in errors[0]


def test_a_name_of_a_column_steers_no_terminal(tmp_path: Path) -> None:
    """Messages escape what a file says."""
    path = tmp_path / "esc.csv"
    path.write_text(f"respS,Request-write,Response-delay,Respon{ESCAPE}se-read,status-code,\noffset\n")
    done = kpasim("calibrate", path, "-o", tmp_path / "m.yaml")
    assert done.exit_code == 1
    assert "\x1b" not in done.output
    assert r"\x1b]0;x\x07" in done.output


@pytest.mark.parametrize("command", ["run", "check", "tune"])
def test_a_name_of_a_file_steers_no_terminal(command: str, tmp_path: Path) -> None:
    """Nor do tables and notes hold control characters of a file's name or of a name in it."""
    path = tmp_path / f"evil{ESCAPE}.yaml"
    text = HEY.read_text().replace("service: manifests/", f"service: {HEY.parent}/manifests/")
    path.write_text(text.replace("{name: ecs.gn5-c4g1.xlarge", '{name: "ecs\\e]0;x\\a"'))
    more: dict[str, list[object]] = {
        "run": ["-n", 2, "--out", tmp_path / "out"],
        "check": [],
        "tune": ["--slo", "p95<=300s", "--budget", 60],
    }
    done = kpasim(command, path, *more[command])
    assert done.exit_code == 0, done.output
    assert command == "run" or "evil" in done.output
    assert "\x1b" not in done.output
    assert "\x07" not in done.output


def test_more_processes_than_can_be_meant_are_refused(swept: tuple[Path, Path]) -> None:
    """A number that the system cannot count to is a wrong option, and no traceback."""
    done = kpasim("sweep", swept[0], "--processes", 10**30)
    assert done.exit_code == 2
    assert "is not in the range 1<=x<=1024" in done.output


@pytest.mark.parametrize(
    "words",
    [
        ["validate", HEY, "--max-cost", "nan"],
        ["validate", HEY, "--ready-timeout", "nan"],
        ["validate", HEY, "--calibrate-for", "inf"],
        ["cluster", "clean", "--timeout", "nan"],
        ["calibrate", HEY, "--effort", "nan"],
    ],
    ids=lambda words: str(words[-2]),
)
def test_a_limit_is_a_finite_number(words: list[object]) -> None:
    """Nothing is above `nan`: as a limit of the cost it would be none."""
    done = kpasim(*words)
    assert done.exit_code == 2
    assert "is not a finite number" in done.output
