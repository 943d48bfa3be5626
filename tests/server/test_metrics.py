"""What Prometheus reads."""

from kpasim.server.metrics import BUCKETS_S, Histogram, Metrics


def test_a_histogram_counts_upwards() -> None:
    """Each bucket counts the durations at or below its bound, the last one all."""
    histogram = Histogram()
    for seconds in (0.05, 0.051, 7.0, 1000.0):
        histogram.add(seconds)
    lines = list(histogram.lines("x"))
    assert lines[0] == 'x_bucket{le="0.05"} 1'
    assert lines[1] == 'x_bucket{le="0.1"} 2'
    assert lines[BUCKETS_S.index(10.0)] == 'x_bucket{le="10.0"} 3'
    assert lines[-3:] == ['x_bucket{le="+Inf"} 4', "x_sum 1007.101000", "x_count 4"]


def test_every_sample_has_its_help_and_type() -> None:
    """The text declares each metric once, before its samples."""
    metrics = Metrics()
    metrics.responses.update({200: 2, 503: 1})
    text = metrics.text(gauges={"up": ("Whether it is.", 1.0)}, stages_s={"import": 2.5})
    declared: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            assert name not in declared
            declared.add(name)
        elif not line.startswith("#"):
            assert any(line.startswith(name) for name in declared)
    assert 'txt2img_requests_total{code="200"} 2' in text
    assert 'txt2img_start_stage_seconds{stage="import"} 2.500000' in text
    assert text.endswith("up 1\n")
