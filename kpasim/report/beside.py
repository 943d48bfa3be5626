"""A measured run beside its prediction: a part of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kpasim.report import charts, markup, words
from kpasim.report.drawing import Chart
from kpasim.report.evidence import Evidence
from kpasim.report.markup import Html, element, figure
from kpasim.report.words import number, span
from kpasim.results.tables import Tables
from kpasim.studies.compare import FIGURES, UNITS, inside, prediction

if TYPE_CHECKING:
    from kpasim.studies.compare import Comparison

BANDS_OF = 60
"""Replications that a band is drawn of at most."""


def against(run: Evidence, foreseen: Evidence, drawn: dict[str, Chart]) -> Html:
    """A measured run beside a prediction that lies in a folder."""
    figures = foreseen.replications
    metrics: dict[str, Mapping[str, float | None]] = {}
    for name, key in FIGURES.items():
        if figures is not None and key in figures:
            expected = prediction(figures, key)
        else:
            expected = {"predicted": foreseen.medians.get(key), "lo": None, "hi": None}
        metrics[name] = {"measured": run.medians.get(key), **expected}
    note = f"The prediction is of {words.counted(foreseen.count, 'simulated run')}"
    if run.prediction is foreseen:
        note += ", written before the load began"
    return _beside(run, metrics, [foreseen.tables], "predicted, the median run", f"{note}.", drawn)


def simulated(run: Evidence, comparison: Comparison, drawn: dict[str, Chart]) -> Html:
    """A measured run beside what was simulated for this page."""
    count = comparison.result.replications
    tables = [comparison.result.tables(i) for i in range(min(count, BANDS_OF))]
    note = (
        f"The prediction is of {words.counted(count, 'simulated run')} of the same experiment, made for this page "
        "after the fact: each request took as long in its container as was measured, so what is compared is the "
        "autoscaler."
    )
    return _beside(run, comparison.metrics, tables, "predicted, median", note, drawn)


def _beside(
    run: Evidence,
    metrics: Mapping[str, Mapping[str, float | None]],
    predicted: Sequence[Tables],
    line: str,
    note: str,
    drawn: dict[str, Chart],
) -> Html:
    rows, verdicts = [], []
    for name, metric in metrics.items():
        measured, expected, low, high = (metric.get(key) for key in ("measured", "predicted", "lo", "hi"))
        if measured is None and expected is None:
            continue
        held = inside({"measured": measured, "lo": low, "hi": high})
        verdicts += [] if held is None else [held]
        verdict = "" if held is None else "inside" if held else "outside"
        off = f"{100 * (expected / measured - 1):+.1f} %" if expected is not None and measured else ""
        rows.append((charts.metric_words(name), UNITS.get(name, "s"), number(measured), number(expected),
                     span([low, high]), off, verdict))  # fmt: skip
    drawn["bands"] = charts.bands(run.tables, predicted, run.horizon_s, line)
    parts = [element("p", note)]
    if verdicts:
        parts.append(
            element("p", f"{sum(verdicts)} of {len(verdicts)} measured values lie inside their 90 % intervals.")
        )
    parts.append(figure("bands", "Pods, measured and predicted", "Desired pods above, ready pods below.", 420))
    dots = charts.deviations(metrics)
    if dots["data"]:
        drawn["deviations"] = dots
        caption = "How far each prediction is off, and whether its interval holds what was measured."
        parts.append(figure("deviations", "Prediction against measurement", caption, 130 + 26 * len(rows)))
    columns = ["", "", "measured", "predicted", "90 % of runs", "off by", "interval"]
    parts.append(markup.table("Metric by metric", columns, rows, words=2))
    return Html("".join(parts))
