"""`kpasim manifest`: there and back without a changed byte."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kpasim.cli.main import cli
from kpasim.spec.experiment import load

PUBLISHED = Path(__file__).parents[2] / "experiments" / "manifests" / "stable-diffusion.yaml"


def kpasim(*words: str | Path, stdin: str | None = None) -> Result:
    """Run the command line."""
    return CliRunner().invoke(cli, ["manifest", *map(str, words)], input=stdin)


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """The published manifest as an experiment."""
    path = tmp_path / "imported.yaml"
    done = kpasim("import", PUBLISHED, "--out", path)
    assert done.exit_code == 0, done.output
    return path


def test_import_and_export_give_the_published_manifest(imported: Path, tmp_path: Path) -> None:
    """Byte for byte, on stdout and in a file."""
    assert kpasim("export", imported).stdout_bytes == PUBLISHED.read_bytes()
    assert kpasim("export", imported, "--out", tmp_path / "out.yaml").exit_code == 0
    assert (tmp_path / "out.yaml").read_bytes() == PUBLISHED.read_bytes()


def test_a_tuned_export_differs_in_the_tuned_values_only(imported: Path, tmp_path: Path) -> None:
    """From the command line and from a file of settings; the command line has the last word."""
    (tmp_path / "tuned.json").write_text(
        json.dumps({"service.annotations.max-scale": 7, "service.containerConcurrency": 2})
    )
    done = kpasim("export", imported, "--settings", tmp_path / "tuned.json", "--set", "service.annotations.max-scale=5")
    before, after = PUBLISHED.read_text().splitlines(), done.stdout.splitlines()
    assert [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]] == [
        ("        autoscaling.knative.dev/maxScale: '10'", "        autoscaling.knative.dev/maxScale: '5'"),
        ("      containerConcurrency: 1", "      containerConcurrency: 2"),
    ]


def test_settings_that_are_not_in_a_manifest_are_named(imported: Path) -> None:
    """Nothing is lost silently."""
    done = kpasim("export", imported, "--set", "config-autoscaler.stable-window=40s")
    assert done.stdout_bytes == PUBLISHED.read_bytes()
    assert "not part of a Service manifest: config-autoscaler.stable-window" in done.stderr


def test_an_import_has_what_it_is_told(tmp_path: Path) -> None:
    """Load and times from the command line, guesses elsewhere."""
    path = tmp_path / "told.yaml"
    words = ("--hey", "-n 20 -c 4", "--service-time", "11s", "--cold-start", "2m")
    assert kpasim("import", PUBLISHED, "--out", path, *words).exit_code == 0
    found = load(path)
    assert found.setting("workload.requests") == 20
    assert found.model.service_time.time.mean_s() == 11.0
    assert not found.model.provisional


def test_a_manifest_from_a_stream_becomes_part_of_the_experiment(tmp_path: Path) -> None:
    """As `kubectl get ksvc -o yaml` gives it, without its status."""
    text = PUBLISHED.read_text() + "status:\n  url: http://x\n"
    done = kpasim("import", "-", stdin=text)
    assert done.exit_code == 0, done.output
    path = tmp_path / "streamed.yaml"
    path.write_text(done.stdout)
    found = load(path)
    assert found.service.data["spec"] == load_published()["spec"]
    assert "status" not in found.service.data
    again = kpasim("export", path)
    assert again.exit_code == 0
    assert "kind: Service" in again.stdout


def load_published() -> dict[str, object]:
    """The published manifest as plain data."""
    from kpasim.spec.yamlfile import read_mapping

    data: dict[str, object] = read_mapping(PUBLISHED, kind="a manifest").data
    return data


def test_differences_are_shown(imported: Path, tmp_path: Path) -> None:
    """As a table and as JSON; none is said, too."""
    tuned = tmp_path / "tuned.yaml"
    tuned.write_text(kpasim("export", imported, "--set", "service.annotations.max-scale=5").stdout)
    table = kpasim("diff", PUBLISHED, tuned).stdout
    assert "annotations.max-scale" in table
    found = json.loads(kpasim("diff", PUBLISHED, tuned, "--json").stdout)["differences"]
    assert found == [{"setting": "annotations.max-scale", "before": "10", "after": "5"}]
    same = kpasim("diff", PUBLISHED, imported)
    assert (same.stdout, same.exit_code) == ("", 0)
    assert "No setting differs." in same.stderr


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("import", "nope.yaml"), 1, "nope.yaml: no such file"),
        (("import", "EXPERIMENT"), 1, "holds no Knative Service (it is an experiment; wanted: apiVersion serving"),
        (("export", "EXPERIMENT", "--set", "max-scale=3"), 1, "did you mean service.annotations.max-scale?"),
        (("import", PUBLISHED, "--hey", "-x"), 1, "hey: -x: has no value"),
        (("import", PUBLISHED, "--service-time", "["), 1, "is not YAML"),
        (("import", PUBLISHED, "--service-time", "soon"), 1, "'soon' is not a duration"),
        (("export", PUBLISHED), 1, "kind: is a Kubernetes Service, not an experiment"),
        (("export", "EXPERIMENT", "--set", "max-scale"), 1, "has no value (write PATH=VALUE"),
        (("export", "EXPERIMENT", "--set", "service.annotations.maxscale=3"), 1, "did you mean max-scale?"),
        (("export", "EXPERIMENT", "--set", "service.annotations.max-scale=x"), 1, "'x' is not a whole number"),
        (("export", "EXPERIMENT", "--settings", "nope.json"), 1, "nope.json: no such file"),
        (
            ("export", "EXPERIMENT", "--out", "/nowhere/at/all.yaml"),
            1,
            "there is no folder /nowhere/at",
        ),
        (("diff", PUBLISHED, "nope.yaml"), 1, "nope.yaml: no such file"),
    ],
)
def test_mistakes_are_told_in_one_line(words: tuple[str, ...], status: int, message: str, imported: Path) -> None:
    """With status 1 for a file or a value, 2 for the way the command was called."""
    done = kpasim(*(imported if word == "EXPERIMENT" else word for word in words))
    assert done.exit_code == status
    assert message in done.stderr
    assert "Traceback" not in done.output
