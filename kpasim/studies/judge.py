"""Whether the replications of a run meet SLOs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kpasim.errors import RunError
from kpasim.results.cost import currency_of
from kpasim.results.display import percent
from kpasim.results.summary import Figures, finite, rounded
from kpasim.spec.quantities import duration_text
from kpasim.studies.run import Result
from kpasim.studies.runner import Runner
from kpasim.studies.search.slo import ERRORS, Slo, all_met, cut, priced, wilson
from kpasim.studies.statistics import Statistics
from kpasim.studies.steady import steady_part
from kpasim.studies.tune import PROBABILITY


class Judgement(NamedTuple):
    """One SLO and how often it is met.

    Attributes:
        slo: The SLO.
        share: Share of replications that meet it.
        interval: 95 % interval of the probability to meet it.
        median: Median of its figure; infinite where failures make it so, NaN without one.
        cut: Whether the horizon ended a run before its load.
        about: Which requests it is about, where that is not all of the run; in words.
        currency: Currency of money.
    """

    slo: Slo
    share: float
    interval: tuple[float, float]
    median: float
    cut: bool = False
    about: str = ""
    currency: str = ""

    @property
    def met(self) -> bool:
        """Whether as many replications meet it as `kpasim tune` asks for."""
        return self.share >= PROBABILITY

    def text(self) -> str:
        """How often it is met, in words."""
        if np.isfinite(self.median):
            usual = f"{self.slo.text(self.median, self.currency)} in the median run"
        elif np.isnan(self.median):
            usual = "no run has such a figure"
        else:
            usual = "too many requests without success in the median run"
        often = f"met in {percent(self.share)} of runs, {percent(PROBABILITY)} needed"
        cut = "; a run that ends before its load meets no SLO" if self.cut else ""
        about = f"; {self.about}" if self.about else ""
        return f"{self.slo}: {usual}, {often}{cut}{about}"

    def for_page(self) -> dict[str, Any]:
        """What a page about the run shows of it."""
        return {"text": self.text(), "met": self.met}

    def to_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "slo": str(self.slo),
            "met": self.met,
            "probability": rounded(self.share, 6),
            "probability_interval": [rounded(one, 6) for one in self.interval],
            "required_probability": PROBABILITY,
            "median": finite(self.median, 6),
        }


def judge(result: Result, slos: Sequence[Slo]) -> list[Judgement]:
    """How often a run meets each SLO.

    Raises:
        RunError: One is about money and prices are missing, or about a month and the load says nothing about one.
    """
    if not slos:
        return []
    figures, about = dict(result.slo_figures), []
    if result.steady_s is not None and result.steady_s[0] > 0:
        about.append(f"requests after the warm-up of {duration_text(round(result.steady_s[0]))}")
    if result.experiment.horizon_s is not None and figures["in_flight"].any():
        # Requests that the horizon leaves in flight count as they end, as in `kpasim tune`.
        figures = Runner(result.experiment, result.engine).slo_figures(range(result.replications), threads=0)
        about.append("requests in flight at the end are followed until they end")
    return _judged(slos, result, figures, ", ".join(about))


def judge_counts(found: Statistics, slos: Sequence[Slo]) -> list[Judgement]:
    """How often a run that kept counts only meets each SLO.

    Raises:
        RunError: As for `judge`.
    """
    about = []
    if steady_part(found.experiment) is not None:
        about.append("all requests, those of the warm-up too")
    if found.experiment.horizon_s is not None and found.figures["in_flight"].any():
        about.append("requests in flight at the end count as infinitely late")
    return _judged(slos, found, found.slo_figures, "; ".join(about))


def _judged(slos: Sequence[Slo], of: Result | Statistics, figures: Figures, about: str) -> list[Judgement]:
    has_month = np.isfinite(figures.get("cost.per_month", np.array(np.nan))).any()
    if not has_month:
        figures = {name: values for name, values in figures.items() if name != "cost.per_month"}
    currency = currency_of(of.prices or {})
    found = []
    for slo in priced(slos, per_month=bool(has_month)):
        if slo.figure == "cost.per_month" and of.no_month:
            raise RunError(f"--slo {slo}: {of.no_month}")
        met = all_met([slo], figures)
        values = slo.values(figures)
        known = values[~np.isnan(values)]
        median = float(np.median(known)) if len(known) else float("nan")
        interval = wilson(int(met.sum()), len(met))
        of_requests = slo.figure == ERRORS or slo.figure.startswith("latency")
        said = about if of_requests else ""
        found.append(Judgement(slo, float(np.mean(met)), interval, median, bool(cut(figures).any()), said, currency))
    return found
