"""Pipelines: loading one, building one without weights, and making images with it.

torch and diffusers are imported inside the functions: it takes them seconds, and the process answers probes meanwhile.
"""

import copy
import io
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kpasim.errors import MissingExtraError, RunError
from kpasim.server import samplers
from kpasim.server.schema import TextToImage
from kpasim.server.settings import Settings

SEED = 0
"""Seed of the random weights, the same in every process, so that any two pods make the same image."""


class StoppedError(Exception):
    """A generation that was given up between two steps because nobody waits for it any more."""


@dataclass
class Job:
    """One request on its way through the pipeline.

    Attributes:
        seeds: Seed of each image.
        model_name: What the images' text calls the model.
        picture: What an img2img request begins with, in the size asked for; ``None`` for txt2img.
        stop: Set when the client is gone: nobody wants what is finished.
        interrupt: Set by ``/interrupt``: the images finished so far are the response.
        skip: Set by ``/skip``: the batch in work is left out.
        pngs: Images that are finished.
        step: Steps done, over all batches.
        steps: Steps to do, over all batches (some samplers take more than the request's).
        started_s: `time.monotonic` at the start, ``None`` before it.
    """

    request: TextToImage
    sampler: samplers.Sampler
    schedule: samplers.Schedule
    seeds: list[int]
    model_name: str
    picture: Any = None
    stop: threading.Event = field(default_factory=threading.Event)
    interrupt: threading.Event = field(default_factory=threading.Event)
    skip: threading.Event = field(default_factory=threading.Event)
    pngs: list[bytes] = field(default_factory=list)
    step: int = 0
    steps: int = 0
    started_s: float | None = None

    def infotext(self, index: int) -> str:
        """How image `index` was made, as AUTOMATIC1111 writes it into the PNG and the response."""
        request = self.request
        width, height = request.size
        lines = [request.prompt]
        if request.negative_prompt:
            lines.append(f"Negative prompt: {request.negative_prompt}")
        lines.append(
            f"Steps: {request.steps}, Sampler: {self.sampler.name}, Schedule type: {self.schedule.label}, "
            f"CFG scale: {request.cfg_scale:g}, Seed: {self.seeds[index]}, Size: {width}x{height}, "
            f"Model: {self.model_name}"
        )
        return "\n".join(lines)


class Slot:
    """One generation at a time with a loaded pipeline; several slots share its weights."""

    def __init__(self, pipeline: Any) -> None:
        # What a call changes is the slot's own: the scheduler, and the tokenizer's padding and truncation.
        self._pipeline = copy.copy(pipeline)
        self._pipeline.tokenizer = copy.deepcopy(pipeline.tokenizer)
        if hasattr(pipeline, "tokenizer_2"):
            self._pipeline.tokenizer_2 = copy.deepcopy(pipeline.tokenizer_2)
            # XL's pipeline turns a VAE of fp16 to fp32 while it decodes.
            self._pipeline.vae = copy.deepcopy(pipeline.vae)
        self._from_picture: Any = None
        self._dtype = pipeline.vae.dtype
        self._model_schedule = pipeline.scheduler.config

    def generate(self, job: Job) -> list[bytes]:
        """The images of a job as PNG files: those finished so far where it was interrupted.

        Raises:
            StoppedError: `job.stop` was set.
        """
        import torch

        job.started_s = time.monotonic()
        for first in range(0, len(job.seeds), job.request.batch_size):
            seeds = job.seeds[first : first + job.request.batch_size]
            try:
                with torch.inference_mode():
                    images = self._batch(job, seeds, first // job.request.batch_size)
            except StoppedError:
                if job.stop.is_set():
                    raise
                if job.interrupt.is_set():
                    break
                job.skip.clear()
                continue
            job.pngs += [_png(image, job.infotext(first + place)) for place, image in enumerate(images)]
        return job.pngs

    def _batch(self, job: Job, seeds: list[int], batch: int) -> list[Any]:
        import torch

        request = job.request

        def after_step(pipeline: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            total = pipeline.num_timesteps
            job.steps = total * request.n_iter
            job.step = total * batch + step + 1
            if any(event.is_set() for event in (job.stop, job.interrupt, job.skip)):
                raise StoppedError
            return tensors

        if job.stop.is_set() or job.interrupt.is_set():
            raise StoppedError
        self._pipeline.vae.to(self._dtype)  # a decoding that failed may have left it turned
        pipeline, more = self._for(job, len(seeds))
        pipeline.scheduler = samplers.make(job.sampler, job.schedule, self._model_schedule)
        result = pipeline(
            prompt=[request.prompt] * len(seeds),
            negative_prompt=[request.negative_prompt] * len(seeds),
            num_inference_steps=request.steps,
            guidance_scale=request.cfg_scale,
            eta=request.eta or 0.0,
            # Noise is drawn on the CPU whatever the device, so that a seed means the same image everywhere.
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            callback_on_step_end=after_step,
            **more,
        )
        return list(result.images)

    def _for(self, job: Job, count: int) -> tuple[Any, dict[str, Any]]:
        """The pipeline that a job needs, and what it takes beside the arguments of both kinds."""
        if job.picture is None:
            width, height = job.request.size
            return self._pipeline, {"width": width, "height": height}
        if self._from_picture is None:
            from diffusers import AutoPipelineForImage2Image

            self._from_picture = AutoPipelineForImage2Image.from_pipe(self._pipeline)
            self._from_picture.set_progress_bar_config(disable=True)
        # At least one step is made, as AUTOMATIC1111 does; diffusers would refuse a strength that leaves none.
        strength = max(job.request.denoising_strength or 0.0, 1.0 / job.request.steps)
        return self._from_picture, {"image": [job.picture] * count, "strength": strength}


def load(settings: Settings, stages_s: dict[str, float]) -> list[Slot]:
    """Import, load or build, move to the device and warm up: one slot for each generation at a time.

    `stages_s` is filled with the stages' names and durations [s] as they end.

    Raises:
        RunError: The model cannot be loaded, or there is no such device.
    """
    with _stage("import", stages_s):
        _import_quietly(settings)
        import diffusers
        import torch
    device, dtype = _device(settings)
    with _stage("build" if settings.model is None else "load", stages_s):
        pipeline = build(settings.random_weights or "") if settings.model is None else _pretrained(settings, dtype)
    if not isinstance(pipeline, diffusers.StableDiffusionPipeline | diffusers.StableDiffusionXLPipeline):
        kind = type(pipeline).__name__
        raise RunError(f"--model {settings.model}: it is a {kind}; Stable Diffusion 1.x, 2.x and XL can be served")
    with _stage("to-device", stages_s):
        pipeline.to(device, dtype)
        pipeline.set_progress_bar_config(disable=True)
        slots = [Slot(pipeline) for _ in range(settings.concurrency)]
        if device == "cuda":
            torch.cuda.synchronize()
    with _stage("warm-up", stages_s):
        side = min(pipeline.unet.config.sample_size * pipeline.vae_scale_factor, settings.limits.max_side)
        # The smallest honest generation, one step at the model's own size: the first client finds all set up.
        request = TextToImage(prompt="warm-up", steps=1, width=side, height=side, seed=0)
        euler, automatic = samplers.SAMPLERS["Euler"], samplers.SCHEDULES[0]
        slots[0].generate(Job(request, euler, automatic, seeds=[0], model_name=""))
    return slots


def build(architecture: str) -> Any:
    """A Stable Diffusion pipeline with random weights: real work of a known size, and noise for a picture.

    ``architecture`` is one of pipelines.toml: ``sd15``, or ``tiny``.
    """
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer, shape = _byte_tokenizer(), samplers.DATA["architectures"][architecture]
    torch.manual_seed(SEED)
    vae = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4, **shape["vae"]
    )
    text = CLIPTextConfig(
        **shape["text"],
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=CLIPTextModel(text).eval(),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(**shape["unet"]).eval(),
        scheduler=DDIMScheduler(**samplers.DATA["noise"]),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _byte_tokenizer() -> Any:
    """CLIP's tokenizer with a vocabulary of single bytes, each also as the end of a word."""
    from transformers import CLIPTokenizer

    # Byte-level BPE writes a byte that has no visible character as one from 256 on.
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(byte) for byte in visible] + [chr(256 + n) for n in range(256 - len(visible))]
    words = [*symbols, *(f"{symbol}</w>" for symbol in symbols), "<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}), encoding="utf-8")
        Path(folder, "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
        Path(folder, "tokenizer_config.json").write_text('{"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}')
        return CLIPTokenizer.from_pretrained(folder)


def _pretrained(settings: Settings, dtype: Any) -> Any:
    from diffusers import AutoPipelineForText2Image

    dropped = {} if settings.safety_checker else {"safety_checker": None, "requires_safety_checker": False}
    try:
        # Only safetensors: a pickled weight file may run code.
        return AutoPipelineForText2Image.from_pretrained(
            settings.model, torch_dtype=dtype, use_safetensors=True, **dropped
        )
    except (OSError, ValueError) as err:
        reason = str(err).strip().splitlines()
        raise RunError(f"--model {settings.model}: cannot be loaded: {reason[0] if reason else err!r}") from err


def _device(settings: Settings) -> tuple[str, Any]:
    import torch

    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise RunError("--device cuda: torch finds no CUDA device here; use --device cpu")
    half = settings.precision == "fp16" or (settings.precision == "auto" and device == "cuda")
    return device, torch.float16 if half else torch.float32


def _import_quietly(settings: Settings) -> None:
    """Import torch, diffusers and transformers.

    Their log lines would repeat clients' prompts, so only errors are let through.
    """
    # OpenMP reads its variable when torch is imported, and its idle threads spin.
    os.environ.setdefault("OMP_NUM_THREADS", str(settings.threads))
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    # The fast tokenizers' own threads gain nothing on a prompt and warn when a process forks.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import torch
        import transformers  # noqa: F401
        from diffusers import AutoPipelineForText2Image  # noqa: F401
    except ImportError as err:
        raise MissingExtraError("server", err) from err
    torch.set_num_threads(settings.threads)


@contextmanager
def _stage(name: str, stages_s: dict[str, float]) -> Iterator[None]:
    began = time.monotonic()
    yield
    stages_s[name] = time.monotonic() - began


def _png(image: Any, infotext: str) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("parameters", infotext)
    file = io.BytesIO()
    image.save(file, format="PNG", pnginfo=text)
    return file.getvalue()
