"""The autoscaler section of an experiment."""

import re
from typing import Any

import pytest

from kpasim.errors import ExperimentError
from kpasim.spec.autoscaler import HPA as HPA_CLASS
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.spec.scaling import KINDS, Hpa, Keda, Kpa, Schedule, Spare, days_of, moment_of, of_hpa_class
from tests.services import service

SERVICE = service()
BASE: dict[str, Any] = {
    "service": SERVICE,
    "workload": {"kind": "constant", "rate": 1.0, "duration": "1m"},
    "model": {"service-time": "1s", "cold-start": "10s"},
}


def of(scaling: Any) -> Experiment:
    """An experiment with an autoscaler section."""
    return from_mapping({**BASE, "autoscaler": scaling})


def test_without_the_section_the_manifest_decides() -> None:
    """Knative's own autoscaler, unless the file says otherwise."""
    assert isinstance(from_mapping(BASE).scaling, Kpa)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "schedule"])
def test_a_bare_word_is_a_kind_with_its_defaults(kind: str) -> None:
    """`autoscaler: keda` is short for a mapping, and its settings can be addressed."""
    assert of(kind).scaling == of({"kind": kind}).scaling == KINDS[kind].model_validate({"kind": kind})


def test_settings_of_a_bare_word_can_be_set() -> None:
    """A path into the section works whatever form the file has."""
    scaling = of("keda").with_setting("autoscaler.cooldown-period", "1m").scaling
    assert isinstance(scaling, Keda)
    assert 60.0 == scaling.cooldown_period_s
    changed = from_mapping(BASE).with_setting("autoscaler", {"kind": "spare", "pods": 3}).scaling
    assert Spare(kind="spare", pods=3) == changed


def test_behavior_with_parts_missing_has_the_defaults_of_kubernetes() -> None:
    """`behavior: {}` is four pods or 100 % every 15 s up, 100 % down; without it there is none."""
    scaling = of({"kind": "hpa", "behavior": {}}).scaling
    assert isinstance(scaling, Hpa)
    assert scaling.behavior is not None
    assert [("Pods", 4, 15.0), ("Percent", 100, 15.0)] == [
        (rule.type, rule.value, rule.period_s) for rule in scaling.behavior.scale_up.policies
    ]
    assert scaling.behavior.scale_down.stabilization_window_s is None
    assert of("hpa").scaling.behavior is None  # type: ignore[union-attr]


def test_times_of_day_may_be_read_as_numbers() -> None:
    """YAML reads 18:00 as 1080, a number of base 60."""
    windows = [{"start": 480, "end": "18:00", "replicas": 2}]
    scaling = of({"kind": "schedule", "windows": windows}).scaling
    assert isinstance(scaling, Schedule)
    assert ("08:00", "18:00") == (scaling.windows[0].start, scaling.windows[0].end)


@pytest.mark.parametrize(
    ("text", "days"),
    [("mon-fri", (0, 1, 2, 3, 4)), ("sat,sun", (5, 6)), ("fri-mon", (4, 5, 6, 0)), ("Wed", (2,))],
)
def test_weekdays(text: str, days: tuple[int, ...]) -> None:
    """A range may go over the end of the week."""
    assert days == days_of(text)


def test_moments_of_the_week() -> None:
    """A date with an offset is moved into the time zone of the schedule, summer time included."""
    assert (0, 8) == ((at := moment_of("mon 08:00", "UTC")).weekday(), at.hour)
    assert (1, 9) == ((at := moment_of("2026-07-07T07:00+00:00", "Europe/Berlin")).weekday(), at.hour)
    assert (1, 7) == ((at := moment_of("2026-07-07T07:00", "Europe/Berlin")).weekday(), at.hour)


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ("vpa", r"autoscaler: 'vpa' is not known"),
        ({"kind": "hpa", "min-replicas": 3, "max-replicas": 2}, "max-replicas 2 is below min-replicas 3"),
        ({"kind": "hpa", "min-replicas": 0}, "min-replicas 0 needs metric-type External or Object"),
        ({"kind": "hpa", "target-type": "Value"}, "must be AverageValue"),
        ({"kind": "keda", "metric": "utilization"}, "is measured in pods"),
        ({"kind": "keda", "idle-replica-count": 1, "min-replica-count": 1}, "must be below min-replica-count"),
        ({"kind": "spare", "pod": 1}, r"autoscaler.pod: unknown key \(did you mean pods\?\)"),
        ({"kind": "schedule", "windows": []}, "windows"),
        ({"kind": "schedule", "windows": [{"start": "25:00", "end": "18:00", "replicas": 1}]}, "write 08:00"),
        (
            {"kind": "schedule", "windows": [{"days": "monday", "start": "8:00", "end": "18:00", "replicas": 1}]},
            "write mon-fri",
        ),
        ({"kind": "schedule", "timezone": "Mars", "windows": []}, "is not a time zone"),
        ({"kind": "hpa", "behavior": {"scale-up": {"stabilization-window": "2h"}}}, "at most"),
    ],
)
def test_what_cannot_be_is_refused(scaling: Any, message: str) -> None:
    """One line with the key and what would be right."""
    with pytest.raises(ExperimentError, match=message) as caught:
        of(scaling)
    assert re.search("autoscaler", str(caught.value))


CLASS = "autoscaling.knative.dev/class"


def hpa_class(**annotations: str) -> Experiment:
    """An experiment whose manifest has Knative's HPA class."""
    named = {f"autoscaling.knative.dev/{name.replace('_', '-')}": text for name, text in annotations.items()}
    template = {**SERVICE["spec"]["template"], "metadata": {"annotations": {CLASS: HPA_CLASS, **named}}}  # type: ignore[index]
    return from_mapping({**BASE, "service": {**SERVICE, "spec": {"template": template}}})


def test_the_hpa_class_of_knative_chooses_its_hpa() -> None:
    """CPU by default, a minimum of one pod, and a window for both directions."""
    scaling = hpa_class(min_scale="0", max_scale="5", window="40s", target="70").scaling
    assert isinstance(scaling, Hpa)
    assert ("cpu", 70.0, 1, 5) == (scaling.metric, scaling.target, scaling.min_replicas, scaling.max_replicas)
    assert scaling.behavior is not None
    assert (40.0, 40.0) == (
        scaling.behavior.scale_up.stabilization_window_s,
        scaling.behavior.scale_down.stabilization_window_s,
    )


def test_the_section_counts_before_the_manifest() -> None:
    """The same load under another autoscaler than the manifest's."""
    assert isinstance(hpa_class().with_setting("autoscaler", "kpa").scaling, Kpa)


def test_memory_is_not_simulated() -> None:
    """One line says what is."""
    with pytest.raises(ExperimentError, match="metric memory, which is not simulated"):
        hpa_class(metric="memory")


def test_a_schedule_may_not_ask_for_more_than_the_maximum() -> None:
    """Its minimum is written as min-scale, and Knative refuses one above max-scale."""
    windows = [{"start": "08:00", "end": "18:00", "replicas": 4}]
    scaling = {"kind": "schedule", "windows": windows}
    with pytest.raises(ExperimentError, match=r"windows\[0\].replicas: 4 is more than max-scale, 3"):
        of(scaling).with_setting("service.annotations.max-scale", "3")
    assert of(scaling).with_setting("service.annotations.max-scale", "4").revision.max_scale == 4


@pytest.mark.parametrize(
    ("metric", "text", "target"), [("cpu", "99.9", 100.0), ("cpu", "60", 60.0), ("rps", "2.7", 2.0)]
)
def test_targets_of_knatives_hpa_class_are_whole_numbers(metric: str, text: str, target: float) -> None:
    """Knative rounds percents of CPU up and cuts other targets; a maximum beyond all pods is none."""
    hpa = of_hpa_class(metric, text, 0, 2**31 - 1, None)
    assert (hpa.target, hpa.min_replicas, hpa.max_replicas) == (target, 1, 10**6)


@pytest.mark.parametrize(("metric", "text"), [("rps", "0.5"), ("cpu", "1e300"), ("concurrency", "NaN")])
def test_a_target_that_no_hpa_can_have_is_named_in_one_line(metric: str, text: str) -> None:
    """Kubernetes refuses the HPA that Knative would make."""
    with pytest.raises(ValueError, match=r"^has a [^\n]*$"):
        of_hpa_class(metric, text, 0, 0, None)
