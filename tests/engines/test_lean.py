"""The loop in C beside which the engine is timed does the same work: see `benchmarks/lean.py`."""

import shutil
from pathlib import Path

import pytest

from benchmarks import lean
from kpasim.engines import compiled
from tests.engines.agreement import first_difference

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="cc is missing, which compiles benchmarks/lean.c")


@pytest.mark.parametrize("name", lean.NAMES)
def test_the_loop_in_c_leaves_the_tables_of_the_engine(name: str, tmp_path: Path) -> None:
    """Every request, pod, decision and change of scale is the same, bit for bit, as are the integrals."""
    params, draws = lean.prepared(name, 0.1)
    loop = lean.in_c(lean.built(params, str(tmp_path)), params, draws)
    assert first_difference(compiled.run(params, draws), loop()) == ""
    assert first_difference(loop(), loop()) == "", "nothing is left of a run in the next one"
