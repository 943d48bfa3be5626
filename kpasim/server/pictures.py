"""Pictures that clients send: decoded within limits, and read for the text that AUTOMATIC1111 keeps in them."""

import base64
import binascii
import io
from typing import Any

from kpasim.server.schema import ImageToImage
from kpasim.server.settings import Limits


class PictureError(Exception):
    """A picture that cannot be used; its text is the reason."""


def decode(text: str, limits: Limits) -> Any:
    """The PIL image in a base64 text or a ``data:`` URL.

    Raises:
        PictureError: It is not base64, not a PNG, JPEG or WebP file, or has more pixels than allowed.
    """
    from PIL import Image, UnidentifiedImageError

    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise PictureError("the picture is not base64") from None
    try:
        # The size stands in the header, so a small file that unpacks to gigabytes is refused before it is unpacked.
        image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
        if image.width * image.height > limits.max_image_pixels:
            raise PictureError(f"the picture may have {limits.max_image_pixels} pixels")
        image.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        raise PictureError("the picture is not a whole PNG, JPEG or WebP file") from None
    return image


def first_picture(request: ImageToImage, limits: Limits) -> Any:
    """The picture of an img2img request in the size that it asks for, as RGB; see `decode` for errors."""
    from PIL import ImageOps

    image = decode(request.init_images[0], limits).convert("RGB")
    return ImageOps.fit(image, request.size) if request.resize_mode == 1 else image.resize(request.size)


def parameters_of(image: Any) -> str:
    """The text about its making that a PNG file carries; empty where there is none."""
    text = image.info.get("parameters", "")
    return text if isinstance(text, str) else ""
