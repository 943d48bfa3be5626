"""One self-contained HTML page about a run, two runs, a sweep or a backtest.

    write_text("report.html", page_of("runs/hey50x5"))

The page needs no network and no second file, so that it can be mailed. All that it shows comes from the folders it is
about; see `kpasim.report.markup` for why their texts can do no harm.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kpasim.errors import KpasimError, RunError
from kpasim.report import evidence
from kpasim.report.evidence import Evidence
from kpasim.report.pair_page import pair_page
from kpasim.report.run_page import run_page
from kpasim.results.folders import MARKS
from kpasim.studies.compare import compare


def page_of(
    folder: str | Path,
    other: str | Path | None = None,
    *,
    replications: int = 200,
    progress: Callable[[int], None] | None = None,
) -> str:
    """The page about the folder of a run, a sweep or a backtest; with ``other``, about two runs side by side.

    The experiment of a measured run by itself that holds no prediction is simulated ``replications`` times, 0 for not
    at all; ``progress`` is called with the number finished so far.

    Raises:
        RecordError: A file of a folder is missing or malformed.
        RunError: A folder is neither a run nor a sweep.
    """
    folder = Path(folder)
    is_sweep = (folder / MARKS["sweep"]).is_file() and not (folder / MARKS["run"]).is_file()
    if is_sweep or (folder / MARKS["backtest"]).is_file():
        kind = "sweep" if is_sweep else "backtest"
        if other is not None:
            raise RunError(f"{folder}: is a {kind} (two runs can be put side by side, or one {kind} shown by itself)")
        from kpasim.report import backtest_page, sweep_page

        return sweep_page.sweep_page(folder) if is_sweep else backtest_page.page_of(folder)
    run = _read(folder)
    if other is not None:
        return pair_page(run, _read(Path(other)))
    comparison = None
    if run.measured and run.prediction is None and replications and run.experiment is not None:
        with suppress(KpasimError):  # some folders hold what can be shown but not simulated again
            comparison = compare(folder, replications=replications, progress=progress)
    return run_page(run, comparison)


def _read(folder: Path) -> Evidence:
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder (give one that kpasim run --out, sweep or validate left)")
    if not (folder / "run.json").exists():
        raise RunError(f"{folder}: holds neither a run (run.json), a sweep (plan.json) nor a backtest (backtest.json)")
    return evidence.read(folder)
