"""What all tests share: vectors recorded from Knative, and the count of them that were replayed."""

import gzip
import json
import lzma
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Examples are the same in every run, so that what fails is the change at hand; others are drawn by
# pytest --hypothesis-profile explore
settings.register_profile("same", derandomize=True, database=None)
settings.register_profile("explore", derandomize=False)
settings.load_profile("same")

VECTORS = Path(__file__).parent / "vectors"
FAMILIES = (
    "decider", "aggregation", "collector", "scrape", "targets", "scaler", "lb", "queueproxy_stats", "services",
    "configmaps", "hpa_replicas", "hpa_behavior", "hpa_trace", "keda_activation", "keda_chain",
    "keda_http_buckets", "ray_serve",
)  # fmt: skip
LATER = ("knative_rollout",)
"""Families that nothing in kpasim models yet; their cases are counted and named, not replayed."""
LIVE = re.compile(
    r"^\s*(?:from|import) .*"
    r"\b(subprocess|multiprocessing|playwright|socket|urllib|http|fakes|browsers|processes|servers)\b",
    re.M,
)
"""Imports of a module that tell of processes, servers and browsers, which a busy machine may stop for seconds."""
OPENERS = {".json": Path.open, ".gz": gzip.open, ".xz": lzma.open}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let another folder of vectors be replayed."""
    parser.addoption(
        "--vectors",
        metavar="DIR",
        default=str(VECTORS),
        help="replay the conformance vectors in DIR (*.json, *.json.gz, *.json.xz) instead of those in tests/vectors",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Explain the marker that asks for vectors."""
    config.addinivalue_line("markers", "vectors(family): run once for each recorded case of the family, as `case`")


@lru_cache
def load_vectors(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The cases in a folder, by family; a family may be spread over several files.

    A case of a file with a `cluster_config` has it, too.
    """
    cases: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json*")):
        if path.suffix not in OPENERS:
            continue
        with OPENERS[path.suffix](path, "rb") as file:
            document = json.load(file)
        family = document.get("family", path.name.partition(".")[0])
        cluster = {key: document[key] for key in ("cluster_config",) if key in document}
        cases.setdefault(family, []).extend({**case, **cluster} for case in document["cases"])
    if not cases:
        raise pytest.UsageError(f"--vectors {folder}: no vectors (*.json, *.json.gz, *.json.xz) there")
    return cases


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test marked with a family once for each of its cases."""
    marker = metafunc.definition.get_closest_marker("vectors")
    if marker is not None:
        cases = load_vectors(Path(metafunc.config.getoption("vectors"))).get(marker.args[0], [])
        metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])


@lru_cache
def is_live(path: Path) -> bool:
    """Whether a module's tests start processes, servers or browsers."""
    return LIVE.search(path.read_text(encoding="utf-8")) is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note the family of each replayed case in its report, where the summary finds it (under xdist, too).

    A test of live processes is repeated once if it fails, and the summary lists it as RERUN: to be looked at, not to
    refuse ten thousand others.
    """
    for item in items:
        if is_live(item.path):
            item.add_marker(pytest.mark.flaky(reruns=1))
        marker = item.get_closest_marker("vectors")
        if marker is not None and "case" in getattr(item, "fixturenames", ()):
            item.user_properties.append(("vectors", marker.args[0]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print how many cases of each family were replayed, and how many failed."""
    replayed: Counter[tuple[str, str]] = Counter()
    failed: Counter[tuple[str, str]] = Counter()
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            for key in _families(report):
                replayed[key] += outcome != "error"
                failed[key] += outcome != "passed"
    if not replayed:
        return
    terminalreporter.section("vectors recorded from Knative, Kubernetes, KEDA and Ray")
    for file, family in sorted(replayed):
        count, bad = replayed[file, family], failed[file, family]
        terminalreporter.write_line(
            f"{family:20} {count:6} cases {bad:6} failures   {file}", red=bad > 0, green=bad == 0
        )
    count, bad = replayed.total(), failed.total()
    terminalreporter.write_line(f"{'all':20} {count:6} cases {bad:6} failures", red=bad > 0, green=bad == 0)
    for family, found in load_vectors(Path(config.getoption("vectors"))).items():
        if family not in FAMILIES:
            why = "not modelled yet" if family in LATER else "no test knows the family"
            terminalreporter.write_line(f"{family:20} {len(found):6} cases not replayed: {why}")


def _families(report: Any) -> Iterator[tuple[str, str]]:
    """File and family of a report, if it is one of a replayed case."""
    for name, family in getattr(report, "user_properties", ()):
        if name == "vectors":
            yield report.nodeid.partition("::")[0], family
