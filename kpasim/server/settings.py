"""What the operator of a txt2img server chooses."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """The largest request that the server takes on; a larger one is refused with 422 (or 413 for its body).

    Attributes:
        max_side: Width and height at most [pixels].
        max_steps: Sampling steps at most.
        max_images: Images of one request at most (``batch_size * n_iter``).
        max_prompt: Characters of the prompt at most, and of the negative prompt.
        max_body: Bytes of the request's body at most.
        max_image_body: The same for requests that carry a picture.
        max_image_pixels: Pixels of a picture at most, known before it is decoded.
        body_timeout_s: Seconds a client may take to send its body.
    """

    max_side: int = 1024
    max_steps: int = 150
    max_images: int = 4
    max_prompt: int = 4096
    max_body: int = 65536
    max_image_body: int = 8 * 2**20
    max_image_pixels: int = 4096 * 4096
    body_timeout_s: float = 30.0


@dataclass(frozen=True)
class Settings:
    """How one server process is run.

    Attributes:
        model: Folder or hub id of a diffusers pipeline, or ``None`` with ``random_weights``.
        random_weights: Architecture to build without weights, ``tiny`` or ``sd15``; ``None`` with ``model``.
        device: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.
        precision: ``auto`` (fp16 on CUDA, fp32 on the CPU), ``fp16`` or ``fp32``.
        threads: Threads of one generation on the CPU. More than the cores that are really free slow it many times over.
        concurrency: Generations at a time.
        queue: Requests that may wait beyond those; the next one gets 503.
        safety_checker: Keep the model's own safety checker, where it has one.
        limits: The largest request.
    """

    model: str | None = None
    random_weights: str | None = None
    device: str = "auto"
    precision: str = "auto"
    threads: int = 1
    concurrency: int = 1
    queue: int = 100
    safety_checker: bool = True
    limits: Limits = field(default_factory=Limits)

    @property
    def model_name(self) -> str:
        """The model's name as clients see it: the last part of its path or hub id."""
        if self.model is None:
            return f"random-{self.random_weights}"
        return self.model.rstrip("/").rsplit("/", 1)[-1]
