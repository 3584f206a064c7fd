"""Eq. 14, 16 and 17 of the paper."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mia_bench.plugin import criterion, gradient

sizes = st.tuples(st.integers(1, 4), st.integers(2, 12), st.integers(0, 30), st.integers(0, 2**31))


def draw(trials, m, extra, seed):
    rng = torch.Generator().manual_seed(seed)
    E = torch.randn(trials, m + extra, m, generator=rng, dtype=torch.float64)
    return E, rng


@given(sizes)
@settings(max_examples=60, deadline=None)
def test_gradient_is_exact_on_linear_losses(size):
    E, rng = draw(*size)
    true = torch.randn(size[0], size[1], generator=rng, dtype=torch.float64)
    s = (E @ true.unsqueeze(-1)).squeeze(-1)
    found = gradient(E, s)
    assert torch.allclose(found, true, rtol=1e-5, atol=1e-5 * float(torch.linalg.cond(E).max()) ** 0.5)


@given(sizes)
@settings(max_examples=60, deadline=None)
def test_both_forms_of_eq_16_agree_and_c_is_a_share(size):
    trials, m, extra, seed = size
    E, rng = draw(trials, m, extra + 1, seed)
    s = torch.randn(E.shape[:2], generator=rng, dtype=torch.float64)
    C = criterion(E, s, gradient(E, s))
    projector = E @ torch.linalg.inv(E.mT @ E) @ E.mT
    rest = torch.eye(E.shape[1], dtype=torch.float64) - projector
    second = (s.unsqueeze(1) @ rest @ s.unsqueeze(-1)).flatten() / (s * s).sum(1)
    assert torch.allclose(C, second, atol=1e-6)
    assert bool(((C >= 0) & (C <= 1)).all())


def test_c_is_one_where_nothing_was_learnt():
    E = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(0))
    s = torch.zeros(2, 8)
    assert criterion(E, s, gradient(E, s)).tolist() == [1.0, 1.0]


def test_c_grows_with_the_perturbation_on_the_real_target(lab):
    """Fig. 7's tendency: the larger sigma^2, the larger C and the further g is from the true gradient."""
    import torch.nn.functional as F

    from mia_bench.networks.lesson import Role
    from mia_bench.plugin import ModuleRecogniser

    split = lab.split("A")
    trials = lab.trials("A", "vae", split.targets[:5], 2, seed=0)
    generator, target = lab.generator("A", "vae"), lab.trained(Role("target"), "A")
    recogniser = ModuleRecogniser(target, lab.engine)

    def loss(z, labels):
        return F.cross_entropy(recogniser.logits(generator.decode(z)), labels, reduction="none")

    z = trials.z0.clone().requires_grad_()
    base = loss(z, trials.labels)
    (true,) = torch.autograd.grad(base.sum(), z)
    seen = []
    for sigma2 in (1e-4, 1e-2, 1.0):
        E = trials.streams.randn(torch.arange(10), 64, 32) * sigma2**0.5
        points = (trials.z0.unsqueeze(1) + E).flatten(0, 1)
        s = loss(points, trials.labels.repeat_interleave(64)).view(10, 64) - base.detach().unsqueeze(1)
        g = gradient(E, s)
        seen.append((float(criterion(E, s, g).mean()), float(F.cosine_similarity(g, true).mean())))
    assert seen[0][0] < seen[1][0] < seen[2][0]
    assert seen[0][1] > seen[1][1] > seen[2][1]
    assert seen[0][1] > 0.95
