"""How many small faults the tests find: each mutant changes one line, and the tests of its part should fail.

    python benchmarks/mutants.py [--only PART] [--list]

works in a copy of the checkout. A mutant that its tests do not kill is named. Mutants of event handlers are judged in
the reference engine, which calls the same functions as the compiled one: by agreement with the oracle on experiments
drawn at random, and where that is not enough by the goldens.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
POLICY = ("tests/policy/test_{}.py", "tests/policy/test_conformance.py", "tests/policy/test_worked_examples.py")
GOLDENS = (
    "tests/engines/test_goldens.py", "tests/engines/test_goldens_pods.py", "tests/engines/test_goldens_requests.py",
    "tests/engines/test_goldens_autoscalers.py", "tests/engines/test_goldens_holders.py",
    "tests/engines/test_structures.py", "tests/engines/test_laws.py", "-k", "reference or structures or law",
)  # fmt: skip
AGREEMENT = """
from hypothesis import Phase, settings
settings.register_profile("mutants", phases=[Phase.generate])  # which experiment shows the fault does not matter
settings.load_profile("mutants")
from kpasim.engines import reference
from tests.engines import agreement
agreement.agree(reference.run, 1500)
"""
RESULTS = ("tests/results/test_{}.py", "tests/results/test_failures.py", "tests/results/test_hey.py")
MONEY = ("tests/results/test_cost.py", "tests/studies/test_money.py")


class Mutant(NamedTuple):
    """One changed place: in ``file``, ``old`` (which must occur) becomes ``new``.

    ``lives_because`` is why no test notices a mutant, where that is known.
    """

    file: str
    old: str
    new: str
    lives_because: str = ""


DECIDER, WINDOWS, SCALER = "policy/decider.py", "policy/windows.py", "policy/scaler.py"
BURST, ROUTING = "policy/burst.py", "policy/routing.py"
AUTOSCALER, RECONCILER = "engines/model/autoscaler.py", "engines/model/reconciler.py"
ACTIVATOR, QUEUEPROXY = "engines/model/activator.py", "engines/model/queueproxy.py"
KUBELET, INGRESS = "engines/model/kubelet.py", "engines/model/ingress.py"
HPA, KEDA, KEDA_HTTP = "engines/model/hpa.py", "engines/model/keda.py", "engines/model/keda_http.py"
SUMMARY, COST, SLO = "results/summary.py", "results/cost.py", "studies/search/slo.py"

MUTANTS = (
    Mutant(DECIDER, "now_ns if ready_pods > 1 else NEVER_NS", "now_ns if ready_pods > 0 else NEVER_NS"),
    Mutant(DECIDER, "initial_scale * limits.total_value - reserve", "initial_scale * limits.total_value + reserve"),
    Mutant(DECIDER, "if pods < least:", "if pods <= least:\n        pods = least + 1\n    if pods < least:"),
    Mutant(DECIDER, "activation_scale > 1 and raw > 0", "activation_scale > 1 and raw > 1"),
    Mutant(DECIDER, "ready = max(1, ready_pods)", "ready = max(2, ready_pods)"),
    Mutant(DECIDER, "math.floor(ready / limits.max_scale_down_rate)", "math.ceil(ready / limits.max_scale_down_rate)"),
    Mutant(DECIDER, "raw_panic / ready >= limits.panic_threshold", "raw_panic / ready > limits.panic_threshold"),
    Mutant(DECIDER, "limits.stable_window_ns < now_ns", "limits.stable_window_ns <= now_ns"),
    Mutant(DECIDER, "if by_panic > desired:", "if by_panic < desired:"),
    Mutant(DECIDER, "panic[MAX_PANIC_PODS] = 0", "panic[MAX_PANIC_PODS] = 1_000"),
    Mutant(DECIDER, "return desired == 0 and concurrency != 0.0", "return desired <= 0 and concurrency != 0.0"),
    Mutant(DECIDER, "(excess < 0.0) != (new_excess < 0.0)", "(excess <= 0.0) != (new_excess <= 0.0)"),
    Mutant(WINDOWS, "if now_s + size <= last:", "if now_s + size < last:"),
    Mutant(WINDOWS, "if now_s - last >= size:", "if now_s - last > size:"),
    Mutant(WINDOWS, "now_s - int(ring.span[LAST]) > ring.window_s", "now_s - int(ring.span[LAST]) >= ring.window_s"),
    Mutant(WINDOWS, "if scaled - whole >= 0.5:", "if scaled - whole > 0.5:"),
    Mutant(WINDOWS, "seen = last - int(ring.span[FIRST]) + 1", "seen = last - int(ring.span[FIRST])"),
    Mutant(WINDOWS, "min(seen, size - silent)", "min(seen, size)"),
    Mutant(WINDOWS, "weight *= keep ** float(silent)", "weight *= keep ** float(silent - 1)"),
    Mutant(
        SCALER,
        "if most != 0 and pods > most:",
        "if most != 0 and pods >= most:\n        return most - 1\n    if False:",
    ),
    Mutant(SCALER, "rules.initial_scale > 1 and not initialized", "rules.initial_scale > 1 and initialized"),
    Mutant(SCALER, "active_age_ns > rules.activation_timeout_ns", "active_age_ns >= rules.activation_timeout_ns"),
    Mutant(SCALER, "if active_age_ns < rules.stable_window_ns:", "if active_age_ns <= rules.stable_window_ns:"),
    Mutant(SCALER, "max(rules.grace_ns, retention_ns)", "min(rules.grace_ns, retention_ns)"),
    Mutant(SCALER, "if proxy_for_ns >= rules.grace_ns:", "if proxy_for_ns > rules.grace_ns:"),
    Mutant(SCALER, "enough = ready_pods >= threshold", "enough = ready_pods > threshold"),
    Mutant(SCALER, "if want == 0 or threshold == 0:", "if want == 0:"),
    Mutant(BURST, "ready_pods * total_value - target_burst_capacity - panic", "ready_pods * total_value - panic"),
    Mutant(BURST, "return SERVE if want > 0 and excess >= 0.0 else PROXY", "return SERVE if excess >= 0.0 else PROXY"),
    Mutant(BURST, "max(MIN_ACTIVATORS, math.ceil(activators))", "max(MIN_ACTIVATORS, math.floor(activators))"),
    Mutant(BURST, "if ready_endpoints == 0:\n        return PROXY", "if ready_endpoints == 0:\n        return asked"),
    Mutant(BURST, "return asked == PROXY or ready_endpoints == 0", "return asked == PROXY"),
    Mutant(ROUTING, "if activators > pods:", "if activators > pods + 1:"),
    Mutant(ROUTING, "pods - left + index if index < left", "pods - left + index if index <= left"),
    Mutant(ROUTING, "return int(pod), place + 1", "return int(pod), place"),
    Mutant(ROUTING, "if other >= one:", "if other > one:"),
    Mutant(ROUTING, "coin and weights[one] == weights[other]", "not coin and weights[one] == weights[other]"),
    Mutant(ROUTING, "row[TOTAL_SLOTS] = queue_depth + max_concurrency", "row[TOTAL_SLOTS] = queue_depth"),
    Mutant(ROUTING, "row[RUNNING] >= row[CAPACITY] or row[IN_FLIGHT] <= row[RUNNING]", "row[RUNNING] >= row[CAPACITY]"),
    Mutant(
        AUTOSCALER,
        "if count == 0:\n        wake_scrape",
        "if count == 1:\n        wake_scrape",
    ),
    Mutant(AUTOSCALER, "sim.now_ns if poked else sim.now_ns - 1", "sim.now_ns"),
    Mutant(
        AUTOSCALER, "    if changed:\n        reconciler.enqueue(sim)", "    if False:\n        reconciler.enqueue(sim)"
    ),
    Mutant(
        AUTOSCALER,
        "queueproxy.publish_stats(sim, chosen[place], now + 1)",
        "queueproxy.publish_stats(sim, chosen[place], now)",
    ),
    Mutant(RECONCILER, "sim.now_ns - wall_ns(sim) % SECOND_NS", "sim.now_ns"),
    Mutant(RECONCILER, "if due_ns < sim.revision.reconcile_due_ns:", "if due_ns > sim.revision.reconcile_due_ns:"),
    Mutant(RECONCILER, "if time_ns < sim.revision.requeue_due_ns:", "if time_ns > sim.revision.requeue_due_ns:"),
    Mutant(RECONCILER, "sim.revision.replicas = sim.params.initial_scale", "sim.revision.replicas = 1"),
    Mutant(ACTIVATOR, "me.running + me.waking < me.capacity:", "me.running < me.capacity:"),
    Mutant(ACTIVATOR, "    sim.in_flight[index][which] -= 1\n", "    pass\n"),
    Mutant(
        ACTIVATOR,
        "sim.schedule(now + sim.params.first_stat_ns, POKE, index)",
        "sim.schedule(now + 2 * sim.params.first_stat_ns, POKE, index)",
    ),
    Mutant(ACTIVATOR, "if sim.pods[which].terminating or (sim.pods", "if (sim.pods"),
    Mutant(
        QUEUEPROXY, "limit * (1 + routing.QUEUE_PROXY_DEPTH_PER_SLOT)", "limit * routing.QUEUE_PROXY_DEPTH_PER_SLOT"
    ),
    Mutant(
        QUEUEPROXY,
        "leave(sim, row, which)\n        return BAD_GATEWAY",
        "leave(sim, row, which)\n        return QUEUE_FULL",
    ),
    Mutant(QUEUEPROXY, "limit == 0 or passed_on(sim, which) < limit", "passed_on(sim, which) < limit"),
    Mutant(QUEUEPROXY, "            sim.pods[which].orphans -= 1\n", "            pass\n"),
    Mutant(
        QUEUEPROXY,
        "pod.serves_from_ns = max(pod.serves_from_ns, starts_ns) + pod.first_extra_ns",
        "pod.serves_from_ns = starts_ns",
    ),
    Mutant(
        QUEUEPROXY,
        "        activator.release(sim, row)\n    kubelet.may_stop(sim, which)\n",
        "        activator.release(sim, row)\n",
    ),
    Mutant(SUMMARY, "ended & (status >= 200) & (status < 300)", "ended & (status >= 200) & (status < 500)"),
    Mutant(SUMMARY, "answered = ended & (status > 0)", "answered = ended & (status >= 0)"),
    Mutant(SUMMARY, "errors = ended.sum(axis=1) - ok", "errors = requests - ok"),
    Mutant(SUMMARY, '{"in_flight": requests - ended.sum(axis=1)', '{"in_flight": requests - ok'),
    Mutant(SUMMARY, "rps = ended.sum(axis=1) / total_s", "rps = requests / total_s"),
    Mutant(COST, "amount * 1000 / ok", "amount * 1000 / np.maximum(ok, 2)"),
    Mutant(COST, "MONTH_S / (steady_s[1] - steady_s[0])", "MONTH_S / steady_s[1]"),
    Mutant(COST, "amount * MONTH_S / repeat_s", "amount * MONTH_S / (2 * repeat_s)"),
    Mutant(COST, "row_sums(stay * _rates(payers, prices)) * 3600.0", "row_sums(stay * 1.0) * 3600.0"),
    Mutant(
        COST,
        'if bills_from == "scheduled" else machine_from(pods)',
        'if bills_from != "created" else machine_from(pods)',
    ),
    Mutant(DECIDER, "panic[MAX_PANIC_PODS] = ready_pods", "panic[MAX_PANIC_PODS] = 0"),
    Mutant(DECIDER, "if limits.reachable and len(slots) > 0:", "if len(slots) > 0:"),
    Mutant(DECIDER, "excess_burst_capacity(ready_pods, limits", "excess_burst_capacity(ready, limits"),
    Mutant(DECIDER, "delay.record(slots, now_ns // 1_000_000_000, desired)", "delay.record(slots, now_ns, desired)"),
    Mutant(DECIDER, "whole_pods(limits.max_scale_up_rate * ready)", "int(limits.max_scale_up_rate * ready)"),
    Mutant(DECIDER, "if desired >= panic[MAX_PANIC_PODS]:", "if desired > panic[MAX_PANIC_PODS]:"),
    Mutant(WINDOWS, "for second in range(last + 1, now_s):", "for second in range(last, now_s):"),
    Mutant(WINDOWS, "NEVER_S or ring.span[FIRST] > now_s:", "NEVER_S:"),
    Mutant(WINDOWS, "for second in range(last + 1, now_s + 1):", "for second in range(last + 1, now_s):"),
    Mutant(WINDOWS, "for _ in range(size - silent):", "for _ in range(size):"),
    Mutant(WINDOWS, "return scraped and is_empty(ring, now_s)", "return is_empty(ring, now_s)"),
    Mutant(WINDOWS, "                ring.span[FIRST] = now_s\n                for", "                for"),
    Mutant(SCALER, "least = max(rules.initial_scale, least)", "least = rules.initial_scale"),
    Mutant(SCALER, "PROXY_REQUEUE_NS if sks_mode == burst.PROXY", "PROXY_REQUEUE_NS if sks_mode == burst.SERVE"),
    Mutant(SCALER, "retention_ns = rules.retention_ns if rules.reachable else 0", "retention_ns = rules.retention_ns"),
    Mutant(SCALER, "active in (UNKNOWN, ABSENT) and threshold > 0", "active in (UNKNOWN, ABSENT)"),
    Mutant(SCALER, "if want > 0 or active != FALSE:", "if want > 0:"),
    Mutant(SCALER, "return previous if want == WANT_UNKNOWN and previous >= 0 else want", "return want"),
    Mutant(SCALER, "patch = want if apply and want != replicas", "patch = want if apply"),
    Mutant(BURST, "capacity += target_burst_capacity", "capacity -= target_burst_capacity"),
    Mutant(BURST, "if target_burst_capacity == 0.0:\n        return 0.0", "if False:\n        return 0.0"),
    Mutant(BURST, "    return -1.0", "    return 0.0"),
    Mutant(ROUTING, "max(1, slots // max(1, activators))", "slots // max(1, activators)"),
    Mutant(ROUTING, "begin = index % pods", "begin = min(index, pods - 1)"),
    Mutant(ROUTING, "if container_concurrency <= 3:", "if container_concurrency < 3:"),
    Mutant(ROUTING, "if position >= count:", "if position > count:"),
    Mutant(ROUTING, "if row[RUNNING] < row[CAPACITY]:", "if row[RUNNING] <= row[CAPACITY]:"),
    Mutant(ROUTING, "in_flight[other] < in_flight[one] else", "in_flight[other] <= in_flight[one] else"),
    Mutant(RECONCILER, "if sim.revision.ready_pods == 1:", "if sim.revision.ready_pods == 2:"),
    Mutant(RECONCILER, "    sim.revision.crashed = 0\n", ""),
    Mutant(RECONCILER, "if backed and not sim.revision.backed:", "if backed:"),
    Mutant(RECONCILER, "sim.schedule(now + sim.params.rollout_ns, ROLLOUT, 0)", "sim.schedule(now, ROLLOUT, 0)"),
    Mutant(
        RECONCILER,
        "activators != sim.ingress.activators and mode == burst.PROXY",
        "activators != sim.ingress.activators",
    ),
    Mutant(
        RECONCILER,
        "== burst.PROXY or now >= sim.revision.probing_until_ns:",
        "== burst.PROXY:",
        "the endpoints change within a second, long before the 45 s of a probe are over",
    ),
    Mutant(RECONCILER, "            child += 1\n", "            pass\n"),
    Mutant(RECONCILER, "restarts = 0 if pod.ready else pod.restarts", "restarts = pod.restarts"),
    Mutant(
        KUBELET,
        "sim.schedule(now + sim.params.endpoints_to_ingress_ns, VISIBLE, 2 * which)",
        "sim.schedule(now + sim.params.endpoints_to_activator_ns, VISIBLE, 2 * which)",
    ),
    Mutant(KUBELET, "max(kubelet_ns, startup_sees(sim, which))", "kubelet_ns"),
    Mutant(KUBELET, "if quiet_ns > now:", "if False:"),
    Mutant(KUBELET, "if not sim.params.drains_on_sigterm and", "if sim.params.drains_on_sigterm and"),
    Mutant(KUBELET, "sim.params.grace_period_ns or sim.params.timeout_ns", "sim.params.timeout_ns"),
    Mutant(KUBELET, "pod.phase == STARTING and pod.containers_ns == NEVER_NS", "pod.phase == STARTING"),
    Mutant(KUBELET, "sim.now_ns + sim.params.stop_ns + sim.params.deletion_ns", "sim.now_ns + sim.params.stop_ns"),
    Mutant(INGRESS, " and not sim.params.always_activator", ""),
    Mutant(INGRESS, "due_ns > sim.now_ns or (idle_ns", "due_ns >= sim.now_ns or (idle_ns"),
    Mutant(INGRESS, "        sim.turn[worker] += 1\n", ""),
    Mutant(INGRESS, "and cookie.activator < sim.ingress.activators:", ":"),
    Mutant(INGRESS, "if timeout_ns and sim.now_ns - sim", "if False and sim.now_ns - sim"),
    Mutant(INGRESS, ".direct_inside < sim.pods[first]", ".direct_inside <= sim.pods[first]"),
    Mutant(HPA, "max(params.least, 1)", "params.least"),
    Mutant(HPA, "total_milli += int(value * 1000.0)", "total_milli += round(value * 1000.0)"),
    Mutant(HPA, "existing += 0 if pod.terminating else 1", "existing += 1"),
    Mutant(HPA, "if pod.ready or (pod.terminating and pod.ready_ns != NEVER_NS) else 0", "if pod.ready else 0"),
    Mutant(HPA, "pod.ready_ns if pod.ready else pod.scheduled_ns", "pod.scheduled_ns"),
    Mutant(HPA, "        hpa.on_rescaled(about, past, now, current, desired)\n", ""),
    Mutant(KEDA, "    sim.autoscaler.queries += 1\n", ""),
    Mutant(KEDA, "value > sim.params.activation", "value >= sim.params.activation"),
    Mutant(KEDA, "        active = True\n", "        pass\n"),
    Mutant(KEDA, "    keda.on_written(sim.keda_state, now_ns, reason)\n", ""),
    Mutant(KEDA, "return round(value * 1000.0)", "return int(value * 1000.0)"),
    Mutant(KEDA, "act(sim, in_force or above,", "act(sim, above,"),
    Mutant(KEDA_HTTP, "rate if sim.params.exact_rate else float(math.ceil(rate))", "rate"),
    Mutant(SUMMARY, "ordered[rows, np.minimum(below + 1, last)]", "ordered[rows, below]"),
    Mutant(SUMMARY, "-(-ranks * counts // 100) - own", "ranks * counts // 100 - own"),
    Mutant(SUMMARY, "- own, axis=0) + own", ", axis=0)"),
    Mutant(SUMMARY, '"min": some & (ok == 0)', '"min": some'),
    Mutant(SUMMARY, "np.floor(INTERVAL_TAIL * (n + 1))", "np.floor(INTERVAL_TAIL * n)"),
    Mutant(SUMMARY, "2 * n < len(values)", "n < len(values)"),
    Mutant(SUMMARY, "[asked, created], axis=1)", "[created, asked], axis=1)"),
    Mutant(SUMMARY, "started = (created >= 0)", "started = (created > 0)"),
    Mutant(SUMMARY, "np.maximum(_value_at(t_s < 0, desired), present)", "_value_at(t_s < 0, desired)"),
    Mutant(SUMMARY, "already = _value_at(t_s <= last, values)", "already = _value_at(t_s < last, values)"),
    Mutant(SUMMARY, "errors / (ok + errors), 0.0)", "errors / requests, 0.0)"),
    Mutant(COST, 'counted = (start < end) & ~(payers["gone_s"] <= 0.0)', "counted = start < end"),
    Mutant(COST, "np.ceil(np.round(lived / billing.granularity_s, 9))", "np.ceil(lived / billing.granularity_s)"),
    Mutant(COST, "half_width(beyond, 0.95) * beyond.shape[1]", "half_width(beyond, 0.95)"),
    Mutant(COST, '        starting.append((every, start, payers["ready_s"]))\n', "        pass\n"),
    Mutant(COST, "last = np.maximum(horizon, stretch_s[1])", "last = np.maximum(horizon, 0.0)"),
    Mutant(COST, "sorted(range(len(told)), key=lambda i: parts[i] - exact[i])", "list(range(len(told)))"),
    Mutant(COST, 'asked = np.fmin(pods["delete_requested_s"], pods["gone_s"])', 'asked = pods["delete_requested_s"]'),
    Mutant(SLO, 'np.isnan(values), figures["requests"] == 0', "np.isnan(values), False"),
    Mutant(SLO, "for slo in slos]) & ~cut(figures))", "for slo in slos]))"),
    Mutant(SLO, "np.where(cut(figures), math.inf, missed)", "missed"),
    Mutant(SLO, "more / (4 * count)", "more / 4"),
    Mutant(SLO, "scale = abs(self.limit) or 1.0", "scale = abs(self.limit) or 100.0"),
    Mutant(SLO, 'if text.endswith("%") and name == ERRORS else', 'if text.endswith("%") else'),
    Mutant(SLO, 'if self.sense in {"<=", "<"} else -off', 'if self.sense == "<=" else -off'),
)
"""Changed places; each is one fault that a person could make."""


def tests_of(file: str) -> list[str]:
    """The tests that should notice a fault in a file."""
    name = Path(file).stem
    if file.startswith("policy/"):
        return [text.format(name) for text in POLICY]
    if file.startswith("engines/"):
        return list(GOLDENS)
    if file == SLO:
        return ["tests/studies/search/test_slo.py"]
    return list(MONEY) if file == COST else [text.format(name) for text in RESULTS]


def is_killed(copy: Path, mutant: Mutant) -> bool:
    """Whether the tests of the mutant's part fail in a copy of the checkout that holds it."""
    path = copy / "kpasim" / mutant.file
    text = path.read_text(encoding="utf-8")
    if mutant.old not in text:
        raise SystemExit(f"{mutant.file}: {mutant.old!r} is not in it any more: change the mutant")
    path.write_text(text.replace(mutant.old, mutant.new, 1), encoding="utf-8")
    # The reference engine alone: compiling each mutant would take half a minute and show nothing more.
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "KPASIM_BACKGROUND": "0"}
    commands = [["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests_of(mutant.file)]]
    if mutant.file.startswith("engines/"):
        commands.insert(0, ["-c", AGREEMENT])
    try:
        for command in commands:
            done = subprocess.run(
                [sys.executable, *command], cwd=copy, env=environment, capture_output=True, check=False, timeout=900
            )
            if done.returncode not in (0, 1, 2):
                raise SystemExit(f"{mutant.file}: ended with {done.returncode}: {done.stdout.decode()[-500:]}")
            if done.returncode:
                return True
        return False
    except subprocess.TimeoutExpired:
        return True  # A run that never ends is noticed.
    finally:
        path.write_text(text, encoding="utf-8")


def main() -> None:
    """Kill mutants, and name the survivors."""
    options = argparse.ArgumentParser(description="How many small faults the tests find.")
    options.add_argument("--only", metavar="PART", default="", help="mutants of files whose name holds this")
    options.add_argument("--list", action="store_true", help="show the mutants")
    given = options.parse_args()
    chosen = [mutant for mutant in MUTANTS if given.only in mutant.file]
    if given.list:
        for mutant in chosen:
            print(f"{mutant.file}: {mutant.old.strip()!r} -> {mutant.new.strip()!r}")
        return
    survivors = []
    with tempfile.TemporaryDirectory(prefix="kpasim-mutants-") as aside:
        copy = Path(aside) / "kpasim"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "site", "runs", "__pycache__"))
        for file in {tuple(tests_of(mutant.file)): mutant.file for mutant in chosen}.values():
            if is_killed(copy, Mutant(file, "", "")):
                raise SystemExit(f"{file}: its tests fail without a mutant")
        for number, mutant in enumerate(chosen, 1):
            killed = is_killed(copy, mutant)
            survivors += [] if killed else [mutant]
            what = "killed" if killed else "SURVIVED"
            print(f"{number:3} of {len(chosen)} {what:8} {mutant.file}: {mutant.new.strip()[:70]!r}", flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants killed")
    for mutant in survivors:
        why = mutant.lives_because or "needs a test"
        print(f"survivor: {mutant.file}: {mutant.old.strip()!r} -> {mutant.new.strip()!r} ({why})")


if __name__ == "__main__":
    main()
