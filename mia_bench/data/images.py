"""Photo files to images."""

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from ..core.photos import Photos
from ..errors import RequestError
from ..protocol import Data


def decode(content: bytes, file: Path, data: Data) -> torch.Tensor:
    """Image (1, H, W) float32 in [0, 1]: grey, the protocol's box, centre-cropped to its aspect, resized."""
    height, width = data.image
    try:
        with Image.open(io.BytesIO(content)) as photo:
            upright = ImageOps.exif_transpose(photo)
            if upright.mode.startswith("I"):  # 16 bits: convert() would clip, not scale
                upright = Image.fromarray((np.asarray(upright).clip(0, 65535) / 257).astype(np.uint8))
            grey = upright.convert("L")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RequestError(f"photo {file} cannot be decoded: {error}") from None
    if data.crop is not None:
        if data.crop[2] > grey.width or data.crop[3] > grey.height:
            raise RequestError(f"photo {file} is {grey.width}x{grey.height}, smaller than data.crop {list(data.crop)}")
        grey = grey.crop(data.crop)
    scale = min(grey.width / width, grey.height / height)
    kept_width, kept_height = width * scale, height * scale
    left, top = (grey.width - kept_width) / 2, (grey.height - kept_height) / 2
    resized = grey.resize(
        (width, height), Image.Resampling.LANCZOS, box=(left, top, left + kept_width, top + kept_height)
    )
    return torch.from_numpy(np.asarray(resized, dtype=np.float32) / 255).unsqueeze(0)


def load(people: dict[str, list[Path]], data: Data) -> Photos:
    """The named files as Photos, people in the given order; RequestError names a file that cannot be used."""
    images, labels, hashes = [], [], []
    for label, files in enumerate(people.values()):
        for file in files:
            try:
                content = file.read_bytes()
            except OSError as error:
                raise RequestError(f"photo {file}: {error.strerror or error}") from None
            images.append(decode(content, file, data))
            labels.append(label)
            hashes.append(hashlib.sha256(content).hexdigest())
    return Photos(torch.stack(images), torch.tensor(labels), tuple(people), tuple(hashes))
