"""The generators that a protocol can name."""

import torch

from mia_bench.networks import gan, generators
from mia_bench.plugin import AdversarialGenerator


def test_a_gan_is_trained_by_its_recipe_and_seed_alone(lab):
    recipe = lab.protocol.generators["gan"].model_copy(update={"steps": 6, "encoder_steps": 4})
    state = torch.random.get_rng_state()
    nets = [gan.train(lab.split("A").q1, recipe, 5, torch.device("cpu"), lambda done, steps: None) for _ in range(2)]
    assert torch.equal(state, torch.random.get_rng_state()), "the global generator is left as it was"
    first, second = (net.state_dict() for net in nets)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.isfinite(tensor).all() for tensor in first.values())
    with torch.random.fork_rng():
        torch.manual_seed(5)
        untrained = generators.untrained(recipe, (32, 32)).state_dict()
    for part in ("decoder", "critic", "encoder"):
        assert any(not torch.equal(first[name], untrained[name]) for name in first if name.startswith(part))


def test_the_pinned_gan_makes_faces_that_its_critic_takes_for_photos(lab):
    generator = lab.generator("A", "gan")
    assert isinstance(generator, AdversarialGenerator)
    assert not isinstance(lab.generator("A", "vae"), AdversarialGenerator)
    photos = lab.split("A").q1.images
    with torch.inference_mode():
        made = generator.decode(torch.randn(200, generator.latent, generator=torch.Generator().manual_seed(0)))
        noise = torch.rand(200, 1, 32, 32, generator=torch.Generator().manual_seed(0))
        assert float(made.std(0).mean()) > 0.8 * float(photos.std(0).mean()), "not one face only"
        assert float(generator.realism(made).mean()) > float(generator.realism(noise).mean())
        again = generator.decode(generator.encode(photos))
    assert float((again - photos).square().mean().sqrt()) < 0.12
