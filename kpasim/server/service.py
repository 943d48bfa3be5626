"""The state of one server process: loading, ready, serving, leaving."""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kpasim.errors import KpasimError
from kpasim.server import models, samplers
from kpasim.server.admission import Admission, RefusedError
from kpasim.server.metrics import Metrics
from kpasim.server.schema import TextToImage
from kpasim.server.settings import Settings

log = logging.getLogger("kpasim.server")

UNWELL_AFTER = 3
"""Failures in a row after which the process calls itself not alive: a GPU that faulted stays so until a restart."""


@dataclass(frozen=True)
class Made:
    """What became of one request.

    Attributes:
        images: PNG files; empty if the client left.
        info: How they were made, as AUTOMATIC1111 reports it.
        queue_s: Time from admission to the start of generation [s].
        service_s: Time that generation took [s].
        left: Whether the client left before the end.
    """

    images: list[bytes]
    info: dict[str, Any]
    queue_s: float
    service_s: float
    left: bool = False


class Service:
    """One process's model, queue and counters.

    Attributes:
        stages_s: Stages of the process's start and their durations [s].
        ready: Whether the model is loaded and warmed up.
        failure: Why it could not be loaded, if so.
        running: Jobs in the pipeline, oldest first.
    """

    def __init__(self, settings: Settings, *, born_s: float | None = None) -> None:
        """`start` begins to load; `born_s` is `time.monotonic` at the start of the process, now where not known."""
        self.settings = settings
        self.admission = Admission(settings.concurrency, settings.queue)
        self.metrics = Metrics()
        self.stages_s: dict[str, float] = {}
        self.ready = False
        self.ready_after_s = 0.0
        self.failure: BaseException | None = None
        self.running: list[models.Job] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        self._born_s = time.monotonic() if born_s is None else born_s
        self._slots: list[models.Slot] = []
        self._failures = 0
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="generate")
        self._loader: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether a restart is not called for."""
        return self.failure is None and self._failures < UNWELL_AFTER

    @property
    def closing(self) -> bool:
        """Whether the process is on its way out."""
        return self.admission.closed

    @property
    def busy(self) -> bool:
        """Whether a thread of the process is still inside torch."""
        return bool(self.running) or (self._loader is not None and self._loader.is_alive())

    def start(self, on_failure: Callable[[], None]) -> None:
        """Load the model in a thread of its own; `on_failure` is called in the event loop if that fails."""
        loop = self.loop = asyncio.get_running_loop()
        self.stages_s["process"] = time.monotonic() - self._born_s

        def work() -> None:
            try:
                slots = models.load(self.settings, self.stages_s)
            except Exception as err:  # whatever it was, the process must end with it rather than wait forever unready
                if not isinstance(err, KpasimError):
                    log.exception("loading failed")
                self.failure = err
                loop.call_soon_threadsafe(on_failure)
                return
            self._slots = slots
            self.ready_after_s = time.monotonic() - self._born_s
            self.ready = True
            stages = ", ".join(f"{name} {took:.2f} s" for name, took in self.stages_s.items())
            log.info("ready after %.2f s (%s)", self.ready_after_s, stages)

        self._loader = threading.Thread(target=work, name="load", daemon=True)
        self._loader.start()

    def close(self, when_idle: Callable[[], object]) -> None:
        """Refuse new requests and call `when_idle` when those admitted are done."""
        log.info("leaving: %d running, %d waiting", self.admission.running, self.admission.waiting)
        self.admission.close(when_idle)

    async def make(
        self,
        request: TextToImage,
        sampler: samplers.Sampler,
        schedule: samplers.Schedule,
        gone: asyncio.Future[None],
        picture: Any = None,
    ) -> Made:
        """Wait for a slot and make the images of a request that has been checked; `picture` has the size asked for.

        The work is given up as soon as `gone` is done: the client has left.

        Raises:
            RefusedError: The model is not loaded, the queue is full or the server is leaving.
        """
        if not self.ready:
            raise RefusedError("the model is still loading")
        place = self.admission.enter()
        admitted_s = time.monotonic()
        try:
            await asyncio.wait({place, gone}, return_when=asyncio.FIRST_COMPLETED)
            queue_s = time.monotonic() - admitted_s
            if not place.done() or gone.done():
                return Made([], {}, queue_s, 0.0, left=True)
            seed = random.randrange(2**32 - 1) if request.seed == -1 else request.seed
            seeds = [seed + k for k in range(request.images)]
            job = models.Job(request, sampler, schedule, seeds, self.settings.model_name, picture)
            images = await self._generate(job, gone)
            service_s = time.monotonic() - admitted_s - queue_s
            if images is None:
                return Made([], {}, queue_s, service_s, left=True)
            self.metrics.images += len(images)
            self.metrics.queue.add(queue_s)
            self.metrics.service.add(service_s)
            return Made(images, self._info(job), queue_s, service_s)
        finally:
            self.admission.leave(place)

    async def _generate(self, job: models.Job, gone: asyncio.Future[None]) -> list[bytes] | None:
        """Run a job in a thread, ``None`` if it was given up; the slot is free when the thread is done with it."""
        slot = self._slots.pop()
        self.running.append(job)
        work = asyncio.get_running_loop().run_in_executor(self._threads, slot.generate, job)
        either: list[asyncio.Future[Any]] = [work, gone]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                job.stop.set()
            # Shielded, because a thread goes on when the future that stands for it is cancelled.
            images = await asyncio.shield(work)
        except models.StoppedError:
            return None
        except Exception:
            self._failures += 1
            raise
        finally:
            job.stop.set()
            if work.done():  # else the process is being ended by force, and the thread is still at it
                self.running.remove(job)
                self._slots.append(slot)
        self._failures = 0
        return images

    def interrupt(self) -> None:
        """End the running generations; their responses hold the images that are finished."""
        for job in self.running:
            job.interrupt.set()

    def skip(self) -> None:
        """Leave out the batches in work; their requests go on with the next ones."""
        for job in self.running:
            job.skip.set()

    def progress(self) -> dict[str, Any]:
        """The answer to ``/sdapi/v1/progress``: how far the oldest running request is."""
        job = self.running[0] if self.running else None
        done = eta_s = 0.0
        if job is not None and job.steps:
            done = job.step / job.steps
            if job.started_s is not None and 0 < done < 1:
                eta_s = (time.monotonic() - job.started_s) * (1 - done) / done
        state = {
            "skipped": False,
            "interrupted": bool(job and job.interrupt.is_set()),
            "stopping_generation": False,
            "job": "" if job is None else "txt2img" if job.picture is None else "img2img",
            "job_count": len(self.running) + self.admission.waiting,
            "job_timestamp": "0",
            "job_no": 0,
            "sampling_step": job.step if job else 0,
            "sampling_steps": job.steps if job else 0,
        }
        return {"progress": done, "eta_relative": eta_s, "state": state, "current_image": None, "textinfo": None}

    def metrics_text(self) -> str:
        """The answer to ``/metrics``."""
        gauges = {
            "txt2img_running": ("Requests in the pipeline.", float(self.admission.running)),
            "txt2img_waiting": ("Requests that wait for a slot.", float(self.admission.waiting)),
            "txt2img_slots": ("Generations at a time.", float(self.settings.concurrency)),
            "txt2img_ready": ("1 once the model is loaded and warmed up.", float(self.ready)),
            "txt2img_ready_after_seconds": ("From the start of the process to ready, 0 before.", self.ready_after_s),
        }
        return self.metrics.text(gauges=gauges, stages_s=dict(self.stages_s))

    def _info(self, job: models.Job) -> dict[str, Any]:
        request = job.request
        width, height = request.size
        count = len(job.seeds)
        return {
            "prompt": request.prompt,
            "all_prompts": [request.prompt] * count,
            "negative_prompt": request.negative_prompt,
            "all_negative_prompts": [request.negative_prompt] * count,
            "seed": job.seeds[0],
            "all_seeds": job.seeds,
            "subseed": job.seeds[0],
            "all_subseeds": job.seeds,
            "subseed_strength": 0,
            "width": width,
            "height": height,
            "sampler_name": job.sampler.name,
            "cfg_scale": request.cfg_scale,
            "steps": request.steps,
            "batch_size": request.batch_size,
            "restore_faces": False,
            "face_restoration_model": None,
            "sd_model_name": job.model_name,
            "sd_model_hash": None,
            "sd_vae_name": None,
            "sd_vae_hash": None,
            "seed_resize_from_w": request.seed_resize_from_w,
            "seed_resize_from_h": request.seed_resize_from_h,
            "denoising_strength": request.denoising_strength,
            "extra_generation_params": {"Schedule type": job.schedule.label},
            "index_of_first_image": 0,
            "infotexts": [job.infotext(index) for index in range(count)],
            "styles": request.styles or [],
            "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.gmtime()),
            "clip_skip": 1,
            "is_using_inpainting_conditioning": False,
        }
