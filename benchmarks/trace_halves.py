"""How well the first half of the production trace predicts the second: by steps, images and LoRA, and without them.

    python benchmarks/trace_halves.py

Printed are the mean logarithm of the probability given to each service time, the quantiles predicted and measured, the
mean loss of their forecasts, and which classes became faster or slower.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kpasim.records import read
from kpasim.studies.fit.classes import halves, names_of, strongest_drift

TRACE = Path(__file__).parents[1] / "experiments" / "data" / "lora_request_trace.csv.gz"


def main() -> None:
    """Fit, predict, print."""
    requests = read(TRACE).requests
    done = requests["status"] == 200
    names = names_of({name: column[done] for name, column in requests.items()})
    found = halves(names, requests["duration_s"][done], 1.0, np.random.default_rng(0))
    print(f"log score: {found.log_score[0]:.3f} by class, {found.log_score[1]:.3f} without")
    for name, (by_class, without, measured) in found.quantiles.items():
        print(f"{name}: {by_class:.2f} s by class, {without:.2f} s without, {measured:.2f} s measured", end="; ")
        print("loss {:.3f} s and {:.3f} s".format(*found.quantile_scores[name]))
    print("drift of the median, first half to second:")
    for name in strongest_drift(found):
        before, after, shift, low, high = found.drift[name]
        print(f"  {name}: {shift:+.1%} ({low:+.1%} to {high:+.1%}), {before} and {after} requests")


if __name__ == "__main__":
    main()
