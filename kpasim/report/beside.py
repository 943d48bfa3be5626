"""A measured run beside its prediction: a part of a page."""

from collections.abc import Mapping, Sequence

from kpasim.report import charts, markup
from kpasim.report.drawing import Chart
from kpasim.report.evidence import Evidence
from kpasim.report.markup import Html, element, figure
from kpasim.results.display import Table, counted, number, span
from kpasim.results.tables import Tables
from kpasim.studies.compare import FIGURES, UNITS, Comparison, inside, prediction

BANDS_OF = 60
"""Replications that a band is drawn of at most."""


def against(run: Evidence, foreseen: Evidence, drawn: dict[str, Chart]) -> Html:
    """A measured run beside a prediction that lies in a folder."""
    figures = foreseen.replications
    metrics: dict[str, Mapping[str, float | None]] = {}
    for name, key in FIGURES.items():
        alone = {"predicted": foreseen.medians.get(key), "lo": None, "hi": None}
        expected = prediction(figures, key) if figures is not None and key in figures else alone
        metrics[name] = {"measured": run.medians.get(key), **expected}
    note = f"The prediction is of {counted(foreseen.count, 'simulated run')}"
    if run.prediction is foreseen:
        note += ", written before the load began"
    return _beside(run, metrics, [foreseen.tables], "predicted, the median run", f"{note}.", drawn)


def simulated(run: Evidence, comparison: Comparison, drawn: dict[str, Chart]) -> Html:
    """A measured run beside what was simulated for this page."""
    count = comparison.result.replications
    tables = [comparison.result.tables(i) for i in range(min(count, BANDS_OF))]
    note = (
        f"The prediction is of {counted(count, 'simulated run')} of the same experiment, made for this page "
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
    listed = metrics_table("Metric by metric", metrics)
    verdicts = [held for metric in metrics.values() if (held := inside(metric)) is not None]
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
        parts.append(figure("deviations", "Prediction against measurement", caption, 130 + 26 * len(listed.rows)))
    return Html("".join([*parts, markup.table(listed)]))


def metrics_table(title: str, metrics: Mapping[str, Mapping[str, float | None]], source: str = "measured") -> Table:
    """What was ``measured`` (or what else ``source`` says) beside its prediction, for each metric that has either."""
    rows = []
    for name, metric in metrics.items():
        measured, predicted = metric["measured"], metric["predicted"]
        if measured is None and predicted is None:
            continue
        held = {True: "inside", False: "outside", None: ""}[inside(metric)]
        rows.append((charts.metric_words(name), number(measured), number(predicted), span([metric["lo"], metric["hi"]]),
                     _off(name, measured, predicted), held, UNITS.get(name, "s")))  # fmt: skip
    numbers = (source, "predicted", "90 %", "error")
    return Table(title, ("", *numbers, "interval", "unit"), rows, numbers)


def _off(name: str, measured: float | None, predicted: float | None) -> str:
    """How far a prediction is off: in its unit where times or pods are few, else in per cent."""
    if measured is None or predicted is None:
        return ""
    if name.endswith(("_out_s", "_last_s", "_pods")):
        return f"{predicted - measured:+.3g}"
    return f"{100 * (predicted / measured - 1):+.1f} %" if measured else ""
