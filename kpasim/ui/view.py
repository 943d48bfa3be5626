"""What the page shows of a result: figures, charts, sentences. Every text is made by the code of `run` and `report`."""

from collections.abc import Mapping, Sequence
from typing import Any

from kpasim.report import answer, bands, charts, evidence
from kpasim.report.differences import compared_as, with_ends
from kpasim.report.drawing import Chart, time_unit
from kpasim.results.display import MONEY, NOTHING, Row, interval_words, shown
from kpasim.results.paired import Difference
from kpasim.studies.against import Against
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
_NEITHER = ("requests", "max_pods", "cold_starts", "requests_per_day", "total_s", "first_scale_out_s",
            "panic_entered_s", "desired_zero_after_last_s", "replicas_zero_after_last_s")  # fmt: skip
_BETTER = {"ok": 1, "gpu_utilisation": 1} | dict.fromkeys(_NEITHER, 0)
"""Figures of which more is better, or of which neither is better; of all others less is better."""


def view(result: Result, compared: Against | None = None) -> dict[str, Any]:
    """A result as the page has it, beside the pinned variant under the same random numbers where there is one."""
    run = evidence.of(result)
    facts = run.facts
    differences = compared.differences() if compared else []
    verdicts = {name: _verdict(name, found) for _, name, _, found in differences}
    rows = shown(*result.by_name, result.cost)
    known = {row.name: row for row in rows}
    return {
        "replications": result.replications,
        "engine": result.engine,
        "interval": interval_words(result.replications),
        "tiles": [_tile(name, known.get(name), verdicts.get(name))
                  for name in TILES if name in known or name not in dict(MONEY).values()],
        "lines": [{"text": f"{line.label} {line.text}".strip(), "level": line.level} for line in _lines(facts, run)],
        "why": why(run.tables, result.params, result.experiment.scaling),
        "rows": [[title.strip(), *cells, _verdict_text(verdicts.get(name))] for name, title, *cells in rows],
        "charts": _charts(result, run, compared.one if compared else None),
        "compared": compared_as(compared) if compared else "",
    }  # fmt: skip


def _lines(facts: answer.Facts, run: evidence.Evidence) -> list[answer.Line]:
    """What went wrong, then what happened."""
    told = [answer.Line("", sentence) for sentence in answer.story(facts, run.tables)]
    return [*answer.troubles(facts), *told][:MOST_SENTENCE]


def _tile(name: str, row: Row | None, verdict: Mapping[str, str] | None) -> dict[str, Any]:
    """A figure with its interval and, beside a pinned variant, the verdict."""
    _, _, value, interval, unit = row or Row(name, "", NOTHING, "", "s")
    return {
        "name": name,
        "title": TILES[name],
        "value": value,
        "unit": unit.partition(", mean")[0],
        "interval": "" if interval == value else interval,
        "level": "error" if name == "errors" and value != "0" else "",
        "verdict": verdict,
    }


def _verdict_text(verdict: Mapping[str, str] | None) -> str:
    return f"{verdict['word']}{': ' if verdict['change'] else ''}{verdict['change']}" if verdict else ""


def _verdict(name: str, found: Difference) -> dict[str, str]:
    """What a figure does against the pinned variant: better, worse, or no significant difference."""
    direction = _BETTER.get(name, -1)
    if not found.significant:
        word = "the same" if found.same else found.verdict
        return {"word": word, "change": "", "kind": "same"}
    change = with_ends(name, found)
    if direction == 0:
        return {"word": "more" if found.mean > 0 else "less", "change": change, "kind": "changed"}
    better = (found.mean > 0) == (direction > 0)
    return {"word": "better" if better else "worse", "change": change, "kind": "better" if better else "worse"}


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
