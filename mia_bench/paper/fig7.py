"""Fig. 7: the criterion C against the cosine of the estimated gradient g to the true one, over sigma^2 and steps."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor

from ..bench.laboratory import Laboratory, OnWork
from ..bench.oracle import open_oracle
from ..files import write_atomic
from ..plugin import Engine, Generator, ModuleRecogniser, Oracle, Trials, alpha, criterion, gradient, scores_of
from ..plugin.access import Access
from ..plugin.errors import RequestError
from ..report.canvas import load_matplotlib, save
from .study import WHITE_BOX, Study

SIGMA2 = tuple(float(f"{10**exponent:.3g}") for exponent in np.arange(-4, 0.1, 0.5))
"""The paper's range [1e-4, 1], two a decade."""
STEPS = (0, 1, 2, 5, 10, 20, 50)
"""Steps of the descent at which it is measured."""
M = 64
ALPHA_MAX, STEP, STOP = 100.0, 0.1, 0.99
"""The paper's descent: alpha = min(100, 0.1 / ||g||), until the score exceeds 0.99."""
FLOOR = 1e-9
"""A score below this counts as this, as in ``bb``."""
CLOSE_C, CLOSE_COSINE = 0.1, 0.8
"""The paper: C < 0.1 goes with a cosine above 0.8, which was enough for the attack."""


@dataclass(frozen=True)
class Point:
    """One estimate of one trial."""

    generator: str
    identity: str
    trial: int
    step: int
    sigma2: float
    C: float
    """Criterion (Eq. 17), 0..1."""
    cosine: float
    """Of g (Eq. 14) to the true gradient of L."""


@dataclass(frozen=True)
class Summary:
    """What the paper reads off the figure."""

    spearman: float
    """Rank correlation of C and cosine."""
    close: int
    """Points with C < 0.1."""
    share: float
    """Of those, the share with a cosine above 0.8."""


def measure(study: Study, on_work: OnWork) -> list[Point]:
    """The points of a study's trials with each generator of its protocol; ``on_work`` hears of the progress."""
    settings = study.cells(WHITE_BOX)[0].settings
    fold = settings.folds[0]
    lab = Laboratory(study.protocol, Engine.on(settings.device), on_work)
    people = lab.split(fold).targets[: settings.identities]
    target = lab.target(fold, settings.target)
    assert isinstance(target, ModuleRecogniser), "the paper's own target has weights"
    found: list[Point] = []
    for name in study.protocol.generators:
        trials = lab.trials(fold, name, people, settings.trials, settings.seed)
        watched = partial(on_work, f"fig7 {name}")
        of_generator = _descend(target, name, lab.generator(fold, name), trials, people, watched)
        if not of_generator:
            raise RequestError(f"every trial with generator {name} starts above the stop of {STOP}: nothing to measure")
        found += of_generator
    return found


def _descend(
    target: ModuleRecogniser,
    name: str,
    generator: Generator,
    trials: Trials,
    people: Sequence[str],
    on_step: Callable[[int, int], None],
) -> list[Point]:
    """The points of all trials along the true gradient's descent; one that has reached the stop gives no more.

    Costs M * len(SIGMA2) queries a measured step and trial.
    """
    each = len(trials) // len(people)
    budget = (STEPS[-1] + 1) + len(STEPS) * (M * len(SIGMA2) + 1)
    oracle, _ = open_oracle(
        [target],
        target.logits,
        access=Access.WHITE_BOX,
        leaves=Access.SCORES,
        replicate=torch.zeros(len(trials), dtype=torch.int64),
        budgets=(budget,),
        image=(trials.public.images.shape[-2], trials.public.images.shape[-1]),
    )
    z, active = trials.z0.clone(), torch.arange(len(trials))
    found: list[Point] = []
    for step in range(STEPS[-1] + 1):
        on_step(step + 1, STEPS[-1] + 1)
        L, g_true = _true(oracle, generator, trials, z, active)
        going = (-L).exp() <= STOP
        active, L, g_true = active[going.cpu()], L[going], g_true[going]
        if not len(active):
            on_step(STEPS[-1] + 1, STEPS[-1] + 1)
            break
        if step in STEPS:
            with torch.inference_mode():
                for sigma2 in SIGMA2:
                    C, cosine = _estimate(oracle, generator, trials, z, active, L, g_true, sigma2)
                    values = zip(active.tolist(), C.tolist(), cosine.tolist(), strict=True)
                    found += [
                        Point(name, people[trial // each], int(trials.replicate[trial]), step, sigma2, c, cos)
                        for trial, c, cos in values
                    ]
        z[active] -= alpha(g_true, ALPHA_MAX, STEP) * g_true
    return found


def _true(oracle: Oracle, generator: Generator, trials: Trials, z: Tensor, of: Tensor) -> tuple[Tensor, Tensor]:
    """L (of,), as the black-box attack reads it off the score, and dL/dz (of, m) by the chain rule (Eq. 8)."""
    z_of = z[of].requires_grad_()
    L = F.cross_entropy(oracle.logits(generator.decode(z_of), of), trials.labels[of], reduction="none")
    (g,) = torch.autograd.grad(L.sum(), z_of)
    return _loss((-L.detach()).exp()), g


def _loss(y_n: Tensor) -> Tensor:
    """L = -log y_n (Eq. 2-4), finite where a score is 0."""
    return -y_n.clamp(min=FLOOR).log()


def _estimate(
    oracle: Oracle,
    generator: Generator,
    trials: Trials,
    z: Tensor,
    of: Tensor,
    L: Tensor,
    g_true: Tensor,
    sigma2: float,
) -> tuple[Tensor, Tensor]:
    """C and the cosine of g to the true gradient, (of,) each, from M perturbations drawn as ``bb`` draws them."""
    E = trials.streams.randn(of, M, generator.latent) * sigma2**0.5
    owner = of.repeat_interleave(M)
    y = scores_of(oracle, generator, (z[of].unsqueeze(1) + E).flatten(0, 1), owner)
    y_n = y.gather(1, trials.labels[owner].unsqueeze(1)).view(-1, M)
    s = _loss(y_n) - L.unsqueeze(1)
    g = gradient(E, s)
    return criterion(E, s, g), F.cosine_similarity(g, g_true)


def summary(points: Sequence[Point]) -> Summary:
    """The figures of some points; those of one generator, say."""
    C, cosine = np.array([point.C for point in points]), np.array([point.cosine for point in points])
    close = C < CLOSE_C
    return Summary(
        spearman=float(spearmanr(C, cosine).statistic),
        close=int(close.sum()),
        share=float((cosine[close] > CLOSE_COSINE).mean()) if close.any() else float("nan"),
    )


def write_csv(points: Sequence[Point], file: Path) -> None:
    """The data of the figure."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Point)], lineterminator="\n")
    writer.writeheader()
    for point in points:
        writer.writerow(asdict(point) | {"C": f"{point.C:.6g}", "cosine": f"{point.cosine:.6g}"})
    write_atomic(file, text.getvalue().encode())


def draw(points: Sequence[Point], folder: Path) -> list[Path]:
    """fig7.png and fig7.svg: a panel for each generator, darker for a larger sigma^2.

    RequestError where matplotlib is not installed.
    """
    load_matplotlib()
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(point.generator for point in points))
    figure = Figure(figsize=(4.4 * len(names) + 1, 4.2), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    norm = LogNorm(SIGMA2[0], SIGMA2[-1])
    for panel, name in zip(panels, names, strict=True):
        own = [point for point in points if point.generator == name]
        found = summary(own)
        shown = panel.scatter(
            [point.C for point in own],
            [point.cosine for point in own],
            c=[point.sigma2 for point in own],
            norm=norm,
            cmap="viridis_r",
            s=6,
            alpha=0.6,
            linewidths=0,
            rasterized=True,
        )
        panel.axvline(CLOSE_C, color="0.4", lw=0.8, ls="--")
        panel.axhline(CLOSE_COSINE, color="0.4", lw=0.8, ls="--")
        panel.set_title(f"D = {name}: rank correlation {found.spearman:.2f}")
        panel.set_xlabel("criterion C")
        panel.set_xlim(-0.02, 1.02)
    panels[0].set_ylabel("cosine of g to the true gradient")
    figure.colorbar(shown, ax=list(panels), label="sigma$^2$")
    return save(figure, folder, "fig7")
