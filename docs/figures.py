"""Draw the pictures of the README and of these pages: `python docs/figures.py`, a few seconds, the same files each time.

Every picture is a run of kpasim that anyone can repeat; none is drawn by hand.
"""

from __future__ import annotations

from pathlib import Path

from kpasim import load, simulate
from kpasim.report.figures import save, timeline

ROOT = Path(__file__).parents[1]
IMAGES = Path(__file__).parent / "images"


def headline() -> None:
    """The published load test: what Knative asks for at once, and what the cluster can give."""
    result = simulate(load(ROOT / "experiments" / "hey50x5.yaml"))
    title = f"hey -n 50 -c 5 on one warm GPU pod: the median of {result.replications} simulated runs"
    end_s = float(result.horizon_s[result.representative])
    save(timeline(result.tables(), end_s, title), IMAGES / "hey50x5.png", dpi=110)


def main() -> None:
    """Draw all of them."""
    IMAGES.mkdir(exist_ok=True)
    headline()
    for path in sorted(IMAGES.iterdir()):
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
