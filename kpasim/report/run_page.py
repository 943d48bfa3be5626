"""The page about one run: in words, decision by decision, request by request, pod by pod, and how to have it again."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kpasim.report import answer, beside, bins, charts, markup
from kpasim.report.decisions import decisions
from kpasim.report.drawing import Chart
from kpasim.report.evidence import Evidence
from kpasim.report.markup import Content, Html, element, figure
from kpasim.results.cost import PART_WORDS
from kpasim.results.display import (
    LEAST_RUNS,
    NOTHING,
    Table,
    counted,
    figures_table,
    held,
    number,
    seconds,
    shown,
    span,
)
from kpasim.spec.sharing import sharing as sharing_of
from kpasim.studies.compare import Comparison

MOST_DECISIONS = 300
"""Rows of the table of decisions at most."""
DISTRIBUTION = (
    "The line is the run that is shown, request by request; the marks are the percentiles of all replications with "
    "their intervals."
)
"""How to read a chart of latencies."""


def run_page(run: Evidence, comparison: Comparison | None = None) -> str:
    """The page about one run, with a measured run's prediction where there is one."""
    drawn: dict[str, Chart] = {}
    sections: list[tuple[str, str, Html]] = [("summary", "In words", _summary(run))]
    if run.prediction is not None:
        foreseen = run.prediction
        sections.append(("compared", "Measured beside predicted", beside.against(run, foreseen, drawn)))
    elif comparison is not None:
        sections.append(("compared", "Measured beside predicted", beside.simulated(run, comparison, drawn)))
    sections.append(("scaling", "Pods and decisions", scaling_part(run, drawn)))
    sections.append(("latency", "Latency", _latency(run, drawn)))
    sections.append(("dashboard", "Dashboard", _dashboard(run, drawn)))
    sections.append(("pods", "Each pod", _pods(run, drawn)))
    if run.money:
        sections.append(("cost", "Cost", cost_part([(run.name, run)], drawn)))
    sections.append(("settings", "Settings in force", _settings(run)))
    sections.append(("again", "Run it again", again_part(run)))
    return markup.page(run.name, subtitle_of(run), sections, drawn)


def subtitle_of(run: Evidence) -> str:
    """What kind of run it is, and what made it."""
    if run.measured:
        return f"A measured run of {seconds(run.horizon_s)}"
    version, commit = run.text("kpasim"), run.text("knative_commit")[:7]
    by = f" by kpasim {version}" if version else ""
    of = f" with the policy of knative/serving@{commit}" if commit else ""
    return f"{counted(run.count, 'simulated run')}{by}{of}"


def story_of(run: Evidence) -> Html:
    """What happened, in sentences; what went wrong comes first."""
    facts = run.facts
    parts = [element("p", f"{line.label} {line.text}.".strip(), class_=line.level) for line in answer.troubles(facts)]
    for text, met in run.slos:
        parts.append(element("p", f"{'SLO met' if met else 'SLO not met'}: {text}.", class_=None if met else "error"))
    told = answer.story(facts, run.tables)
    if facts.experiment is not None:
        told.insert(0, answer.setting(facts.experiment))
    return Html("".join([*parts, *(element("p", sentence) for sentence in told)]))


def _summary(run: Evidence) -> Html:
    notes: list[Html] = []
    if run.count > 1:
        ends = "the interval that holds 90 % of" if run.count >= LEAST_RUNS else "the min and the max of"
        text = (
            f"Numbers are medians of {run.count:,} runs, in brackets {ends} them. Latencies are of successful "
            "requests. Charts of single events show the run with the median test duration."
        )
        notes.append(element("p", text, class_="soft"))
    if run.experiment is not None and run.experiment.model.provisional and not run.measured:
        doubt = element("strong", "The model of the service is provisional: ")
        advice = "calibrate it with a run of your own before you rely on these numbers (kpasim calibrate)."
        notes.append(element("p", doubt, advice))
    if run.experiment is not None and not run.measured and (assumed := sharing_of(run.experiment)).possible:
        notes.append(element("p", assumed.text, class_="warning" if assumed.assumed else "soft"))
    if why := run.about.get("interrupted"):
        notes.insert(0, element("p", f"The run ended early ({why}): it holds a part of its load.", class_="warning"))
    return Html("".join([story_of(run), *notes, _tiles(run), _figures(run)]))


def _tiles(run: Evidence) -> Html:
    """The five numbers that people ask for first."""
    facts = run.facts
    known = {row.name: row for row in shown(run.medians, run.intervals, run.money)}
    tiles = []
    for name, called in (("latency_s.p50", "p50"), ("latency_s.p95", "p95"), ("errors", "failed"),
                         ("max_pods", "peak pods"), ("cost.amount", "cost")):  # fmt: skip
        if name in known:
            _, _, value, interval, about = known[name]
            unit, _, of = about.partition(", ")
            title = f"{called} {of}" if of == "of successes" else called
            unit = f"of {facts.whole('requests'):,}" if name == "errors" else unit
            grave = name == "errors" and answer.failures_come_first(facts)
            inner = [element("span", title), element("b", f"{value} {unit}"), element("span", interval)]
            tiles.append(element("li", inner, class_="error" if grave else None))
    return element("ul", tiles, class_="tiles")


def _figures(run: Evidence) -> Html:
    listed = figures_table("", run.count, shown(run.medians, run.intervals, run.money))
    return markup.details("All figures", markup.table(listed))


def scaling_part(run: Evidence, drawn: dict[str, Chart], suffix: str = "", name: str = "") -> Html:
    """Pods by state and the decisions behind them; ``suffix`` and ``name`` tell the charts of several runs apart."""
    drawn[f"scaling{suffix}"] = charts.scaling(run)
    found = decisions(run)
    title = f"Pods, decisions and averages{f': {name}' if name else ''}"
    says = (
        "the rule that decided"
        if "rule" in run.tables.ticks
        else "what was seen (a measured run does not tell the rule)"
    )
    binned = bins.needed(run.tables)
    caption = (
        f"Above: pods by state, as means of {bins.width_text(run.horizon_s)}, with the number of pods that Knative "
        "wants and its max, and at the top the share of time in panic mode. Below: averages that the autoscaler saw."
        if binned
        else "Above: pods by state, the number of pods that Knative wants as a line, panic mode shaded. Each mark is a "
        f"decision of the autoscaler; point at it, or press the arrow keys, for {says}. Below: the averages it saw."
    )
    rows = [
        (f"{one['t_s']:.1f} s", one["kind"], f"{one['stable']:.2f}", one["asks_stable"], f"{one['panic']:.2f}",
         one["asks_panic"], one["ready"], "panic" if one["panicking"] else "",
         NOTHING if one["desired"] is None else one["desired"], one["reason"] or one["rule"])
        for one in found[:MOST_DECISIONS]
    ]  # fmt: skip
    numbers = ["stable", "asks for", "panic", "asks for", "ready"]
    left = f"; {len(found) - MOST_DECISIONS:,} more are in ticks.csv" if len(found) > MOST_DECISIONS else ""
    columns = ["time", "", *numbers, "mode", "desired", "because"]
    listed = Table(f"Decisions{left}", columns, rows, [*numbers, "desired"])
    return Html(
        figure(f"scaling{suffix}", title, caption, 520, keys=not binned)
        + markup.details(f"The decisions as a table ({len(found):,})", markup.table(listed))
    )


def _latency(run: Evidence, drawn: dict[str, Chart]) -> Html:
    drawn["latencies"], left_out = charts.latencies(run)
    drawn["distribution"] = charts.distribution([(run.name, run)])
    caption = "Each mark is a request; its shape and colour say how it ended."
    if left_out:
        caption += f" {left_out:,} requests are left out; the minimum and maximum of each interval of time are kept."
    return element(
        "div",
        figure("latencies", "Latency of each request", caption, 340),
        figure("distribution", "Latency distribution", DISTRIBUTION, 340),
        class_="grid",
    )


def _dashboard(run: Evidence, drawn: dict[str, Chart]) -> Html:
    titles = {
        "volume": ("Request volume by response code", "Requests that ended, per second."),
        "success": ("Success rate", "Share of requests that succeeded (status 2xx) among those that ended."),
        "response": ("Response time", "Percentiles of the requests that ended in each interval."),
        "burst": (
            "Excess burst capacity",
            "Below zero requests go through the activator, which queues them; at zero and above straight to the pods.",
        ),
    }
    found = charts.panels(run)
    drawn.update(found)
    return element(
        "div",
        [figure(key, title, caption, 260) for key, (title, caption) in titles.items() if key in found],
        class_="grid",
    )


def _pods(run: Evidence, drawn: dict[str, Chart]) -> Html:
    pods = run.tables.pods
    count = len(pods["pod"])
    if not count:
        return element("p", "No pod existed.")
    drawn["lives"], left_out = charts.lives(run)
    caption = "From creation to its end."
    if left_out:
        caption += f" The first {count - left_out}; {left_out:,} more are in pods.csv."
    rows: list[list[Content]] = []
    for i in range(min(count, charts.MOST_BARS)):
        kind = str(pods["instance_type"][i]) if "instance_type" in pods else ""
        times = [pods[name][i] for name in ("created_s", "ready_s", "delete_requested_s", "gone_s")]
        served = int((run.tables.requests["pod"] == pods["pod"][i]).sum())
        rows.append([str(pods["pod"][i]), kind, *(_moment(float(one)) for one in times), served])
    numbers = ["created", "ready", "terminating", "gone", "requests"]
    listed = markup.table(
        Table("Times in seconds from the start of the load", ["pod", "instance", *numbers], rows, numbers)
    )
    height = 120 + 22 * min(count, charts.MOST_BARS)
    return Html(figure("lives", "The life of each pod", caption, height) + markup.details("As a table", listed))


def _moment(value: float) -> str:
    return NOTHING if np.isnan(value) else f"{value:,.1f}"


def cost_part(runs: Sequence[tuple[str, Evidence]], drawn: dict[str, Chart]) -> Html:
    """The bills of one or two runs, by kind."""
    bills = [(name, run.money) for name, run in runs if run.money]
    currencies = {str(bill["currency"]) for _, bill in bills}
    parts: list[Html] = []
    if len(currencies) == 1:
        drawn["money"] = charts.money(bills)
        caption = "Cost of pods by state: busy, idle, starting, terminating."
        parts.append(figure("money", "Cost by kind", caption, 150 + 40 * len(bills)))
    rows = []
    for name, bill in bills:
        between = (bill.get("intervals") or {}).get("amount")
        rows.append((name, f"{number(bill['amount'])} {bill['currency']}", span(between),
                     *map(number, bill["parts"].values()), number(bill.get("per_1000")),
                     number(bill.get("per_month"))))  # fmt: skip
    between = held(min((run.count for _, run in runs if run.count > 1), default=1))
    kinds = [PART_WORDS.get(part, part) for part in bills[0][1]["parts"]]
    numbers = ["mean cost", between, *kinds, "per 1,000 requests", "per month"]
    return Html("".join([*parts, markup.table(Table("The bill", ["", *numbers], rows, numbers))]))


def _settings(run: Evidence) -> Html:
    if run.experiment is None:
        return element("p", "run.json does not describe the experiment in a way that this version understands.")
    service, revision = run.experiment.service, run.experiment.revision
    rows: list[tuple[str, Any]] = [
        ("containerConcurrency", service.container_concurrency or "0 (no limit)"),
        ("timeoutSeconds", number(service.timeout_s)),
        ("metric", revision.metric),
        ("target of each pod", number(revision.target_value)),
        ("total of each pod, of which burst capacity is counted", number(revision.total_value)),
        ("target-burst-capacity", number(revision.target_burst_capacity)),
        ("stable window", seconds(revision.stable_window_s)),
        ("panic window", seconds(revision.panic_window_s)),
        ("panic threshold", f"{100 * revision.panic_threshold:.4g} %"),
        ("max-scale-up-rate, max-scale-down-rate",
         f"{number(revision.max_scale_up_rate)}, {number(revision.max_scale_down_rate)}"),
        ("min-scale, max-scale", f"{revision.min_scale}, {revision.max_scale or 'no limit'}"),
        ("initial-scale, activation-scale", f"{revision.initial_scale}, {revision.activation_scale or 'none'}"),
        ("scale-down-delay", seconds(revision.scale_down_delay_s)),
        ("enable-scale-to-zero", "true" if revision.enable_scale_to_zero else "false"),
        ("scale-to-zero-grace-period", seconds(revision.scale_to_zero_grace_s)),
        ("scale-to-zero-pod-retention-period", seconds(revision.pod_retention_s)),
    ]  # fmt: skip
    return markup.table(Table("As Knative resolves them from manifest and ConfigMap", ["setting", "value"], rows))


def again_part(run: Evidence) -> Html:
    """The experiment as a file, the command, and where the numbers come from."""
    parts: list[Html] = []
    experiment = run.about.get("experiment")
    name = "".join(one if one.isalnum() or one in "-_" else "-" for one in run.name)[:60] or "experiment"
    if isinstance(experiment, Mapping):
        yaml = _yaml(experiment)
        seed, count = run.text("seed"), run.count
        command = f"kpasim run {name}.yaml --out runs/{name}"
        if not run.measured:
            command += f" --replications {count}" + (f" --seed {seed}" if seed.isdecimal() else "")
        parts += [
            element("p", "Save ", markup.download(f"{name}.yaml", yaml, f"the experiment as {name}.yaml"), " and run:"),
            element("pre", element("code", command), tabindex="0"),
            markup.details("The experiment", element("pre", element("code", yaml), tabindex="0")),
        ]
    keys = ("source", "kpasim", "knative_commit", "engine", "seed", "replication", "experiment_sha256", "target",
            "python", "platform")  # fmt: skip
    rows: list[tuple[str, str]] = [(key, run.text(key)) for key in keys if run.text(key)]
    packages = run.about.get("packages")
    if isinstance(packages, Mapping):
        rows.append(("packages", ", ".join(f"{name} {version}" for name, version in packages.items())))
    parts.append(markup.table(Table("Where the numbers come from", ["", ""], rows)))
    return Html("".join(parts))


def _yaml(value: Mapping[str, Any]) -> str:
    from ruamel.yaml.error import YAMLError

    from kpasim.spec.quick import yaml_text

    try:
        return yaml_text(dict(value))
    except YAMLError as error:
        return f"# run.json holds what YAML cannot: {str(error).partition(chr(10))[0]}\n"
