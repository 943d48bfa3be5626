"""The process of the page: newer jobs of a page abandon older ones, others wait, and a lost process is replaced."""

import asyncio
import json
from pathlib import Path

from kpasim.ui import worker as of
from kpasim.ui.jobs import Job
from kpasim.ui.source import open_source
from kpasim.ui.state import State
from kpasim.ui.worker import Worker

HEADLINE = str(Path(__file__).parents[2] / "experiments" / "hey50x5.yaml")
LONG = "{kind: poisson, rate: 3, duration: 24h}"
"""A load whose replications take long enough to be abandoned."""


def job(page, *settings, replications=3, **more):
    """A job of a page."""
    return Job(kind="run", page=page, state=State(settings=(*settings, ("replications", str(replications)))), **more)


async def kinds(found):
    """What a job sends back, by kind; how often it tells its progress depends on the machine."""
    return [kind async for line in found if (kind := json.loads(line)["kind"]) != "progress"]


def with_worker(use):
    """What ``use`` returns, given a worker."""

    async def main():
        worker = Worker(open_source(HEADLINE))
        try:
            return await use(worker)
        finally:
            worker.stop()

    return asyncio.run(main())


def test_pages_do_not_disturb_each_other_and_a_newer_job_wins():
    """Two pages both get their figures; of two jobs of one page only the newer one."""

    async def use(worker):
        one, other = await asyncio.gather(kinds(worker.perform(job("a"))), kinds(worker.perform(job("b"))))
        older = asyncio.create_task(kinds(worker.perform(job("a", ("workload", LONG), replications=13))))
        await asyncio.sleep(0.3)
        newer = await kinds(worker.perform(job("a")))
        return one, other, await older, newer

    one, other, older, newer = with_worker(use)

    assert one == other == newer == ["figures", "setup"]
    assert older.count("figures") < 2
    assert "problems" not in older


def test_a_request_that_leaves_ends_its_job():
    """Whoever goes away while a job runs leaves the process in order for the next one."""

    async def use(worker):
        leaving = worker.perform(job("a", ("workload", LONG), replications=13))
        waiting = asyncio.create_task(anext(leaving))
        await asyncio.sleep(0.5)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await leaving.aclose()
        return await kinds(worker.perform(job("b")))

    assert with_worker(use) == ["figures", "setup"]


def test_a_process_that_ends_is_replaced():
    """The page says so, and goes on."""

    async def use(worker):
        first = await kinds(worker.perform(job("a")))
        running = asyncio.create_task(kinds(worker.perform(job("a", ("workload", LONG), replications=13))))
        await asyncio.sleep(0.3)
        worker._process.kill()
        return first, await running, await kinds(worker.perform(job("a")))

    first, lost, again = with_worker(use)

    assert first == again == ["figures", "setup"]
    assert lost[-1] == "problems"


def test_a_job_that_takes_too_long_is_killed(monkeypatch):
    """After the limit its process is killed, the page says so, and the next job is performed."""

    async def use(worker):
        await kinds(worker.perform(job("a")))
        monkeypatch.setattr(of, "LIMIT_S", 0.2)
        late = [json.loads(line) async for line in worker.perform(job("a", ("workload", LONG), replications=13))]
        monkeypatch.setattr(of, "LIMIT_S", 120.0)
        return late[-1], await kinds(worker.perform(job("a")))

    late, again = with_worker(use)

    assert late["problems"][0]["message"] == "the simulation takes longer than 0.2 s (kpasim run has no limit)"
    assert again == ["figures", "setup"]
