"""Does `kpasim load` measure what hey measures, and does it send on time?

    python -m benchmarks.load

Needs the `cluster` extra and, for the first table, hey on the path (Debian and Ubuntu: `apt install hey`). Both clients
load the same service on loopback, which answers after a fixed time, in pairs that take turns at going first. The second
table is an open loop at random times: how long after its time each request left.

The exit status is 3 when a figure misses its mark.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kpasim.cluster.load import OpenLoop, Target, load
from kpasim.results.tables import read_table

MARK = 0.03
"""Median and 95th percentile may differ by this share of hey's."""

LAG_MARK_S = 0.030
"""The 99th percentile of the lag may be this long [s]."""

EXPERIMENT = {
    "service": {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "stub"},
        "spec": {"template": {"spec": {"containers": [{"image": "stub"}]}}},
    },
    "model": {"name": "stub", "service-time": {"time": "1s"}, "cold-start": {"stages": []}},
}


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=5, help="runs of each client")
    parser.add_argument("--requests", type=int, default=300, help="requests of a run")
    parser.add_argument("--concurrency", type=int, default=10, help="workers of a run")
    parser.add_argument("--delay", type=float, default=0.2, help="time the service takes [s]")
    parser.add_argument("--rate", type=float, default=300.0, help="requests per second of the open loop")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the open loop")
    options = parser.parse_args()
    good = True
    if shutil.which("hey"):
        with stub(options.delay) as url:
            good = compare(url, options.pairs, options.requests, options.concurrency)
    else:
        print("hey is not installed: no comparison", file=sys.stderr)
    with stub(0.05) as url:
        good = punctuality(url, options.rate, options.seconds) and good
    return 0 if good else 3


def compare(url: str, pairs: int, requests: int, concurrency: int) -> bool:
    """Print p50 and p95 of both clients, pair by pair; say whether the medians over the pairs agree."""
    print(f"{pairs} pairs of {requests} requests, {concurrency} workers [ms]")
    print(f"{'pair':>4} {'kpasim p50':>11} {'hey p50':>11} {'kpasim p95':>11} {'hey p95':>11}")
    figures = []
    for pair in range(pairs):
        clients = {"kpasim": by_kpasim, "hey": by_hey}
        order = list(clients) if pair % 2 == 0 else list(clients)[::-1]
        taken = {name: np.percentile(clients[name](url, requests, concurrency), [50, 95]) for name in order}
        figures.append([taken["kpasim"][0], taken["hey"][0], taken["kpasim"][1], taken["hey"][1]])
        print(f"{pair + 1:>4} " + " ".join(f"{value * 1e3:11.2f}" for value in figures[-1]))
    middle = np.median(np.array(figures), axis=0)
    off = (middle[[0, 2]] / middle[[1, 3]] - 1).tolist()
    good = all(abs(share) <= MARK for share in off)
    print(
        f"medians of the pairs: p50 {off[0]:+.2%}, p95 {off[1]:+.2%} against hey; mark {MARK:.0%}: {_verdict(good)}\n"
    )
    return good


def by_kpasim(url: str, requests: int, concurrency: int) -> NDArray[np.float64]:
    """Latencies [s] as `kpasim load` measures them."""
    workload = {"kind": "hey", "requests": requests, "concurrency": concurrency}
    with tempfile.TemporaryDirectory() as folder:
        experiment = Path(folder, "experiment.yaml")
        experiment.write_text(json.dumps({**EXPERIMENT, "workload": workload}))
        program = "from kpasim.cli.load import command; command()"
        command = [sys.executable, "-c", program, str(experiment), "--url", url, "--out", folder]
        subprocess.run(command, check=True, capture_output=True)
        table = read_table(Path(folder, "requests.csv"), "requests")
    return _answered(table["latency_s"], table["status"], requests)


def by_hey(url: str, requests: int, concurrency: int) -> NDArray[np.float64]:
    """Latencies [s] as hey measures them."""
    command = ["hey", "-n", str(requests), "-c", str(concurrency), "-o", "csv", url]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    header = lines[0].split(",")
    rows = np.array([line.split(",") for line in lines[1:]], dtype=np.float64)
    status = rows[:, header.index("status-code")].astype(np.int64)
    return _answered(rows[:, header.index("response-time")], status, requests)


def punctuality(url: str, rate: float, seconds: float) -> bool:
    """Print how late the requests of an open loop left; say whether that is soon enough."""
    arrivals = np.cumsum(np.random.default_rng(1).exponential(1 / rate, int(rate * seconds)))
    sent = load(OpenLoop(arrivals), Target(url))
    if not (sent.requests["status"] == 200).all():
        raise SystemExit("the stub did not answer every request")
    lag, latency = (np.percentile(values, [50, 99, 100]) * 1e3 for values in (sent.lag_s, sent.requests["latency_s"]))
    good = bool(lag[1] <= LAG_MARK_S * 1e3)
    print(f"open loop, {len(arrivals)} requests at {rate:g}/s [ms]")
    print(f"{'':>8} {'p50':>9} {'p99':>9} {'max':>9}")
    for name, values in (("lag", lag), ("latency", latency)):
        print(f"{name:>8} " + " ".join(f"{value:9.2f}" for value in values))
    print(f"lag p99 {lag[1]:.1f} ms; mark {LAG_MARK_S * 1e3:.0f} ms: {_verdict(good)}")
    return good


def _answered(latency_s: NDArray[np.float64], status: NDArray[np.int64], requests: int) -> NDArray[np.float64]:
    if len(status) != requests or not (status == 200).all():
        raise SystemExit("the stub did not answer every request")
    return latency_s


def _verdict(good: bool) -> str:
    return "kept" if good else "MISSED"


@contextmanager
def stub(delay_s: float) -> Iterator[str]:
    """A service in a process of its own that answers each request after a fixed time; gives its URL."""
    command = [sys.executable, "-m", "benchmarks.load", "--serve", str(delay_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        finally:
            process.kill()


async def serve(delay_s: float) -> None:
    """Answer on a free port, whose number is printed."""
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(delay_s)
        return web.Response(text="ok")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(float(sys.argv[2])))
    else:
        sys.exit(main())
