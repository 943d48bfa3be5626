"""What the page shows of a result: figures, charts, sentences. Every text is made by the code of `run` and `report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kpasim.report import answer, bands, charts, evidence
from kpasim.report.drawing import Chart, time_unit
from kpasim.report.run_page import facts_of
from kpasim.results.cost import PART_WORDS
from kpasim.results.display import FIGURES, figure, figure_span, interval_words, number, shown, signed, span
from kpasim.results.paired import Difference
from kpasim.studies.against import MONEY, Against
from kpasim.studies.explain import why
from kpasim.studies.run import Result

MOST_SENTENCE = 12
"""Sentences of the summary at most."""
PINNED, NOW = "pinned", "now"
"""What the two variants are called in charts."""


TILES = {
    "latency_s.p50": "p50",
    "latency_s.p95": "p95",
    "latency_s.p99": "p99",
    "errors": "failed",
    "max_pods": "peak pods",
    "gpu_seconds": "GPU-hours",
    "cost.amount": "mean cost",
    "cost.per_month": "mean cost per month",
}
"""Figures that people ask for first, and what they are called."""
_NEITHER = (
    "requests",
    "max_pods",
    "cold_starts",
    "requests_per_day",
    "total_s",
    "first_scale_out_s",
    "panic_entered_s",
    "desired_zero_after_last_s",
    "replicas_zero_after_last_s",
)
_BETTER = {"ok": 1, "gpu_utilisation": 1} | dict.fromkeys(_NEITHER, 0)
"""Figures of which more is better, or of which neither is better; of all others less is better."""


def view(result: Result, compared: Against | None = None) -> dict[str, Any]:
    """A result as the page has it, beside the pinned variant under the same random numbers where there is one."""
    run = evidence.of(result)
    facts = facts_of(run)
    differences = compared.differences() if compared else []
    verdicts = {name: _verdict(name, found) for _, name, _, found in differences}
    return {
        "replications": result.replications,
        "engine": result.engine,
        "interval": interval_words(result.replications),
        "tiles": [one for one in (_tile(name, result, verdicts) for name in TILES) if one],
        "lines": [{"text": f"{line.label} {line.text}".strip(), "level": line.level} for line in _lines(facts, run)],
        "why": why(run.tables, result.params, result.experiment.scaling),
        "rows": _rows(result, verdicts),
        "charts": _charts(result, run, compared.one if compared else None),
        "compared": _said(compared) if compared else "",
    }


def _lines(facts: answer.Facts, run: evidence.Evidence) -> list[answer.Line]:
    """What went wrong, then what happened."""
    told = [answer.Line("", sentence) for sentence in answer.story(facts, run.tables)]
    return [*answer.troubles(facts), *told][:MOST_SENTENCE]


def _tile(name: str, result: Result, verdicts: Mapping[str, Mapping[str, str]]) -> dict[str, Any] | None:
    """A figure with its interval and, beside a pinned variant, the verdict."""
    if name.startswith("cost."):
        money, key = result.cost, name.removeprefix("cost.")
        if money is None or money[key] is None:
            return None
        value, interval, unit = number(money[key]), span(money["intervals"].get(key)), money["currency"]
    else:
        medians, intervals = result.by_name
        unit = next(unit for _, figure_name, unit in FIGURES if figure_name == name)
        if name.startswith("latency_s.") and (medians.get("ok") or 0) < (medians.get("requests") or 0):
            unit = f"{unit}, of successes"
        value, interval = figure(name, medians.get(name)), figure_span(name, intervals.get(name))
    return {
        "name": name,
        "title": TILES[name],
        "value": value,
        "unit": unit,
        "interval": "" if interval == value or result.replications < 2 else interval,
        "level": "error" if name == "errors" and value not in {"0", ""} else "",
        "verdict": verdicts.get(name),
    }


def _rows(result: Result, verdicts: Mapping[str, Mapping[str, str]]) -> list[list[str]]:
    """All figures as `kpasim run` prints them, and the verdict on each."""
    names = {title: name for title, name, _ in FIGURES}
    several = result.replications > 1
    rows = [
        [title.strip(), value, interval if several else "", unit, _verdict_text(verdicts.get(names[title]))]
        for title, value, interval, unit in shown(*result.by_name)
    ]
    if money := result.cost:
        for title, name in MONEY:
            key = name.removeprefix("cost.")
            if money[key] is not None:
                interval = span(money["intervals"].get(key)) if several else ""
                told = _verdict_text(verdicts.get(name))
                rows.append([title, number(money[key]), interval, f"{money['currency']}, mean", told])
        rows += [
            [PART_WORDS[part], number(amount), "", f"{money['currency']}, mean", ""]
            for part, amount in money["parts"].items()
        ]
    return rows


def _verdict_text(verdict: Mapping[str, str] | None) -> str:
    return f"{verdict['word']}{': ' if verdict['change'] else ''}{verdict['change']}" if verdict else ""


def _verdict(name: str, found: Difference) -> dict[str, str]:
    """What a figure does against the pinned variant: better, worse, or no significant difference."""
    direction = _BETTER.get(name, -1)
    if not found.significant:
        word = "the same" if found.same else found.verdict
        return {"word": word, "change": "", "kind": "same"}
    change = f"{signed(name, found.mean)} ({signed(name, found.low)} to {signed(name, found.high)})"
    if direction == 0:
        return {"word": "more" if found.mean > 0 else "less", "change": change, "kind": "changed"}
    better = (found.mean > 0) == (direction > 0)
    return {"word": "better" if better else "worse", "change": change, "kind": "better" if better else "worse"}


def _said(compared: Against) -> str:
    """How the two variants were compared."""
    from kpasim.studies.common import MET_IDLE

    parts = [
        "Both variants met the same requests and random numbers: differences are means over pairs of replications."
        if compared.paired
        else "The loads differ: the means of independent samples are compared."
    ]
    if compared.end_s is not None and compared.one.experiment.horizon_s is None:
        parts.append(f"For the comparison both runs end {number(compared.end_s)} s after the load began.")
    if compared.met_idle:
        parts.append(f"For the comparison: {MET_IDLE[0].lower()}{MET_IDLE[1:]}")
    return " ".join(parts)


def _charts(result: Result, run: evidence.Evidence, pinned: Result | None) -> dict[str, Chart]:
    """Pods over time and the distribution of latencies, as the HTML report draws them, with all replications."""
    before = evidence.of(pinned) if pinned is not None else None
    pods = charts.scaling(run)
    end = run.horizon_s
    scale, _ = time_unit(end)
    if result.replications > 1:
        pods["data"] += bands.traces(result.pods, end, scale, name=NOW if pinned else "")
    if pinned is not None and before is not None:
        longest = max(end, before.horizon_s)
        pods["data"] += bands.traces(pinned.pods, min(longest, before.horizon_s), scale, name=PINNED, pinned=True)
        pods["layout"]["xaxis"]["range"][1] = 1.01 * longest / scale
    banded = (one for one in pods["data"] if str(one.get("legendgroup", "")).startswith("band"))
    top = max((max(one["y"], default=0) for one in banded), default=0)
    pods["layout"]["yaxis"]["range"][1] = max(pods["layout"]["yaxis"]["range"][1], 1.12 * top)
    runs: Sequence[tuple[str, evidence.Evidence]] = [(NOW if before else result.experiment.name, run)]
    latency = charts.distribution([*runs, (PINNED, before)] if before else runs)
    return {"pods": pods, "latency": latency}
