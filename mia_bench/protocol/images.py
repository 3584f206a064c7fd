"""Photo files to images, and images to pictures."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..plugin.errors import RequestError
from ..plugin.photos import Photos
from .model import Data
from .photo import grey


def decode(content: bytes, file: Path, data: Data) -> torch.Tensor:
    """Image (1, H, W) float32 in [0, 1]: grey, the protocol's box, centre-cropped to its aspect, resized."""
    height, width = data.image
    picture = grey(content, file)
    if data.crop is not None:
        x, y, right, bottom = data.crop
        margin = max(0, -x, -y)
        if margin:
            picture = Image.fromarray(np.pad(np.asarray(picture), margin, mode="edge"))
        box = (x + margin, y + margin, right + margin, bottom + margin)
        if box[2] > picture.width or box[3] > picture.height:
            raise RequestError(
                f"photo {file} is {picture.width}x{picture.height}, smaller than data.crop {list(data.crop)}"
            )
        picture = picture.crop(box)
    scale = min(picture.width / width, picture.height / height)
    kept_width, kept_height = width * scale, height * scale
    left, top = (picture.width - kept_width) / 2, (picture.height - kept_height) / 2
    resized = picture.resize(
        (width, height), Image.Resampling.LANCZOS, box=(left, top, left + kept_width, top + kept_height)
    )
    return torch.from_numpy(np.asarray(resized, dtype=np.float32) / 255).unsqueeze(0)


def load(people: dict[str, list[Path]], data: Data) -> Photos:
    """The named files as Photos, people in the given order; RequestError names a file that cannot be used."""
    if not people:
        return Photos(torch.empty(0, 1, *data.image), torch.empty(0, dtype=torch.int64), (), ())
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


def picture(image: torch.Tensor) -> Image.Image:
    """An image (1, H, W) in [0, 1] as an 8-bit grey picture."""
    return Image.fromarray((image.squeeze(0).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy())
