"""D as the generator of a GAN (the paper's second choice, section V and Fig. 7), with an encoder fitted afterwards."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from ..plugin.engine import Engine
from ..plugin.photos import Photos
from ..protocol.model import GANRecipe
from . import training
from .nets import Critic, Decoder, Encoder
from .vae import CodedGenerator

BETAS = (0.5, 0.9)
"""Adam's."""
PENALTY_EVERY = 4
"""Steps between R1 penalties."""
CALIBRATION_BATCHES = 50


class GAN(nn.Module):
    """D as ``decoder``, its critic (discriminator), and an encoder from images back to latents."""

    def __init__(self, image: tuple[int, int], recipe: GANRecipe) -> None:
        super().__init__()
        self.decoder = Decoder(image, recipe.latent, recipe.widths)
        self.critic = Critic(image, recipe.widths)
        self.encoder = Encoder(image, recipe.latent, recipe.widths)


class GANGenerator(CodedGenerator):
    """A GAN's D, encoder and critic as an attacker uses them (an ``AdversarialGenerator``)."""

    def __init__(self, net: GAN, latent: int, engine: Engine) -> None:
        super().__init__(net, latent, engine)
        self._critic = engine.ready(net.critic)

    def realism(self, images: Tensor) -> Tensor:
        """The critic's logits (B,) for images (B, 1, H, W), differentiable: the higher, the more like a photo."""
        return self._engine.map(self._critic, images)


def train(photos: Photos, recipe: GANRecipe, seed: int, device: torch.device, progress: training.Progress) -> GAN:
    """First D against the critic, then the encoder against D."""
    with training.seeded(seed):
        height, width = photos.images.shape[-2:]
        net = GAN((height, width), recipe).to(device)
        steps = recipe.steps + recipe.encoder_steps
        _play(net, photos, recipe, lambda done, _: progress(done, steps))
        net.decoder.eval().requires_grad_(False)

        def loss(images: Tensor, labels: Tensor) -> Tensor:
            """Latents back from made faces, and real photos back through D."""
            z = torch.randn(len(images), recipe.latent, device=device)
            recovered, decoded = net.encoder(net.decoder(z))[0], net.decoder(net.encoder(images)[0])
            return F.mse_loss(recovered, z) + recipe.latent * F.mse_loss(decoded, images)

        fitting = recipe.model_copy(
            update={"steps": recipe.encoder_steps, "learning_rate": recipe.encoder_learning_rate}
        )
        training.fit(net.encoder, loss, photos, fitting, device, lambda done, _: progress(recipe.steps + done, steps))
    return net.requires_grad_(True).eval()


def _play(net: GAN, photos: Photos, recipe: GANRecipe, progress: training.Progress) -> None:
    """Logistic losses with R1 (Mescheder et al. 2018), asked for at every fourth step (Karras et al. 2020), both sides
    augmented (Zhao et al. 2020: the critic would learn few photos by heart), D averaged over the steps."""
    net.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    images = photos.images.to(next(net.parameters()).device)
    made_by = torch.optim.Adam(net.decoder.parameters(), recipe.learning_rate, BETAS)
    judged_by = torch.optim.Adam(net.critic.parameters(), recipe.critic_learning_rate, BETAS)
    averaged = AveragedModel(net.decoder, multi_avg_fn=get_ema_multi_avg_fn(recipe.average))  # type: ignore[no-untyped-call]

    def faces() -> Tensor:
        z = torch.randn(recipe.batch, recipe.latent, device=images.device)
        return training.augment(net.decoder(z), recipe.augment)

    for step in range(recipe.steps):
        penalised = step % PENALTY_EVERY == 0
        real = training.augment(images[torch.randint(len(images), (recipe.batch,))], recipe.augment)
        with torch.no_grad():
            made = faces()
        judged_by.zero_grad()
        of_real = net.critic(real.requires_grad_(penalised))
        loss = F.softplus(-of_real).mean() + F.softplus(net.critic(made)).mean()
        if penalised:
            (slope,) = torch.autograd.grad(of_real.sum(), real, create_graph=True)
            loss = loss + PENALTY_EVERY * recipe.penalty / 2 * slope.square().flatten(1).sum(1).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        judged_by.step()
        made_by.zero_grad()
        F.softplus(-net.critic(faces())).mean().backward()  # type: ignore[no-untyped-call]
        made_by.step()
        averaged.update_parameters(net.decoder)
        progress(step + 1, recipe.steps)

    latents = [torch.randn(recipe.batch, recipe.latent, device=images.device) for _ in range(CALIBRATION_BATCHES)]
    update_bn(latents, averaged)  # the averaged weights have other activations than any that trained
    net.decoder.load_state_dict(averaged.module.state_dict())
