"""How large is the HTML report of the headline run, and how soon does Chromium show its charts?

    python -m benchmarks.report

Needs Debian's chromium (`apt install chromium`) and the `test` extra. Times are those that the page takes itself, from
the beginning of its loading until the browser has painted the charts of the first screen, and until it has painted all;
medians of several visits of a fresh browser.
"""

import os
import statistics
import sys
import tempfile
from pathlib import Path

from kpasim import load, simulate
from kpasim.report.html import page_of
from kpasim.results.files import write_text

ROOT = Path(__file__).parents[1]
VISITS = 5
MOST_MB, MOST_S = 6.0, 2.0


def main() -> int:
    """Print size and time beside what they may be; 1 where one is missed."""
    sys.path.insert(0, str(ROOT))
    from tests.report.chromium import PROGRAM, browser

    if PROGRAM is None:
        print("no chromium (apt install chromium)", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="kpasim-report-") as root:
        page = Path(root) / "report.html"
        simulate(load(ROOT / "experiments" / "hey50x5.yaml")).write(Path(root) / "run")
        write_text(page, page_of(Path(root) / "run"))
        size_mb = page.stat().st_size / 1e6
        times: dict[str, list[float]] = {"shownMs": [], "drawnMs": []}
        for _ in range(VISITS):
            with browser(listen=False) as tab:
                tab.open(page)
                for what, found in times.items():
                    found.append(float(tab.see(f"document.documentElement.dataset.{what}")) / 1000)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"size: {size_mb:.2f} MB (at most {MOST_MB:g})")
    for what, title in (("shownMs", "charts of the first screen"), ("drawnMs", "all charts")):
        middle, least, most = statistics.median(times[what]), min(times[what]), max(times[what])
        print(f"{title}: {middle:.2f} s, {least:.2f} to {most:.2f} (at most {MOST_S:g})")
    return int(size_mb > MOST_MB or statistics.median(times["drawnMs"]) > MOST_S)


if __name__ == "__main__":
    sys.exit(main())
