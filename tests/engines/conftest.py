"""What the tests of both engines share."""

from collections.abc import Callable
from typing import Any

import pytest

from kpasim.engines import compiled, reference
from kpasim.engines.params import Params
from tests import oracle

from .hand import Story, by_hand

ENGINES = {"reference": reference.run, "compiled": compiled.run, "oracle": oracle.run}


@pytest.fixture(params=list(ENGINES))
def play(request: pytest.FixtureRequest) -> Callable[..., Story]:
    """Play an experiment made by hand in one of the engines: ``play(params, **draws)``."""
    run = ENGINES[request.param]

    def played(params: Params, **given: Any) -> Story:
        return Story(run(params, by_hand(params, **given)), params)

    return played


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what the experiments went through on which the engines agreed."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: {text}"
        for report in reports
        for name, text in getattr(report, "user_properties", ())
        if name == "agreement"
    ]
    if lines:
        terminalreporter.section("agreement of the engines")
        for line in lines:
            terminalreporter.write_line(line)
