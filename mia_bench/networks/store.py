"""Where trained weights are kept: pinned ones in the package, others in a cache under the hash of what made them."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import platformdirs
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from ..files import write_atomic
from ..plugin.errors import RequestError

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def cache_dir() -> Path:
    """``$MIA_BENCH_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("MIA_BENCH_CACHE") or platformdirs.user_cache_dir("mia-bench"))


def read_tensors(file: Path, sha256: str) -> dict[str, Tensor]:
    """What a published file holds; RequestError if the file is not the one that the protocol names."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RequestError(f"pinned weights {file}: {error.strerror or error}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise RequestError(
            f"pinned weights {file} have SHA-256 {found[:12]}..., the protocol names {sha256[:12]}...; "
            "bring back the published file, or pin your own with 'mia-bench train --export'"
        )
    try:
        return load(content)
    except SafetensorError as error:
        raise RequestError(f"pinned weights {file} are no safetensors: {error}") from None


def read_pinned(net: ModuleT, file: Path, sha256: str) -> ModuleT:
    """``net`` with a published file's weights, whatever their precision; RequestError if they do not fit."""
    try:
        net.load_state_dict(read_tensors(file, sha256))
    except RuntimeError as error:
        detail = str(error).splitlines()[-1].strip()
        raise RequestError(f"pinned weights {file} do not fit the protocol's network: {detail}") from None
    return net.eval()


def cached(net: ModuleT, key: str, train: Callable[[], ModuleT]) -> ModuleT:
    """The weights stored under a key, or those of ``train()``, then stored."""
    file = cache_dir() / "models" / f"{key}.safetensors"
    try:
        net.load_state_dict(load(file.read_bytes()))
        return net.eval()
    except FileNotFoundError:
        pass
    except (SafetensorError, RuntimeError, OSError):
        pass  # a damaged cache entry is only worth its time: trained again and replaced
    trained = train().cpu()
    write_atomic(file, dump(trained))
    return trained


def dump(net: nn.Module) -> bytes:
    """The weights of a module as safetensors."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()})
