"""The first five questions of a new user: one command each, answered in the first five lines of its output."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADLINE = "experiments/hey50x5.yaml"
STEADY = """\
service: SERVICE
workload: {kind: poisson, rate: 0.05, duration: 2h}
model: {service-time: 8s, cold-start: 60s}
start: warm
cluster: {instance-types: [{name: gpu, price-per-hour: 1.0}]}
replications: 20
"""

QUESTIONS = {
    "how long will users wait": (
        ["run", HEADLINE, "-n", "20"],
        r"^Wait +p50 [\d.]+ s .*p95 [\d.]+ s .*max [\d.]+ s",
    ),
    "what does a month cost": (
        ["run", "STEADY"],
        r"^Cost +[\d.,]+ USD .*a month",
    ),
    "what if the cold start were 30 s": (
        ["run", HEADLINE, "-n", "20", "--against-set", "model.cold-start=30s"],
        r"^p95 +[\d.]+ -> [\d.]+ s: -[\d.]+ .*significant",
    ),
    "which setting is the cheapest for p95 <= 30 s": (
        ["tune", HEADLINE, "--slo", "p95<=30s", "--budget", "1000"],
        r"^(Change: .*min-scale|No tried settings)",
    ),
    "why did it scale": (
        ["run", HEADLINE, "-n", "20", "--explain"],
        r"^Scale-out at [\d.]+s from 1 to \d pods: .*window \(\w+\) saw [\d.]+ requests in flight, target 1 a pod",
    ),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_answered_in_the_first_five_lines(question: str, tmp_path: Path):
    """One command, on a terminal of usual width; the answer is not below the fold."""
    arguments, answer = QUESTIONS[question]
    steady = tmp_path / "steady.yaml"
    manifest = ROOT / "experiments" / "manifests" / "sd15.yaml"
    steady.write_text(STEADY.replace("SERVICE", str(manifest)), encoding="utf-8")
    command = [sys.executable, "-m", "kpasim", *(str(steady) if one == "STEADY" else one for one in arguments)]

    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "COLUMNS": "110"}, capture_output=True, text=True, check=False
    )

    assert done.returncode in ({0, 3} if arguments[0] == "tune" else {0}), done.stderr
    first = "\n".join(done.stdout.splitlines()[:5])
    assert re.search(answer, first, re.M), first
