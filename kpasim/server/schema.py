"""What a client may send to generate images, with AUTOMATIC1111's names and defaults."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kpasim.server.settings import Limits

MAX_SEED = 2**63 - 1 - 2**20
"""Largest seed, a little below what torch takes, because the k-th image of a batch uses ``seed + k``."""

SMALLEST_SIDE = 64
"""Smallest width and height [pixels]."""

NOT_OFFERED = {
    **dict.fromkeys(("enable_hr", "restore_faces", "tiling"), False),
    **dict.fromkeys(("refiner_checkpoint", "firstpass_image", "mask"), ""),
}
"""Fields that would change the whole picture, and what they must be."""

Number = Annotated[float, Field(allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=-1, le=MAX_SEED)]


class TextToImage(BaseModel):
    """One request: AUTOMATIC1111's fields with its defaults, every one optional.

    Fields that only steer what this server does not do (saving files, other checkpoints, styles, k-diffusion's churn)
    are taken and left unused, as AUTOMATIC1111 leaves a style or a setting unused that it does not know. Those that
    would change the whole picture are refused by `problems`. Unknown fields are left out.
    """

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _null_is_the_default(cls, data: Any) -> Any:
        """Leave out what is null: AUTOMATIC1111 takes a null for every field that it also offers in its interface."""
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data

    prompt: str = ""
    negative_prompt: str = ""
    styles: list[str] | None = None
    seed: Seed = -1
    subseed: Seed = -1
    subseed_strength: Number = 0.0
    seed_resize_from_h: int = -1
    seed_resize_from_w: int = -1
    sampler_name: str | None = None
    scheduler: str | None = None
    batch_size: int = Field(default=1, ge=1)
    n_iter: int = Field(default=1, ge=1)
    steps: int = Field(default=50, ge=1)
    cfg_scale: Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)] = 7.0
    width: int = Field(default=512, ge=SMALLEST_SIDE)
    height: int = Field(default=512, ge=SMALLEST_SIDE)
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    eta: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] | None = None
    denoising_strength: Number | None = None
    s_min_uncond: Number | None = None
    s_churn: Number | None = None
    s_tmax: Number | None = None
    s_tmin: Number | None = None
    s_noise: Number | None = None
    override_settings: dict[str, Any] | None = None
    override_settings_restore_afterwards: bool = True
    refiner_checkpoint: str | None = None
    refiner_switch_at: Number | None = None
    disable_extra_networks: bool = False
    firstpass_image: str | None = None
    comments: dict[str, Any] | None = None
    enable_hr: bool = False
    firstphase_width: int = 0
    firstphase_height: int = 0
    hr_scale: Number = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: int = 0
    hr_resize_x: int = 0
    hr_resize_y: int = 0
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str = ""
    hr_negative_prompt: str = ""
    force_task_id: str | None = None
    sampler_index: str = "Euler"
    script_name: str | None = None
    script_args: list[Any] | None = []
    send_images: bool = True
    save_images: bool = False
    alwayson_scripts: dict[str, Any] | None = {}
    infotext: str | None = None

    @property
    def images(self) -> int:
        """How many images are asked for."""
        return self.batch_size * self.n_iter

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the images [pixels]: what was asked for, down to a multiple of 8 (the latent's grain)."""
        return self.width // 8 * 8, self.height // 8 * 8


class ImageToImage(TextToImage):
    """A request that begins with a picture."""

    init_images: list[str] = []
    resize_mode: Annotated[int, Field(ge=0, le=3)] = 0
    denoising_strength: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] | None = 0.75
    mask: str | None = None
    include_init_images: bool = False


class PngInfo(BaseModel):
    """A picture whose parameters are asked for."""

    image: str = ""


class PngInfoResponse(BaseModel):
    """The text about its making that a picture carries."""

    info: str
    items: dict[str, Any]
    parameters: dict[str, Any]


class ErrorResponse(BaseModel):
    """An error as AUTOMATIC1111 writes it."""

    error: str
    detail: Any
    body: str = ""
    errors: str = ""


class TextToImageResponse(BaseModel):
    """The answer: PNG images in base64, the request as understood, and a JSON text about how they were made."""

    images: list[str]
    parameters: dict[str, Any]
    info: str


def problems(request: TextToImage, limits: Limits) -> list[tuple[str, str]]:
    """Everything for which a well-formed request is refused, as ``(field, what would be right)``."""
    found = []
    for name, value, most in (
        ("width", request.width, limits.max_side),
        ("height", request.height, limits.max_side),
        ("steps", request.steps, limits.max_steps),
        ("batch_size * n_iter", request.images, limits.max_images),
    ):
        if value > most:
            found.append((name, f"at most {most}, got {value}"))
    for name, text in (("prompt", request.prompt), ("negative_prompt", request.negative_prompt)):
        if len(text) > limits.max_prompt:
            found.append((name, f"at most {limits.max_prompt} characters, got {len(text)}"))
    if request.subseed_strength > 0:
        found.append(("subseed_strength", "variation seeds are not offered, leave it 0"))
    found += [(name, "not offered by this server") for name in NOT_OFFERED if getattr(request, name, None)]
    if isinstance(request, ImageToImage):
        if request.resize_mode > 1:
            found.append(("resize_mode", "0 (just resize) or 1 (crop and resize)"))
        if len(request.init_images) > 1:
            found.append(("init_images", f"at most 1, got {len(request.init_images)}"))
    if request.script_name:
        found.append(("script_name", "Script not found: this server has no scripts"))
    if request.alwayson_scripts:
        found.append(("alwayson_scripts", "Always on script not found: this server has no scripts"))
    return found


def request_schema(kind: type[TextToImage], limits: Limits) -> dict[str, Any]:
    """JSON schema of a request with the limits of this server in it, for OpenAPI.

    What a limit ties together (``batch_size`` times ``n_iter``) is said by the pairs that it allows; ``null`` stands
    for the default of every field.
    """
    schema = kind.model_json_schema()
    fields: dict[str, Any] = schema["properties"]
    for name in ("width", "height"):
        fields[name]["maximum"] = limits.max_side
    fields["steps"]["maximum"] = limits.max_steps
    for name in ("prompt", "negative_prompt"):
        fields[name]["maxLength"] = limits.max_prompt
    fields["subseed_strength"] |= {"maximum": 0}
    for name, nothing in {**NOT_OFFERED, "script_name": ""}.items():
        if name in fields:
            fields[name] = {"enum": [nothing, None], "default": None}
    fields["alwayson_scripts"] = {"type": ["object", "null"], "maxProperties": 0}
    if kind is ImageToImage:
        fields["init_images"] |= {"minItems": 1, "maxItems": 1}
        fields["resize_mode"]["maximum"] = 1
        schema["required"] = ["init_images"]
    schema["properties"] = {
        name: field if "enum" in field or "null" in str(field) else {"anyOf": [field, {"type": "null"}]}
        for name, field in fields.items()
    }
    most = limits.max_images
    schema["anyOf"] = [
        {"properties": {"batch_size": {"maximum": batch}, "n_iter": {"maximum": most // batch}}}
        for batch in range(1, most + 1)
    ]
    return schema
