"""Steady states of a real Knative 0.19, measured by others: average ready pods for each target and request rate.

Source: pacslab/conc-value-perf-modelling, Mahmoudi and Khazaei, "Performance Modeling of Metric-Based Serverless
Computing Platforms", IEEE Transactions on Cloud Computing, 2022. Runs of 60 minutes with Poisson arrivals; the first
and last ten minutes do not count. Some values are the authors' own numbers, the others were read off their figures.
"""

import csv
import lzma
from pathlib import Path
from typing import NamedTuple

MEASURED = Path(__file__).with_name("w1_w2.csv.xz")


class Point(NamedTuple):
    """One run.

    Attributes:
        workload: ``w1`` (about 1.1 s and slower under load) or ``w2`` (about 0.5 s).
        target: The annotation ``target``, soft; containerConcurrency is 0.
        rate_per_s: Requests per second, as measured.
        response_s: Mean response time.
        pods: Average number of ready pods.
    """

    workload: str
    target: float
    rate_per_s: float
    response_s: float
    pods: float


def points() -> list[Point]:
    """All runs of which both the response time and the number of pods are known."""
    with lzma.open(MEASURED, "rt", encoding="utf-8", newline="") as file:
        return [
            Point(
                row["workload"],
                float(row["target"]),
                float(row["measured_rate_per_s"] or row["rps"]),
                float(row["avg_response_time_s"]),
                float(row["avg_ready_instances"]),
            )
            for row in csv.DictReader(file)
            if row["avg_ready_instances"] and row["avg_response_time_s"]
        ]
