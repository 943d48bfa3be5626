"""`config-autoscaler` and annotations: what Knative refuses, and the numbers it makes of the rest.

The recorded cases are replayed in tests/policy/test_conformance.py; here stand the rules one by one.
"""

import math

import pytest

from kpasim.errors import ExperimentError
from kpasim.spec.autoscaler import (
    CONFIG_KEYS,
    PREFIX,
    SPELLINGS,
    AutoscalerConfig,
    find_annotation,
    parse_config,
    resolve,
    validate_annotations,
)

DEFAULTS = AutoscalerConfig()


def test_no_key_means_the_default() -> None:
    """An empty ConfigMap gives Knative's own defaults."""
    assert parse_config({}) == DEFAULTS
    assert DEFAULTS.target_burst_capacity == 211
    assert DEFAULTS.container_concurrency_target_fraction == 0.7
    assert len(CONFIG_KEYS) == len(AutoscalerConfig.model_fields) == 20


@pytest.mark.parametrize(("text", "fraction"), [("70", 0.7), ("0.7", 0.7), ("1", 1.0), ("100", 1.0), ("1.5", 0.015)])
def test_a_percentage_of_at_most_one_is_a_fraction(text: str, fraction: float) -> None:
    """In the ConfigMap "1" means 100 %, in an annotation 1 %."""
    config = parse_config({"container-concurrency-target-percentage": text})
    assert config.container_concurrency_target_fraction == pytest.approx(fraction)
    annotated = resolve({PREFIX + "target-utilization-percentage": "1"}, config, 100)
    assert annotated.target_value == pytest.approx(1.0)


def test_unknown_keys_are_ignored_as_in_knative_unless_told_otherwise() -> None:
    """A ConfigMap out of a cluster may hold more; one written for an experiment may not."""
    data = {"_example": "...", "vendor-key": "1"}
    assert parse_config(data) == DEFAULTS
    with pytest.raises(ExperimentError, match="vendor-key: unknown key"):
        parse_config(data, strict=True)


def test_yaml_scalars_are_taken_as_their_text() -> None:
    """An experiment need not quote what a ConfigMap must."""
    config = parse_config({"target-burst-capacity": 0, "enable-scale-to-zero": False, "max-scale-up-rate": 10.5})
    assert (config.target_burst_capacity, config.enable_scale_to_zero, config.max_scale_up_rate) == (0.0, False, 10.5)


def test_all_faults_of_a_config_map_are_named() -> None:
    """Knative stops at the first, a user mends all."""
    with pytest.raises(ExperimentError) as caught:
        parse_config({"stable-window": "5s", "initial-scale": "x", "max-scale-up-rate": "1", "max-scale": "-1"})
    assert [problem.place for problem in caught.value.problems] == [
        "stable-window", "initial-scale", "max-scale-up-rate", "max-scale",
    ]  # fmt: skip


@pytest.mark.parametrize("name", [name for name, keys in SPELLINGS.items() if len(keys) > 1])
def test_both_spellings_are_read_and_kebab_case_wins(name: str) -> None:
    """Every aliased annotation is found under either key, and under the first where both are there."""
    kebab, camel = SPELLINGS[name]
    assert find_annotation({camel: "b"}, name) == (camel, "b")
    assert find_annotation({camel: "b", kebab: "a"}, name) == (kebab, "a")
    assert find_annotation({}, name) is None


def test_a_wrong_value_under_the_other_spelling_does_not_count() -> None:
    """Only the spelling that wins is looked at."""
    annotations = {PREFIX + "max-scale": "3", PREFIX + "maxScale": "-1"}
    assert validate_annotations(annotations, DEFAULTS) == []
    assert resolve(annotations, DEFAULTS, 1).max_scale == 3


@pytest.mark.parametrize(
    ("concurrency", "annotations", "target", "total"),
    [
        (0, {}, 70.0, 100.0),
        (1, {}, 0.7, 1.0),
        (10, {"target": "5"}, 3.5, 5.0),
        (50, {"target": "200"}, 35.0, 50.0),
        (0, {"metric": "rps"}, 140.0, 200.0),
        (10, {"metric": "rps", "target": "50"}, 35.0, 50.0),
        (1, {"targetUtilizationPercentage": "100"}, 1.0, 1.0),
        (0, {"target": "0.01"}, 0.01, 0.01),
    ],
)
def test_targets_of_the_reference(concurrency: int, annotations: dict[str, str], target: float, total: float) -> None:
    """The utilisation multiplies an explicit target, the concurrency caps it, and never for rps."""
    settings = resolve({PREFIX + key: value for key, value in annotations.items()}, DEFAULTS, concurrency)
    assert settings.target_value == pytest.approx(target)
    assert settings.total_value == total


@pytest.mark.parametrize(
    ("window", "percentage", "panic_s"),
    [("60s", "10", 6), ("40s", "10", 4), ("45s", "10", 5), ("6s", "10", 1), ("60s", "100", 60)],
)
def test_panic_windows_of_the_reference(window: str, percentage: str, panic_s: int) -> None:
    """Half seconds round up, and no panic window is shorter than a second."""
    annotations = {PREFIX + "window": window, PREFIX + "panic-window-percentage": percentage}
    assert resolve(annotations, DEFAULTS, 1).panic_window_s == panic_s


def test_an_unreachable_revision_has_no_minimum_and_no_retention() -> None:
    """Nobody waits for a revision that no route leads to."""
    config = parse_config({"min-scale": "2", "scale-to-zero-pod-retention-period": "60s"})
    reachable = resolve({}, config, 1, reachability="Reachable")
    unreachable = resolve({}, config, 1, reachability="Unreachable")
    assert (reachable.min_scale, reachable.pod_retention_s, reachable.reachable) == (2, 60.0, True)
    assert (unreachable.min_scale, unreachable.pod_retention_s, unreachable.reachable) == (0, 0.0, False)


def test_annotations_that_do_not_parse_count_as_absent() -> None:
    """What a webhook let through is read leniently."""
    annotations = {PREFIX + "window": "x", PREFIX + "min-scale": "1.5", PREFIX + "target": ""}
    assert resolve(annotations, DEFAULTS, 1) == resolve({}, DEFAULTS, 1)


def test_an_initial_scale_of_zero_needs_the_clusters_leave() -> None:
    """Otherwise the cluster's own default holds."""
    annotations = {PREFIX + "initial-scale": "0"}
    allowed = parse_config({"allow-zero-initial-scale": "true", "initial-scale": "4"})
    assert resolve(annotations, allowed, 1).initial_scale == 0
    assert resolve(annotations, parse_config({"initial-scale": "4"}), 1).initial_scale == 4


def test_nan_passes_where_it_passes_in_knative() -> None:
    """Go's comparisons with NaN are false, so a NaN target is accepted; experiments refuse it later."""
    annotations = {PREFIX + "target": "NaN"}
    assert validate_annotations(annotations, DEFAULTS) == []
    assert math.isnan(resolve(annotations, DEFAULTS, 1).target_value)


def test_a_custom_class_is_left_alone() -> None:
    """Metrics and algorithms of other autoscalers are their own business."""
    annotations = {
        PREFIX + "class": "my.class",
        PREFIX + "metric": "queue",
        PREFIX + "metric-aggregation-algorithm": "x",
    }
    assert validate_annotations(annotations, DEFAULTS) == []


def test_the_algorithm_is_checked_only_where_the_class_is_written_out() -> None:
    """Knative looks for the literal annotation."""
    algorithm = {PREFIX + "metricAggregationAlgorithm": "bogus"}
    written = {**algorithm, PREFIX + "class": "kpa.autoscaling.knative.dev"}
    assert validate_annotations(algorithm, DEFAULTS) == []
    assert [one.place for one in validate_annotations(written, DEFAULTS)] == [PREFIX + "metricAggregationAlgorithm"]
    assert resolve(algorithm, DEFAULTS, 1).aggregation == "linear"


def test_a_limit_of_the_cluster_holds_for_annotations() -> None:
    """`max-scale-limit` forbids more, and no limit at all."""
    config = parse_config({"max-scale": "5", "max-scale-limit": "5"})
    assert validate_annotations({}, config) == []
    for text in ("6", "0"):
        (problem,) = validate_annotations({PREFIX + "maxScale": text}, config)
        assert "[1, 5]" in problem.message
