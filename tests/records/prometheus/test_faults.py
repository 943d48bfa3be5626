"""What goes wrong with recorded series: each fault is noticed, said, and costs no more than it must."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kpasim
from kpasim.errors import RecordError, RunError
from kpasim.records.prometheus.assemble import assemble
from kpasim.records.prometheus.client import Client
from kpasim.records.prometheus.files import from_answer, read_files
from kpasim.records.prometheus.names import role_of
from kpasim.records.prometheus.observation import Observation
from kpasim.records.prometheus.observe import from_files, from_server
from kpasim.records.prometheus.passages import traffic
from kpasim.records.prometheus.selection import Served
from kpasim.studies.backtest.pods import pod_seconds
from kpasim.workloads.observed import counts
from tests import prometheus_runs
from tests.documented import ROOT
from tests.records.prometheus.knative import scraped
from tests.records.prometheus.servers import victoria_metrics

RUN = "poisson-slow"
ROLES = ("activator", "queue-proxy")
"""Programs that count requests."""
COUNT = "http_server_request_duration_seconds_count"


def served(name: str = RUN) -> list[Served]:
    """The series of a recorded run."""
    return read_files([prometheus_runs.folder(name) / "raw.json"])[0]


def observed(series: Iterable[Served], name: str = RUN) -> Observation:
    """What they say."""
    return assemble(list(series), service=name, namespace="default")


def changed(series: Iterable[Served], keep: Callable[[np.ndarray], np.ndarray], **labels: str) -> list[Served]:
    """Series of which only some times are kept, with further labels."""
    result = []
    for one in series:
        kept = keep(one.times_s)
        result.append(Served({**one.labels, **labels}, one.times_s[kept], one.values[kept]))
    return [one for one in result if len(one.times_s)]


def requests(observation: Observation, role: str = "activator") -> float:
    """Requests that a role counted."""
    return float(sum(s.increments().sum() for s in observation.find(COUNT, role)))


def test_a_gap_loses_no_counts_and_is_listed():
    """A minute without any sample is one gap of all targets; counters bridge it."""
    whole = observed(served())
    middle = whole.begin_s + 200
    one = observed(changed(served(), lambda t: (t < middle) | (t > middle + 60)))
    assert requests(whole) == requests(one)
    [gap] = one.gaps
    assert ("", True) == (gap.role, gap.begin_s <= middle <= gap.end_s - 60)


def test_a_target_that_was_not_scraped_is_a_gap_of_its_own():
    """The autoscaler alone is away; the others go on."""
    middle = observed(served()).begin_s + 200
    series = served()
    central = [s for s in series if s.labels.get("container") == "autoscaler"]
    others = [s for s in series if s.labels.get("container") != "autoscaler"]
    [gap] = observed([*changed(central, lambda t: (t < middle) | (t > middle + 60)), *others]).gaps
    assert ("autoscaler", "10.77.1.13:9090") == (gap.role, gap.instance)


def test_a_process_that_was_scraped_late_counted_before():
    """An activator that runs for long and is scraped from the third minute on: a gap, and nothing counts from 0."""
    series = served()
    first_s = observed(series).begin_s
    central = [s for s in series if s.labels.get("container") == "activator"]
    others = [s for s in series if s.labels.get("container") != "activator"]
    late = observed([*changed(central, lambda t: t > first_s + 150), *others])
    [gap] = late.gaps
    assert ("activator", first_s) == (gap.role, gap.begin_s)
    whole = observed(series)
    counted = [s for s in whole.find(COUNT, "activator") if s.from_zero]
    since = sum(float(s.increments()[s.times_s > first_s + 156].sum()) for s in counted)
    assert requests(late) == pytest.approx(since, abs=12)


def test_a_single_scrape_counts_nothing():
    """What a counter holds at the only scrape came at an unknown time."""
    middle = observed(served()).begin_s + 300
    one = observed(changed(served(), lambda t: (t >= middle) & (t < middle + 5)))
    assert (requests(one), requests(one, "queue-proxy")) == (0, 0)


def test_a_time_that_is_no_date_is_refused():
    """One line, whatever a file holds."""
    series = served()
    series[5] = replace(series[5], times_s=np.where(np.arange(len(series[5].times_s)) == 3, np.inf, series[5].times_s))
    with pytest.raises(RunError, match="years 1970 to 9999"):
        observed(series)


def test_a_partial_answer_is_refused():
    """VictoriaMetrics says where a storage node was away."""
    answer = {"status": "success", "isPartial": True, "data": {"resultType": "matrix", "result": []}}
    with pytest.raises(RecordError, match="partial"):
        from_answer(answer, "answer.json")


def test_a_restarted_process_loses_what_it_counted_after_the_last_scrape_and_no_more():
    """A counter that begins again from 0 goes on; the fall is listed with its target."""
    whole = observed(served())
    middle = whole.begin_s + 300
    series = []
    for one in served():
        if one.name.startswith("http_") and one.labels["container"] == "activator":
            before = one.values[one.times_s <= middle][-1]
            one = replace(one, values=np.where(one.times_s > middle, one.values - before, one.values))  # noqa: PLW2901
        series.append(one)
    again = observed(series)
    assert requests(whole) == requests(again)
    [reset] = again.resets
    assert "activator" == reset.role
    assert reset.before_s <= middle < reset.after_s


REPLICAS = {"a": (100, 160), "b": (300, 360)}
"""Replicas of Prometheus, and the stretch in which each was away [s]."""


def replicas(shift_s: float = 0.0) -> list[Served]:
    """The run as two replicas have it, which scrape at phases of their own."""
    begin = observed(served()).begin_s
    result = []
    for place, (name, (low, high)) in enumerate(REPLICAS.items()):

        def there(t: np.ndarray, low: float = begin + low, high: float = begin + high) -> np.ndarray:
            return (t < low) | (t > high)

        for one in changed(served(), there, prometheus_replica=name):
            result.append(Served(one.labels, np.round(one.times_s + 0.7 * place + shift_s, 3), one.values))
    return result


def test_replicas_are_one_prometheus():
    """Series that differ in the replica only are counted once, and each replica fills the gaps of the other."""
    whole, both = observed(served()), observed(replicas())
    assert len(whole.series) == len(both.series)
    assert (requests(whole), requests(whole, "queue-proxy")) == (requests(both), requests(both, "queue-proxy"))
    assert not both.gaps
    assert not both.resets
    assert any("more than once" in text for text in both.notes)
    for series in both.series:
        assert np.all(np.diff(series.times_s) > 0)
    metrics = (COUNT, "kn_revision_request_active", "kn_revision_request_queued")
    count, *gauges = (both.find(metric, "activator")[0] for metric in metrics)
    for gauge in gauges:  # Values of one scrape stay together.
        assert set(count.times_s) <= set(gauge.times_s)


@pytest.mark.parametrize("label", ["thanos_replica", "region", "tenant"])
def test_replicas_may_have_any_label(label: str):
    """A target exports each gauge once: what tells two of them apart is not its own."""
    both = [Served({**s.labels, label: name}, s.times_s + shift, s.values)
            for name, shift in (("a", 0.0), ("b", 2.3)) for s in served()]  # fmt: skip
    whole, one = observed(served()), observed(both)
    assert len(whole.series) == len(one.series)
    assert [requests(whole, role) for role in ROLES] == [requests(one, role) for role in ROLES]


def test_several_activators_are_no_replicas():
    """Nor are two autoscalers: each is a target."""
    several = prometheus_runs.observation("act3")
    assert 3 == len({one.instance for one in several.find(COUNT, "activator")})
    assert not several.notes


def test_an_upgrade_of_knative_within_the_window_loses_no_count():
    """Counters and histograms of OpenCensus count the same requests; those of OpenTelemetry count others."""
    experiment = kpasim.load(ROOT / "experiments/hey50x5.yaml")
    tables = kpasim.simulate(experiment, replications=1, engine="reference").tables()
    end_s = float(tables.requests["start_s"].max())
    series = []
    for generation, begin_s, seed in (("opencensus", 1.7e9, 7), ("opentelemetry", 1.7e9 + end_s + 400, 8)):
        known = {"service": "hello", "begin_unix_s": begin_s, "end_s": end_s, "seed": seed}
        for one in scraped(tables, **known, generation=generation):
            of_process = {name: f"{one.labels[name]}-{seed}" for name in ("pod", "instance")}
            series.append(Served({"__name__": one.name, **one.labels, **of_process}, one.times_s, one.values))
    both = assemble(series, service="hello", namespace="default")
    assert "both" == both.generation
    assert [2 * len(tables.requests["start_s"])] * 2 == [requests(both, role) for role in ROLES]


@pytest.mark.parametrize(("later_s", "exported_s"), [(0.0, 0.0), (500.0, 1200.0)])
def test_revisions_that_share_the_traffic_keep_their_own_requests(later_s: float, exported_s: float):
    """A canary beside the old revision, or one that takes over while the activator still exports the old one."""
    series, sent = [], {}
    for place, (rate, name) in enumerate(((2.7, "hello-00001"), (0.3, "hello-00002"))):
        load = {"workload": {"kind": "poisson", "rate": rate, "duration": "10m"}, "seed": place + 3}
        experiment = kpasim.load(ROOT / "experiments/hey50x5.yaml").with_settings(load)
        tables = kpasim.simulate(experiment, replications=1, engine="reference").tables()
        begin_s = 1.7e9 + place * later_s
        sent[name] = begin_s + np.sort(tables.requests["start_s"])
        known = {"service": "hello", "begin_unix_s": begin_s, "end_s": 600.0, "revision": name}
        for one in scraped(tables, **known):
            pod = {} if one.labels["container"] != "queue-proxy" else {"instance": f"{name}-{one.labels['instance']}"}
            if pod or name == "hello-00001" or one.name not in ("up", "process_start_time_seconds"):
                series.append(Served({"__name__": one.name, **one.labels, **pod}, one.times_s, one.values))
    old = [s for s in series if s.labels.get("kn_revision_name") == "hello-00001"]
    series = [s for s in series if s not in old] + extended(old, 1.7e9 + 600 + exported_s, "activator")
    both = assemble(series, service="hello", namespace="default")
    assert not both.resets
    for name, times in sent.items():
        found = counts(traffic(both, name))
        expected = np.searchsorted(times, found.end_s, "right") - np.searchsorted(times, found.begin_s, "right")
        assert len(times) == found.requests.sum()
        np.testing.assert_array_equal(expected, found.requests)


def test_replicas_in_one_server_are_one_prometheus(tmp_path: Path):
    """VictoriaMetrics holds both replicas' series side by side and gives both."""
    back = -1e8
    whole = observed(served())
    with victoria_metrics(tmp_path / "victoria", replicas(back)) as url:
        window = (whole.begin_s + back - 10, whole.end_s + back + 10)
        both = from_server(Client(url), service=RUN, namespace="default", window_s=window)
        only = from_server(
            Client(url), service=RUN, namespace="default", window_s=window, matchers=['prometheus_replica="a"']
        )
    assert requests(whole) == requests(both) == requests(only)
    assert (0, 1) == (len(both.gaps), len(only.gaps))


def test_a_target_of_two_jobs_is_one_target():
    """A Service that two ServiceMonitors select is scraped twice."""
    twice = [*served(), *(Served({**s.labels, "job": "again", "endpoint": "m"}, s.times_s, s.values) for s in served())]
    assert requests(observed(served())) == requests(observed(twice))


def test_an_autoscaler_that_lost_the_lead_counts_no_more():
    """Of two that export a revision, the samples of the one whose values change are kept."""
    whole = observed(served())
    middle = whole.begin_s + 200
    all_series = served()
    gauges = [s for s in all_series if s.labels.get("container") == "autoscaler" and s.name.startswith("kn_revision")]
    others = [s for s in all_series if s not in gauges]
    first = extended(changed(gauges, lambda t: t <= middle), whole.end_s, "autoscaler")
    second = [
        Served({**s.labels, "pod": "autoscaler-b", "instance": "10.77.1.14:9090"}, s.times_s, s.values)
        for s in changed(gauges, lambda t: t > middle)
    ]
    both = observed([*others, *first, *second])
    for series in whole.find("kn_revision_pods_count"):
        found = both.find("kn_revision_pods_count")
        assert 2 == len(found)
        times = np.concatenate([one.times_s for one in found])
        order = np.argsort(times)
        np.testing.assert_array_equal(series.times_s, times[order])
        np.testing.assert_array_equal(series.values, np.concatenate([one.values for one in found])[order])
    assert any("the leader's samples count" in text for text in both.notes)


def test_services_of_one_name_in_two_clusters_are_not_added_up():
    """The message names the clusters and the option that chooses."""
    both = [Served({**s.labels, "cluster": name}, s.times_s, s.values) for name in ("a", "b") for s in served()]
    with pytest.raises(RunError, match=r"in several clusters \(a, b\): choose one, as --label cluster=a$"):
        observed(both)


def extended(series: Iterable[Served], until_s: float, *containers: str) -> list[Served]:
    """Series of some programs with their last value until later."""
    result = []
    for one in series:
        if one.labels.get("container") in containers:
            more = np.arange(one.times_s[-1] + 5, until_s, 5)
            values = np.concatenate([one.values, np.full(len(more), one.values[-1])])
            one = Served(one.labels, np.concatenate([one.times_s, more]), values)  # noqa: PLW2901
        result.append(one)
    return result


def test_a_deleted_revision_ends_although_the_activator_exports_it():
    """Its life ends with the autoscaler's gauges; the activator's counters stay constant after it."""
    whole = observed(served())
    central = [s for s in served() if not s.name.startswith(("kn_", "http_"))]
    own = [s for s in served() if s.name.startswith(("kn_", "http_"))]
    later = [
        *extended(own, whole.end_s + 600, "activator"),
        *extended(central, whole.end_s + 600, "activator", "autoscaler"),
    ]
    [revision] = observed(later).revisions
    assert whole.end_s == pytest.approx(revision.last_s, abs=15)
    assert whole.end_s + 590 < revision.exported_until_s
    assert "exported on with constant values" in revision.note
    assert requests(whole) == requests(observed(later))


def test_a_deleted_revision_ends_although_the_autoscaler_exports_it():
    """Autoscalers of 1.19.0 to 1.19.6 went on with the last number of pods, of which no queue-proxy is left."""
    whole = observed(served())
    middle = whole.begin_s + 400
    early = changed(served(), lambda t: t <= middle)
    [ready] = observed(early).find("kn_revision_pods_count")
    assert ready.values[-1] > 0
    [revision] = observed(extended(early, middle + 1200, "autoscaler", "activator")).revisions
    assert middle == pytest.approx(revision.last_s, abs=15)
    assert middle + 1190 < revision.exported_until_s


def test_a_revision_without_pods_is_not_taken_for_deleted():
    """One that rests at zero has constant values as well."""
    whole = observed(served("bursts-cold5"), "bursts-cold5")
    [revision] = whole.revisions
    assert "" == revision.note
    assert revision.last_s == revision.exported_until_s


def test_nan_is_no_value():
    """NaN and staleness markers count nothing and end nothing."""
    whole = observed(served())
    series = []
    for one in served():
        values = one.values.copy()
        values[3::4] = np.nan
        if not one.name.endswith("_queued"):
            one = replace(one, values=values)  # noqa: PLW2901
        else:
            one = replace(one, values=np.full(len(values), np.nan))  # noqa: PLW2901
        series.append(one)
    holes = observed(series)
    [before], [after] = (o.find(COUNT, "activator") for o in (whole, holes))
    last = np.flatnonzero(~np.isnan(after.values))[-1]
    assert before.increments()[: last + 1].sum() == after.increments().sum()
    assert not holes.resets
    assert not np.isnan(after.increments()).any()


def test_series_of_nothing_but_nan_are_no_service():
    """They are kept, and no revision is said to have lived."""
    empty = observed(Served(s.labels, s.times_s, np.full(len(s.times_s), np.nan)) for s in served())
    assert not empty.revisions
    assert 0 == requests(empty)


def test_a_clock_that_jumped_ahead_is_a_gap():
    """The stretch that no clock showed has no samples of any target."""
    whole = observed(served())
    middle = whole.begin_s + 300
    jumped = [Served(s.labels, np.where(s.times_s > middle, s.times_s + 900, s.times_s), s.values) for s in served()]
    one = observed(jumped)
    [gap] = one.gaps
    assert "" == gap.role
    assert 900 == pytest.approx(gap.end_s - gap.begin_s, abs=6)
    assert requests(whole) == requests(one)


def test_a_reset_is_listed_once_and_within_the_window():
    """Buckets at a coarse step show a fall as well, minutes later: at a time that is not its own."""
    name = "act-crash"
    whole = observed(served(name), name)
    [reset] = whole.resets
    end_s = reset.after_s + 20
    coarse = [
        Served(s.labels, *at_steps(s, end_s, 300)) if s.name.endswith("_bucket") else s
        for s in changed(served(name), lambda t: t <= end_s)
    ]
    known = {"window_s": (whole.begin_s, end_s), "histogram_step_s": 300.0}
    resets = assemble(coarse, service=name, namespace="default", **known).resets
    assert [(reset.before_s, reset.after_s)] == [(one.before_s, one.after_s) for one in resets]


def at_steps(series: Served, end_s: float, step_s: float) -> tuple[np.ndarray, np.ndarray]:
    """The last sample of each step, as ``last_over_time`` answers."""
    times = np.arange(end_s, series.times_s[0], -step_s)[::-1]
    return times, series.values[np.searchsorted(series.times_s, times, side="right") - 1]


@pytest.mark.parametrize("name", ["poisson-mid", "steps"])
@pytest.mark.parametrize("back_s", [5, 12.5, 40, 122, 200])
def test_a_clock_that_was_set_back_counts_nothing_twice(name: str, back_s: float):
    """Where a server stored two scrapes for each time, counters do not seem to restart, whatever the phases.

    Set back by a multiple of the scrape interval, many times are the same to the millisecond: one sample is left.
    """
    whole = observed(served(name), name)
    middle = whole.begin_s + 300
    one = observed((set_back(series, middle, back_s) for series in served(name)), name)
    assert [requests(whole, role) for role in ROLES] == [requests(one, role) for role in ROLES]
    assert not one.resets
    if back_s > 10:
        assert any("a clock was set back" in text for text in one.notes)
    # Of the stretch that the clock showed twice the later pods count.
    windows = ((whole, whole.begin_s, middle - back_s), (whole, middle, whole.end_s), (one, one.begin_s, one.end_s))
    pods = [pod_seconds(o, "kn_revision_pods_count", *window).value for o, *window in windows]
    assert pods[0] + pods[1] == pytest.approx(pods[2], rel=0.02)


def set_back(series: Served, middle_s: float, back_s: float) -> Served:
    """A series as a server has it whose clock was set back at a time: in the order of the times that it showed."""
    times = np.where(series.times_s > middle_s, series.times_s - back_s, series.times_s)
    order = np.argsort(times, kind="stable")
    return Served(series.labels, times[order], series.values[order])


def test_a_restarted_process_is_no_clock_that_was_set_back():
    """It counts from 0, and its start is another; also where no start is recorded."""
    for series in (served("act-crash"), [s for s in served("act-crash") if s.name != "process_start_time_seconds"]):
        [reset] = observed(series, "act-crash").resets
        assert "activator" == reset.role


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a_metric 1\n# EOF\n", r":1: has no time stamp"),
        ('a{b="c} 1 2\n', r":1: is no sample|:1: labels: cannot be read"),
        ("{}", "is no answer of Prometheus' API"),
        ('{"status":"error","errorType":"bad_data","error":"parse error"}', "the server's answer was parse error"),
        ('{"status":"success","data":{"resultType":"vector","result":[]}}', r"must be matrix \(it is 'vector'\)"),
        ("", "no sample in it"),
        (
            '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"x"]]}]}}',
            "cannot|read",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(text: str, message: str, tmp_path: Path):
    """File, line and what would be right."""
    path = tmp_path / "series.txt"
    path.write_text(text)
    with pytest.raises(RecordError, match=message) as caught:
        from_files([path])
    assert "\n" not in str(caught.value)


def test_a_label_for_pods_may_be_missing():
    """Then target_info says by its target which revision a queue-proxy belongs to."""

    def without(one: Served) -> Served:
        return Served({k: v for k, v in one.labels.items() if k not in ("pod", "container")}, one.times_s, one.values)

    whole, bare = observed(served()), observed(map(without, served()))
    assert (requests(whole), requests(whole, "queue-proxy")) == (requests(bare), requests(bare, "queue-proxy"))


def test_a_service_may_be_called_like_a_program_of_knative():
    """The container decides, then the form of a revision's pods, before any name."""
    labels = {"pod": "activator-demo-00001-deployment-5c9d-x2", "instance": "10.1.1.1:9091", "job": "pods"}
    assert "queue-proxy" == role_of(labels)
    assert role_of({**labels, "container": "user-container"}) is None
    assert "activator" == role_of({"pod": "activator-7d9f-abc", "instance": "10.1.1.2:9090"})


def test_pods_of_kube_state_metrics_belong_to_their_revision():
    """Also where the scrape's own labels took the place of the pod's."""
    pod = f"{RUN}-00001-deployment-abc"
    of_exporter = {"namespace": "monitoring", "pod": "kube-state-metrics-1", "container": "kube-state-metrics"}
    times, created = np.array([1795936950.0, 1795936980.0]), np.full(2, 1795936941.0)
    series = [
        Served(
            {"__name__": "kube_pod_created", **of_exporter, "exported_namespace": space, "exported_pod": pod},
            times,
            created,
        )
        for space in ("default", "other")
    ]
    observation = observed([*served(), *series])
    [one] = observation.find("kube_pod_created", revision=f"{RUN}-00001")
    assert (pod, "kube-state-metrics", "unix s") == (one.pod, one.role, one.unit)
    assert not any("kube_pod_created" in text for text in observation.missing)


@pytest.mark.parametrize(
    "text",
    [
        'kn_revision_pods_count{L} 2 1700000000 # {trace_id="a"} 0.5 1700000000\n# EOF\n',
        "kn_revision_pods_count{L} 2 1700000000123\n",
        '{__name__="kn_revision_pods_count",L} 2 1700000000123\n{__name__="h"} {count:1, sum:2} 1700000000123\n',
        '{"metric":{"__name__":"kn_revision_pods_count",J},"values":[2],"timestamps":[1700000000123]}\n',
    ],
    ids=["exemplar", "milliseconds", "native-histogram", "export"],
)
def test_texts_of_servers_and_tools_are_read(text: str, tmp_path: Path):
    """OpenMetrics with exemplars, Prometheus' own text, dumps with native histograms, an export of VictoriaMetrics."""
    labels = {"k8s_namespace_name": "default", "kn_service_name": 'a "b"', "kn_revision_name": "a-00001"}
    text = text.replace("L}", ",".join(f"{k}={json.dumps(v)}" for k, v in labels.items()) + "}")
    path = tmp_path / "series"
    path.write_text(text.replace("J}", json.dumps(labels)[1:]))
    observation = from_files([path])
    [series] = observation.find("kn_revision_pods_count")
    assert 'a "b"' == observation.service
    assert 2 == series.values[0]
    assert 1_700_000_000 == pytest.approx(series.times_s[0], abs=0.2)
