"""One process's state, with a pipeline that does what the test says."""

import asyncio
import threading
from typing import Any

import pytest

from kpasim.server import models, samplers
from kpasim.server.admission import RefusedError
from kpasim.server.schema import TextToImage
from kpasim.server.service import Made, Service
from kpasim.server.settings import Settings


class Script:
    """A slot that works when and how it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.fails = False
        self.jobs: list[models.Job] = []

    def generate(self, job: models.Job) -> list[bytes]:
        """Wait for `go`, then fail, stop or make one image."""
        self.jobs.append(job)
        self.go.wait()
        if job.stop.is_set():
            raise models.StoppedError
        if self.fails:
            raise ZeroDivisionError
        return [b"png"]


def ready_service(slot: Script, **settings: Any) -> Service:
    """A service that has loaded `slot`."""
    service = Service(Settings(random_weights="tiny", **settings))
    service._slots = [slot]  # type: ignore[list-item]
    service.ready = True
    return service


def start(service: Service, **fields: Any) -> tuple[asyncio.Task[Made], asyncio.Future[None]]:
    """Begin a request; the future says that its client has left."""
    found = samplers.find("Euler", None)
    assert found is not None
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return asyncio.create_task(service.make(TextToImage(**fields), *found, gone)), gone


def test_nothing_is_made_before_the_model_is_loaded() -> None:
    """A request that comes too early is refused and takes no place."""

    async def scene() -> None:
        service = Service(Settings(random_weights="tiny"))
        task, _ = start(service)
        with pytest.raises(RefusedError, match="loading"):
            await task
        assert service.admission.running == 0

    asyncio.run(scene())


def test_a_running_request_whose_client_leaves_is_told_to_stop() -> None:
    """Its slot is free again only when the pipeline has let go of it."""

    async def scene() -> None:
        slot = Script()
        service = ready_service(slot)
        task, gone = start(service, seed=1)
        while not slot.jobs:
            await asyncio.sleep(0)
        gone.set_result(None)
        while not slot.jobs[0].stop.is_set():
            await asyncio.sleep(0)
        assert service.admission.running == 1
        slot.go.set()
        assert (await task).left
        assert service.admission.running == 0
        assert service.metrics.images == 0

    asyncio.run(scene())


def test_a_waiting_request_whose_client_leaves_never_runs() -> None:
    """It gives up its place in the queue and the pipeline never sees it."""

    async def scene() -> None:
        slot = Script()
        service = ready_service(slot)
        first, _ = start(service, seed=1)
        second, gone = start(service, seed=2)
        while service.admission.waiting == 0:
            await asyncio.sleep(0)
        gone.set_result(None)
        assert (await second).left
        slot.go.set()
        assert (await first).images == [b"png"]
        assert [job.seeds for job in slot.jobs] == [[1]]

    asyncio.run(scene())


def test_three_failures_in_a_row_are_not_alive() -> None:
    """A pipeline that keeps failing asks for a restart; one success in between clears it."""

    async def scene() -> None:
        slot = Script()
        slot.go.set()
        service = ready_service(slot)
        for fails in (True, True, False, True, True, True):
            assert service.alive
            slot.fails = fails
            task, _ = start(service)
            if fails:
                with pytest.raises(ZeroDivisionError):
                    await task
            else:
                assert (await task).images == [b"png"]
        assert not service.alive
        assert service.admission.running == 0

    asyncio.run(scene())
