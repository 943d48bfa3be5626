"""What `kpasim run --explain` tells."""

import re
from typing import Any

import pytest

from kpasim.results.tables import Tables
from kpasim.spec.experiment import from_mapping
from kpasim.studies.explain import explanation, moments
from kpasim.studies.run import Result, simulate
from tests.services import service

ANNOTATIONS = {"target-utilization-percentage": "100", "max-scale": "2"}


def told(**changes: Any) -> tuple[Result, list[str]]:
    """Three requests of 5 s at once, and three more after five minutes, from zero pods."""
    container = {"readinessProbe": {"httpGet": {"path": "/"}, "periodSeconds": 1}}
    data = {
        "service": service(ANNOTATIONS, container=container, containerConcurrency=1),
        "workload": {"kind": "batches", "size": 3, "every": "300s", "duration": "301s"},
        "model": {"service-time": "5s", "cold-start": "10s"},
        "start": "idled",
        "replications": 1,
        **changes,
    }
    result = simulate(from_mapping(data), engine="reference")
    return result, list(explanation(result.tables(), result.params))


def test_a_decision_is_told_with_its_reason_and_what_came_of_it() -> None:
    """The first request pokes, the Deployment gets a pod, the next tick panics, and max-scale caps what is wanted."""
    _, lines = told()
    load = next(index for index, line in enumerate(lines) if " poke: " in line)
    poke, created, tick = lines[load : load + 3]

    assert "asks for 1 (target 1), 0 ready -> 1: the stable window asks for it" in poke
    assert "replicas 0 -> 1" in created
    assert re.search(r"pod-\d+ created", created)
    assert re.search(r"0 ready, panicking -> \d: the panic window asks for it", tick)
    assert any(" -> 3: " in line and "; max-scale caps it at 2; excess burst" in line for line in lines[load:])


def test_where_nothing_is_known_that_is_told() -> None:
    """Between the two batches the pods go and the windows are empty: the last decision, none, stands."""
    _, lines = told()

    silences = [line for line in lines if "no data after" in line]
    assert silences
    assert all(line.endswith("nothing is decided, 0 stands") for line in silences)
    before = lines.index(silences[0])
    assert any(" poke: " in line for line in lines[before:])


def test_every_decision_is_told_or_counted() -> None:
    """Lines of decisions, and the ticks that had the same answer, add up to the table's rows; times ascend."""
    result, lines = told()
    decisions = [line for line in lines if re.search(r"s (tick|poke): ", line)]
    counted = sum(int(found[1]) for line in lines if (found := re.search(r"\.\.\. (\d+) more tick", line)))
    times = [float(line.split("s")[0]) for line in lines if "..." not in line]

    assert len(decisions) + counted == len(result.tables().ticks["t_s"])
    assert times == sorted(times)


def test_pods_are_told_from_creation_to_end() -> None:
    """Each pod is created, ready, terminating and gone, and the path is told where it changes."""
    result, lines = told()
    text = "\n".join(lines)

    for pod in result.tables().pods["pod"]:
        for what in ("created", "ready", "terminating", "gone"):
            assert re.search(rf"{pod}(, pod-\d+)* {what}", text), (pod, what)


def test_a_pod_without_a_machine_is_told_when_it_gets_one() -> None:
    """With a single node the second pod is Pending until another node comes."""
    _, lines = told(cluster={"gpus-per-pod": 1, "nodes": {"count": 1, "max": 2, "provision": "20s"}})

    assert any("got a machine" in line for line in lines)


@pytest.mark.parametrize("rows", [list(range(3)), []])
def test_any_part_of_a_run_can_be_told(rows: list[int]) -> None:
    """Few ticks, or none, are told as well."""
    result, _ = told()
    tables = result.tables()
    part = Tables(
        tables.requests, tables.pods, {name: values[rows] for name, values in tables.ticks.items()}, tables.scaling
    )

    lines = list(explanation(part, result.params))

    assert len(rows) == len([line for line in lines if re.search(r"s (tick|poke): ", line)]) or rows


def test_zero_has_no_sign() -> None:
    """What is left of an average after everything has left the window is not shown as -0.00."""
    result, lines = told()

    assert not any("-0.00 " in line for line in lines)
    assert not any("-0.00" in cell for row in moments(result.tables()) for cell in row)
