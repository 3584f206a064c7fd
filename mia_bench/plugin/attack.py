"""What an attack is given, what it returns, and the base class of all of them."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .access import Access
from .component import Component
from .errors import ComponentError
from .generator import Generator
from .oracle import Oracle
from .photos import Photos
from .seeds import Streams


@dataclass(frozen=True)
class Trials:
    """T independent trials, to be attacked as one batch.

    Nothing here depends on the defense, so every defense meets the same trials.
    """

    labels: Tensor
    """(T,) int64: the target's class that each trial reconstructs."""
    z0: Tensor
    """(T, m) float32: seeds, the mean encoding of random Q1 photos, fresh for each trial (section V-A)."""
    public: Photos
    """Q1, the attacker's own photos."""
    replicate: Tensor
    """(T,) int64: which repetition of the whole experiment a trial belongs to."""
    streams: Streams
    """Each trial's own random stream; the only source of randomness an attack may use."""

    def replicates(self) -> list[Tensor]:
        """The trials (n,) int64 of each repetition, one of every identity.

        An attacker of many identities may use an answer for all of them: queries can be shared within a repetition,
        each image charged to one of its trials in turn. Not between repetitions, which only serve our statistics.
        """
        return [torch.nonzero(self.replicate == number).squeeze(1) for number in torch.unique(self.replicate)]

    def copied(self) -> "Trials":
        """The same trials in memory of their own, with streams at their beginning: an attack may do with them what it
        likes."""
        labels, z0, replicate = self.labels.clone(), self.z0.clone(), self.replicate.clone()
        return Trials(labels, z0, self.public.copied(), replicate, self.streams.fresh())

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Reconstructions:
    """What an attack hands in, one row a trial."""

    images: Tensor
    """(T, 1, H, W) float32 in [0, 1]."""
    converged: Tensor
    """(T,) bool: by what the target told it the attack has succeeded, rather than spent its budget or patience."""


class Attack(Component):
    """One way to reconstruct faces; subclasses give ``run`` and the access they need."""

    access: ClassVar[Access] = Access.SCORES
    adversarial: ClassVar[bool] = False
    """True if it needs an ``AdversarialGenerator``: one with a critic."""
    transfer: ClassVar[bool] = False
    """True if what is attacked is a copy made from the target's answers."""

    def check(self, latent: int) -> None:
        """Raise ValueError, with the mend, if its parameters make no sense for a generator of this many dimensions."""

    @abstractmethod
    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        """Attack all trials at once, through the oracle alone. A trial whose budget is spent ends where it is."""


def scores_of(oracle: Oracle, generator: Generator, z: Tensor, owner: Tensor, phase: str = "search") -> Tensor:
    """``oracle.scores(generator.decode(z), owner, phase)`` for z (B, m), a micro-batch at a time.

    An image is then asked about while it is still in cache: 6% faster than decoding all of them first.
    """
    pieces = zip(torch.split(z, generator.micro_batch), torch.split(owner, generator.micro_batch), strict=True)
    return torch.cat([oracle.scores(generator.decode(piece), own, phase) for piece, own in pieces])


def checked(result: object, trials: Trials, image: tuple[int, int], attack: Attack) -> Reconstructions:
    """The attack's answer, or ComponentError naming it and what is wrong."""
    if not isinstance(result, Reconstructions):
        raise ComponentError(f"attack {attack.spec} returned {type(result).__name__}, not Reconstructions")
    images, converged = result.images, result.converged
    problem = not_images(images, (len(trials), 1, *image), 0.0)
    if problem:
        raise ComponentError(f"attack {attack.spec} returned {problem}")
    if type(converged) is not Tensor or converged.dtype != torch.bool or tuple(converged.shape) != (len(trials),):
        said = f"{converged.dtype} {tuple(converged.shape)}" if isinstance(converged, Tensor) else repr(converged)
        raise ComponentError(f"attack {attack.spec} returned converged {said}, expected bool ({len(trials)},)")
    return Reconstructions(images.detach(), converged)


def not_images(images: object, shape: tuple[int, ...], tolerance: float) -> str:
    """What keeps these from being plain float32 images in [0, 1] of this shape, or ''."""
    if type(images) is not Tensor:
        return f"{type(images).__name__} for images, not a plain torch.Tensor"
    if images.dtype != torch.float32:
        return f"images of {images.dtype}, expected torch.float32"
    if tuple(images.shape) != shape:
        return f"images {tuple(images.shape)}, expected {shape}"
    if images.numel():
        low, high = (float(end) for end in images.detach().aminmax())
        if not (-tolerance <= low and high <= 1 + tolerance):  # written so that NaN fails
            return f"image values outside [0, 1] ({low:.3g} to {high:.3g})"
    return ""
