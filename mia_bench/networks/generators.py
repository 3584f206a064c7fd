"""The kinds of generator that a protocol can name, and what each is made of."""

import torch
from torch import nn

from ..plugin.engine import Engine
from ..plugin.generator import Generator
from ..plugin.photos import Photos
from ..protocol.model import EigenfaceRecipe, GANRecipe, GeneratorRecipe
from . import eigenface, gan, vae
from .training import Progress


def untrained(recipe: GeneratorRecipe, image: tuple[int, int]) -> nn.Module:
    """The network of a recipe for images of this height and width."""
    if isinstance(recipe, EigenfaceRecipe):
        return eigenface.Eigenfaces(recipe.latent, image)
    return gan.GAN(image, recipe) if isinstance(recipe, GANRecipe) else vae.VAE(image, recipe)


def train(photos: Photos, recipe: GeneratorRecipe, seed: int, device: torch.device, progress: Progress) -> nn.Module:
    """The network of a recipe, trained on Q1."""
    if isinstance(recipe, EigenfaceRecipe):
        return eigenface.made(recipe, photos, (photos.images.shape[-2], photos.images.shape[-1]))
    if isinstance(recipe, GANRecipe):
        return gan.train(photos, recipe, seed, device, progress)
    return vae.train(photos, recipe, seed, device, progress)


def ready(net: nn.Module, recipe: GeneratorRecipe, engine: Engine) -> Generator:
    """A trained network as an attacker uses it."""
    if isinstance(net, gan.GAN):
        return gan.GANGenerator(net, recipe.latent, engine)
    return vae.CodedGenerator(net, recipe.latent, engine)
