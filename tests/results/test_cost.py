"""What a run costs."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpasim.errors import RunError
from kpasim.results.cost import (
    PARTS,
    Billing,
    Price,
    aggregate_bills,
    bill,
    bill_many,
    currency_of,
    price_list,
    prices_for,
)
from kpasim.results.summary import summarise
from kpasim.results.tables import Tables, empty_columns, read_run_folder
from tests.real_runs import folder, names

NAN = float("nan")
HOUR = {"gpu": Price(3600.0, "USD")}  # one dollar a second
CREATED = Billing(bills_from="created")


def run_of(pods, requests=(), nodes=(), **pod_columns) -> Tables:
    """A run from rows: pods (created, ready, asked, gone), requests (pod, begun, done, status), nodes likewise."""

    def column(rows, i, kind=float):
        return np.array([row[i] for row in rows], dtype=kind if kind is not str or rows else "U1")

    return Tables(
        requests={
            **empty_columns("requests"),
            "pod": column(requests, 0, str),
            "start_s": column(requests, 1),
            "latency_s": column(requests, 2) - column(requests, 1),
            "server_start_s": column(requests, 1),
            "server_end_s": column(requests, 2),
            "status": column(requests, 3, int),
        },
        pods={
            "pod": np.array([f"p{i}" for i in range(len(pods))], dtype=str),
            "created_s": column(pods, 0),
            "ready_s": column(pods, 1),
            "delete_requested_s": column(pods, 2),
            "gone_s": column(pods, 3),
            **{name: np.array(values) for name, values in pod_columns.items()},
        },
        nodes={
            "node": column(nodes, 0, str),
            "instance_type": column(nodes, 1, str),
            "created_s": column(nodes, 2),
            "ready_s": column(nodes, 3),
            "gone_s": column(nodes, 4),
        },
    )


def test_a_pods_life_is_split_by_what_it_bought():
    """Ten seconds of start, two requests side by side, an idle stretch and a drain, added up by hand."""
    tables = run_of([(0, 10, 40, 50)], [("p0", 9, 15, 200), ("p0", 12, 20, 200), ("p0", 38, 43, 200)])
    found = bill(tables, HOUR, CREATED, horizon_s=100)
    assert found["amount"] == 50
    # A request that begins before Ready ends the start; one that outlives the request to go is still work.
    assert found["parts"] == {"working": 11 + 5, "idle": 18, "starting": 9, "draining": 7}
    assert found["currency"] == "USD"
    assert found["per_1000"] == pytest.approx(50 / 3 * 1000, abs=1e-6)
    assert found["per_month"] is None


def test_the_only_response_bears_the_whole_bill():
    """Of one response 1,000 cost a thousand times the run; a failed request bears nothing."""
    tables = run_of([(0, 10, 40, 50)], [("p0", 12, 20, 200), ("p0", 13, 21, 503)])
    assert bill(tables, HOUR, CREATED, horizon_s=100)["per_1000"] == pytest.approx(50 * 1000, abs=1e-6)


def test_only_the_run_is_billed():
    """A pod that was there before costs from the start of the load, one that stays until the end of the run."""
    found = bill(
        run_of([(-60, -50, NAN, NAN), (-60, -50, -40, -10), (200, NAN, NAN, NAN)]), HOUR, CREATED, horizon_s=100
    )
    assert found["amount"] == found["parts"]["idle"] == 100
    assert found["per_1000"] is None


def test_started_steps_and_a_minimum_are_billed_also_where_a_pod_outlives_the_run():
    """A started minute is a minute, a short life costs the minimum, and so does a pod that is still there."""
    tables = run_of([(0, 0, 61, 61), (0, 0, 5, 5), (90, 90, NAN, NAN), (-500, -500, NAN, NAN)])
    found = bill(tables, HOUR, Billing("pod", "created", granularity_s=60, minimum_s=100), horizon_s=130)
    assert found["amount"] == 120 + 100 + 100 + 180
    assert found["parts"]["idle"] == found["amount"]
    exact = bill(run_of([(0.1, 0.1, 0.4, 0.4)]), HOUR, Billing("pod", "created", granularity_s=0.1), horizon_s=9)
    assert exact["amount"] == pytest.approx(0.3, abs=1e-9)


def test_a_pod_that_was_there_before_is_billed_as_if_it_began_with_the_load():
    """So that a warm pod is never cheaper than one that is created for the load."""
    warm, new = run_of([(-60, -60, 10, 10)]), run_of([(0, 5, 10, 10)])
    billing = Billing("pod", "created", granularity_s=7, minimum_s=60)
    assert bill(warm, HOUR, billing, horizon_s=100)["amount"] == 60
    assert bill(new, HOUR, billing, horizon_s=100)["amount"] == 60


@pytest.mark.parametrize(
    ("bills_from", "amount"), [("created", 200 + 100 + 50), ("scheduled", 160 + 60), ("pull", 130 + 40)]
)
def test_billing_begins_when_the_provider_says(bills_from, amount):
    """From creation, from the placement or from the end of provisioning, ready or not; without a machine it is free."""
    tables = run_of(
        [(0, 90, NAN, NAN), (100, NAN, NAN, NAN), (150, NAN, NAN, NAN)],
        scheduled_s=[40.0, 140.0, NAN],
        provisioned_s=[70.0, 160.0, NAN],
        instance_type=["gpu"] * 3,
    )
    assert bill(tables, HOUR, Billing("pod", bills_from), horizon_s=200)["amount"] == amount


def test_a_run_that_does_not_know_when_provisioning_ended_is_billed_from_what_it_knows():
    """From the image pull, else from the placement, else from creation, whether or not the pod becomes ready."""
    assert bill(run_of([(0, 9, NAN, NAN)]), HOUR, horizon_s=20)["amount"] == 20
    never_ready = run_of([(0, NAN, NAN, NAN)] * 2, scheduled_s=[3.0, 3.0], pull_s=[NAN, 5.0])
    assert bill(never_ready, HOUR, horizon_s=20)["amount"] == 17 + 15


def test_each_pod_costs_what_its_type_costs():
    """Prices follow the instance type, by name."""
    prices = {"a": Price(3600, "USD"), "b": Price(7200, "USD")}
    tables = run_of([(0, 0, NAN, NAN)] * 3, instance_type=["b", "a", "b"])
    assert bill(tables, prices, horizon_s=10)["amount"] == 50
    tables.pods["instance_type"] = np.array(["b", "c", "b"])
    with pytest.raises(RunError, match="no price for c"):
        bill(tables, prices, horizon_s=10)
    del tables.pods["instance_type"]
    with pytest.raises(RunError, match="no price for a pod without an instance type"):
        bill(tables, prices, horizon_s=10)


def test_nodes_cost_with_or_without_pods():
    """A node is billed from its creation; what its pods do, together, says what the money bought."""
    tables = run_of(
        [(10, 30, NAN, NAN), (10, 50, 80, 90), (0, NAN, NAN, NAN)],
        [("p0", 40, 60, 200), ("p1", 55, 70, 200)],
        [("n1", "gpu", 0, 20, NAN), ("n2", "gpu", -50, -40, 60), ("n3", "gpu", 200, NAN, NAN)],
        node=["n1", "n1", ""],
    )
    found = bill(tables, HOUR, Billing("node"), horizon_s=100)
    assert found["amount"] == 100 + 60
    # n1: provisioned until 20, p0 starts until 30 and p1 until 50 but p0 works from 40; p1 drains from 80 to 90.
    assert found["parts"] == {"working": 30, "idle": 60 + 10 + 10, "starting": 40, "draining": 10}


def test_a_pod_that_is_gone_starts_no_longer():
    """A pod that nobody asked to go vanishes at 50 s, never ready: its node starts it until then, and idles after."""
    tables = run_of([(0, NAN, NAN, 50)], nodes=[("n1", "gpu", 0, 0, NAN)], node=["n1"])
    found = bill(tables, HOUR, Billing("node"), horizon_s=100)
    assert found["parts"] == {"working": 0, "idle": 50, "starting": 50, "draining": 0}


def test_a_month_of_a_steady_stretch():
    """The stretch from 100 s to 200 s, one pod all the time and one for half of it, goes on for 730 hours."""
    tables = run_of([(0, 0, NAN, NAN), (150, 150, NAN, NAN)])
    found = bill(tables, {"gpu": Price(2.0, "USD")}, horizon_s=300, steady_s=(100, 200))
    assert found["per_month"] == pytest.approx(1.5 * 730 * 2.0)
    minimum = bill(tables, {"gpu": Price(2.0, "USD")}, Billing(minimum_s=1e6), horizon_s=300, steady_s=(100, 200))
    assert minimum["per_month"] == found["per_month"]


def test_a_month_of_a_load_that_recurs():
    """A run that goes on until its load recurs is billed as a whole; a longer one says nothing about a month."""
    tables = run_of([(0, 0, NAN, NAN), (150, 150, 250, 250)])
    found = bill(tables, {"gpu": Price(2.0, "USD")}, horizon_s=1000, repeat_s=1000)
    assert found["per_month"] == pytest.approx(1.1 * 730 * 2.0)
    assert found["stays_per_hour"] == 2.0
    assert bill(tables, HOUR, horizon_s=1001, repeat_s=1000)["per_month"] is None
    assert bill(tables, HOUR, horizon_s=200, repeat_s=1000)["per_month"] is None


def test_min_scale_is_not_free_after_a_finite_load():
    """With one horizon for both, the service that keeps a pod costs more than the one that goes to zero."""
    kept = bill(run_of([(-10, -5, NAN, NAN)]), HOUR, horizon_s=500)
    zero = bill(run_of([(-10, -5, 60, 90)]), HOUR, horizon_s=500)
    assert (kept["amount"], zero["amount"]) == (500, 90)


def test_currencies_are_not_mixed():
    """Two currencies, or one that is not the wanted one, are refused in one line that names them."""
    mixed = {"a": Price(1, "USD"), "b": Price(1, "CNY")}
    with pytest.raises(RunError, match="USD for a, CNY for b"):
        bill(run_of([(0, 0, 1, 1)]), mixed, horizon_s=1)
    with pytest.raises(RunError, match="EUR for the result, USD for gpu"):
        currency_of(HOUR, "EUR")
    assert currency_of({}) == ""


def test_doubling_a_price_doubles_the_cost_to_the_cent():
    """On a recorded run, twice the price is twice the money."""
    run, tables, _ = read_run_folder(folder("s4-sdd30"))
    once = bill(tables, {"x": Price(1.006, "USD")}, horizon_s=run["end_s"])
    twice = bill(tables, {"x": Price(2.012, "USD")}, horizon_s=run["end_s"])
    assert twice["amount"] == pytest.approx(2 * once["amount"], abs=2e-6)
    assert once["amount"] > 0.4


def test_recorded_runs_pay_for_their_pod_seconds():
    """At one dollar a pod-second every recorded run costs its pod-seconds; work is the time that requests took."""
    for name in names():
        run, tables, _ = read_run_folder(folder(name))
        found = bill(tables, HOUR, Billing("pod", "created", granularity_s=1e-6), horizon_s=run["end_s"])
        assert found["amount"] == pytest.approx(summarise(tables, run["end_s"])["pod_seconds"], abs=1e-3), name
        assert min(found["parts"].values()) >= 0
        if run["service"]["containerConcurrency"] == 1:
            served = (tables.requests["server_end_s"] - tables.requests["server_start_s"]).sum()
            assert found["parts"]["working"] == pytest.approx(served, rel=0.001), name


times = st.integers(-200, 2000).map(lambda x: x / 10)
maybe = st.one_of(st.just(NAN), times)
pods = st.lists(st.tuples(times, maybe, maybe, maybe), max_size=4)
requests = st.lists(
    st.tuples(st.sampled_from(["p0", "p1", "p9", ""]), times, maybe, st.sampled_from([200, 0])), max_size=6
)
billings = st.builds(
    Billing, st.just("pod"), st.just("created"), st.sampled_from([0.1, 1.0, 60.0]), st.sampled_from([0.0, 60.0])
)


def by_small_steps(tables, step=0.1):
    """Seconds of each part, by looking at every tenth of a second of every pod."""
    parts = dict.fromkeys(PARTS, 0.0)
    served_by = list(
        zip(*(tables.requests[c].tolist() for c in ("pod", "server_start_s", "server_end_s")), strict=True)
    )
    for i, name in enumerate(tables.pods["pod"].tolist()):
        life = ("created_s", "ready_s", "delete_requested_s", "gone_s")
        created, ready, asked, gone = (float(tables.pods[c][i]) for c in life)
        asked = float(np.fmin(asked, gone))
        for t in (np.arange(0, 100, step) + step / 2).tolist():
            if created < t and not t > gone:
                served = any(pod == name and a < t and not t > b for pod, a, b in served_by)
                started = ready < t
                part = "working" if served else "draining" if asked < t else "idle" if started else "starting"
                parts[part] += step
    return parts


@settings(deadline=None, max_examples=60)
@given(pods, requests)
def test_parts_are_what_each_moment_was(pods, requests):
    """Looking at every tenth of a second of every pod gives the same split."""
    tables = run_of(pods, requests)
    found = bill(tables, HOUR, Billing("pod", "created", granularity_s=0.1), horizon_s=100)["parts"]
    assert found == pytest.approx(by_small_steps(tables), abs=1e-4)


@settings(deadline=None)
@given(pods, requests, billings, st.integers(0, 10**7).map(lambda x: x / 1000))
def test_parts_add_up_exactly(pods, requests, billing, per_hour):
    """As decimals, the parts are the amount, none is negative, and doubling the price doubles it."""
    tables = run_of(pods, requests)
    found = bill(tables, {"": Price(per_hour, "USD")}, billing, horizon_s=100)
    assert sum(Decimal(str(found["parts"][part])) for part in PARTS) == Decimal(str(found["amount"]))
    assert min(found["parts"].values()) >= 0
    twice = bill(tables, {"": Price(2 * per_hour, "USD")}, billing, horizon_s=100)
    assert twice["amount"] == pytest.approx(2 * found["amount"], abs=2e-6)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(pods, requests), min_size=1, max_size=3), billings)
def test_many_bills_at_once_are_many_single_bills(many, billing):
    """Padded columns with whole numbers for pods and types cost what each run costs alone."""
    runs = [run_of(p, r) for p, r in many]
    width, height = max(len(p) for p, _ in many), max(len(r) for _, r in many)
    padded = Tables(
        pods={
            name: np.full((len(many), width), NAN) for name in ("created_s", "ready_s", "delete_requested_s", "gone_s")
        },
        requests={
            name: np.full((len(many), height), NAN)
            for name in ("start_s", "latency_s", "server_start_s", "server_end_s")
        },
    )
    padded.pods |= {"pod": np.zeros((len(many), width), int), "instance_type": np.zeros((len(many), width), int)}
    padded.requests |= {"pod": np.full((len(many), height), -1), "status": np.zeros((len(many), height), int)}
    for i, run in enumerate(runs):
        for name, column in padded.pods.items():
            if name.endswith("_s"):
                column[i, : len(run.pods["pod"])] = run.pods[name]
        for name, column in padded.requests.items():
            values = run.requests[name]
            if name == "pod":
                known = run.pods["pod"].tolist()
                values = [known.index(pod) if pod in known else -1 for pod in values.tolist()]
            column[i, : len(run.requests["pod"])] = values
    found = bill_many(padded, HOUR, billing, horizon_s=100)
    for i, run in enumerate(runs):
        alone = bill(run, HOUR, billing, horizon_s=100)
        assert found["amount"][i] == pytest.approx(alone["amount"], abs=1e-4)
        assert np.nan_to_num(found["per_1000"][i]) == pytest.approx(alone["per_1000"] or 0, abs=1e-2)
        for part in PARTS:
            assert found[f"parts.{part}"][i] == pytest.approx(alone["parts"][part], abs=1e-4)


def bills(amounts, responses, per_month=NAN) -> dict[str, np.ndarray]:
    """Bills of some runs, all of it for idle pods."""
    amounts, responses = np.array(amounts, float), np.array(responses, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(responses > 0, amounts * 1000 / responses, NAN)
    parts = {f"parts.{part}": np.zeros(len(amounts)) for part in PARTS} | {"parts.idle": amounts}
    month = np.full(len(amounts), per_month)
    return {
        **parts, "amount": amounts, "responses": responses, "per_1000": ratio, "per_month": month,
        "stays_per_hour": np.zeros(len(amounts)),
    }  # fmt: skip


def test_many_replications_have_one_bill():
    """The mean amount is split as all the money was, to the last decimal, with both intervals beside it."""
    figures = bills([10.0, 20.0, 60.0], [0, 0, 100])
    figures["parts.working"], figures["parts.idle"] = np.array([5.0, 10.0, 30.0]), np.array([5.0, 10.0, 30.0])
    found = aggregate_bills(figures, "USD")
    assert (found["amount"], found["per_month"]) == (30.0, None)
    assert found["intervals"]["amount"] == [10.0, 60.0]
    # Student's t with 2 degrees of freedom: 2.92; standard deviation 26.46.
    assert found["mean_intervals"]["amount"] == pytest.approx([30 - 44.6, 30 + 44.6], abs=0.02)
    assert found["parts"]["working"] == 15.0
    assert sum(Decimal(str(value)) for value in found["parts"].values()) == 30
    free = aggregate_bills({name: np.zeros(3) for name in figures}, "USD")
    assert free["parts"] == dict.fromkeys(PARTS, 0.0)
    assert free["per_1000"] is None


def test_what_rounding_leaves_over_goes_to_the_parts_that_lost_most():
    """Of two millionths, those parts have one each that come nearest to one; nothing that was not spent is shown."""
    figures = bills([2e-6], [1])
    for part, spent in zip(PARTS, (0.0, 0.2e-6, 0.9e-6, 0.9e-6), strict=True):
        figures[f"parts.{part}"] = np.array([spent])

    assert aggregate_bills(figures, "USD")["parts"] == dict(zip(PARTS, (0.0, 0.0, 1e-6, 1e-6), strict=True))


def test_1000_requests_cost_all_money_over_all_responses():
    """A run of 3 responses does not count like one of 300, and a run without a response still costs."""
    found = aggregate_bills(bills([1.0, 30.0, 5.0], [3, 300, 0]), "USD")
    assert found["per_1000"] == pytest.approx(36.0 / 303 * 1000, abs=1e-6)


def test_the_interval_of_a_ratio_holds_the_truth_as_often_as_it_says():
    """Of 400 samples of 60 runs whose requests vary, 90 % (86 to 94) hold the true cost per 1,000 requests."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        responses = rng.poisson(rng.gamma(4.0, 10.0, 60))
        amounts = 2.0 + 0.1 * responses + rng.exponential(1.0, 60)
        low, high = aggregate_bills(bills(amounts, responses), "USD")["mean_intervals"]["per_1000"]
        hits += low <= 1000 * (2.0 + 0.1 * 40 + 1.0) / 40 <= high
    assert 344 <= hits <= 376


def test_a_month_is_the_mean_of_all_runs_or_of_none():
    """Where one run has no month, those that have may not stand for all."""
    figures = bills([1.0, 2.0], [1, 1], per_month=7.0)
    assert aggregate_bills(figures, "USD")["per_month"] == 7.0
    figures["per_month"] = np.array([7.0, NAN])
    assert aggregate_bills(figures, "USD")["per_month"] is None


def test_large_amounts_keep_their_cents():
    """The mean of large amounts is not cut to a few digits."""
    assert aggregate_bills(bills([1234567.89], [1]), "USD")["amount"] == 1234567.89


def test_the_price_list_says_where_it_comes_from():
    """Every price has a currency, a source and either a date or the mark of being stale."""
    prices = price_list()
    assert {"ecs.gn5-c4g1.xlarge", "ecs.gn5i-c8g1.2xlarge", "ecs.gn5-c8g1.2xlarge"} <= prices.keys()
    assert {"g4dn.xlarge", "g5.xlarge", "p5.48xlarge", "a2-highgpu-1g", "g2-standard-4"} <= prices.keys()
    for name, price in prices.items():
        assert price.per_hour > 0, name
        assert len(price.currency) == 3, name
        assert len(price.source) > 10, name
        assert price.date or price.stale, name
    assert all(prices[name].stale for name in prices if name.startswith("ecs."))


def test_prices_are_looked_up_and_overridden():
    """A price that is given wins; one that nobody knows is one line with the nearest name."""
    assert prices_for(["g5.xlarge"])["g5.xlarge"].per_hour == 1.006
    assert prices_for(["g5.xlarge"], {"g5.xlarge": Price(0.4, "USD")})["g5.xlarge"].per_hour == 0.4
    with pytest.raises(RunError) as caught:
        prices_for(["g5.xlarg", "my-own-machine", "", "g5.xlarge"])
    assert str(caught.value).splitlines() == [
        "cluster.instance-types: no price for g5.xlarg (did you mean g5.xlarge, or give its price-per-hour)",
        "cluster.instance-types: no price for my-own-machine (give its price-per-hour)",
        "cluster.instance-types: no price for a pod without an instance type (give its price-per-hour)",
    ]
    with pytest.raises(RunError, match="different currencies"):
        prices_for(["g5.xlarge", "ecs.gn5-c4g1.xlarge"])
