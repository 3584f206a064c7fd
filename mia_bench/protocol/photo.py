"""One photo file to one grey picture."""

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..plugin.errors import RequestError


def grey(content: bytes, file: Path) -> Image.Image:
    """The photo upright and grey, 8 bits; RequestError naming the file if it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(content)) as photo:
            upright = ImageOps.exif_transpose(photo)
            if upright.mode.startswith("I"):  # 16 bits: convert() would clip, not scale
                upright = Image.fromarray((np.asarray(upright).clip(0, 65535) / 257).astype(np.uint8))
            return upright.convert("L")
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        detail = "not an image" if isinstance(error, UnidentifiedImageError) else error
        raise RequestError(f"photo {file} cannot be decoded: {detail}") from None
