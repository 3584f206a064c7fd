"""A copy of the target, made from its answers and attacked in its place.

The copy and its rounds of questions are Papernot et al. 2017, "Practical Black-Box Attacks against Machine Learning";
model inversion through copies made from labels is Nguyen et al. 2023, "Label-Only Model Inversion Attacks via Knowledge
Transfer". Ours copies once for all identities, learns from withheld scores too, and climbs under random crops.
"""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from mia_bench.plugin import REFUSED, Access, Attack, Generator, Oracle, Reconstructions, Trials

from ._crops import cropped
from ._prior import drawn


class Surrogate(Attack):
    """A small network, the student, learns the target's answers; it is attacked white-box; its finds are asked about.

    All identities of a repetition share one student and its queries. The first round asks about faces drawn like Q1's,
    each later one about the neighbourhood of what the student proposes. The last proposals are the answer.
    Withheld scores are read as censored: they have what the released ones leave of 1 between them, and none is above
    the lowest released; scores that rounding took to 0 likewise. Other rounding, and noise, average out over the
    answers that the student learns from. A refused image teaches nothing. As nobody asks about the last proposals, no
    trial counts as converged.
    """

    name = "surrogate"
    transfer: ClassVar[bool] = True

    queries: Annotated[int, Field(ge=1)] = 1500
    """Images sent for each identity, at most."""
    first: Annotated[int, Field(ge=1)] = 50
    """Of them in the first round; each later one doubles their sum, or ends at a budget at which attacks are judged."""
    prior: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of a later round that is drawn like Q1's faces again: the student must not forget everybody else."""
    near: Annotated[float, Field(gt=0)] = 0.6
    """Size of a neighbourhood, in standard deviations of Q1's codes."""
    crop: Annotated[float, Field(ge=0, lt=0.25)] = 0.05
    """Share of the image by which climbing crops faces at random; queries and the choice among finds, twice that."""

    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field((16, 32, 64), min_length=1)
    """The student's channels, each at half the resolution of the one before."""
    steps: Annotated[int, Field(ge=1)] = 100
    """Training steps a round, half of each batch from the round's own answers."""
    batch: Annotated[int, Field(ge=2)] = 128
    rate: Annotated[float, Field(gt=0)] = 2e-3
    decay: Annotated[float, Field(ge=0)] = 1e-2
    memory: Annotated[int, Field(ge=0)] = 30_000
    """Answers of earlier rounds that are kept, at most."""

    starts: Annotated[int, Field(ge=1)] = 3
    climbs: Annotated[int, Field(ge=1)] = 30
    """Steps from each start on the student's gradient."""
    step: Annotated[float, Field(gt=0)] = 0.2
    """Of Adam, in standard deviations of Q1's codes; it shrinks to a tenth."""
    pull: Annotated[float, Field(ge=0)] = 0.02
    """Weight of the squared distance to the mean of Q1's codes: what the student likes stays a face."""

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        images = generator.decode(trials.z0)
        codes = generator.encode(trials.public.images)
        for replicate in trials.replicates():
            copy = _Copy(self, generator, codes, trials.labels[replicate], trials.streams.of(int(replicate[0])))
            spent = 0
            for end in self._rounds(oracle.budgets):
                z, x = copy.questions(end - spent)
                owner = replicate.repeat(end - spent)
                y = self._answers(oracle, x, owner, trials, "search" if spent else "screening")
                if bool((told := ~y.isnan().all(1)).any()):
                    copy.learn(z[told], x[told], y[told])
                    images[replicate] = generator.decode(copy.climb())
                    oracle.offer(images[replicate], replicate)
                spent = end
            oracle.finish(replicate)
        return Reconstructions(images, torch.zeros(len(trials), dtype=torch.bool))

    def _rounds(self, budgets: tuple[int, ...]) -> list[int]:
        """Images sent for each identity by the end of each round."""
        most = min(self.queries, budgets[-1])
        doubled = [self.first * 2**k for k in range(most.bit_length())]
        return sorted({most, *(end for end in (*doubled, *budgets) if end < most)})

    def _answers(self, oracle: Oracle, x: Tensor, owner: Tensor, trials: Trials, phase: str) -> Tensor:
        """What is released for images (B, 1, H, W): (B, classes), NaN where withheld."""
        return oracle.scores(x, owner, phase)


class SurrogateLabel(Surrogate):
    """The student learns from labels alone: a label says that its class has all of 1.

    Runs wherever anything is released. Scores, withheld, rounded or noisy, are not looked at.
    """

    name = "surrogate-label"
    access = Access.LABEL_ONLY

    def _answers(self, oracle: Oracle, x: Tensor, owner: Tensor, trials: Trials, phase: str) -> Tensor:
        labels = oracle.labels(x, owner, phase).unsqueeze(1)
        beyond = int(trials.labels.max()) + 1  # nobody says how many classes there are: the rest is one
        y = torch.full((len(x), beyond + 1), torch.nan, device=x.device)
        return y.scatter(1, labels.clamp(0, beyond), 1.0).masked_fill(labels == REFUSED, torch.nan)


class _Copy:
    """The student of one repetition, the answers it learns from, and the faces it takes for its people's."""

    def __init__(
        self, by: Surrogate, generator: Generator, codes: Tensor, labels: Tensor, draw: torch.Generator
    ) -> None:
        self._by, self._generator, self._codes, self._labels, self._draw = by, generator, codes, labels, draw
        self._mean, self._spread = codes.mean(0), codes.std(0)
        self._found: Tensor | None = None
        """Latents (identities, k, m), each identity's best first; None before there is a student."""

    def questions(self, each: int) -> tuple[Tensor, Tensor]:
        """What to ask next, ``each`` for each identity: latents (B, m) and their faces (B, 1, H, W), cropped."""
        people = len(self._labels)
        around = 0 if self._found is None else each - int(self._by.prior * each)
        z = drawn(self._codes, (each - around) * people, self._draw)
        if self._found is not None:
            chosen = torch.randint(self._found.shape[1], (around, people), generator=self._draw)
            centres = self._found[torch.arange(people), chosen].flatten(0, 1)
            size = self._by.near * torch.rand(len(centres), 1, generator=self._draw)
            moved = size * torch.randn(centres.shape, generator=self._draw)
            z = torch.cat([z, centres + self._spread * moved.to(z.device)])
        return z, self._cropped(self._generator.decode(z), 2 * self._by.crop)

    def learn(self, z: Tensor, x: Tensor, y: Tensor) -> None:
        """Go on training, with answers (B, classes) about faces x (B, 1, H, W) of latents z (B, m) besides."""
        if self._found is None:
            self._seen = (z, x, y)
            self._student = _student(x, y.shape[1], self._by.widths, self._draw)
            self._optimiser = torch.optim.AdamW(self._student.parameters(), self._by.rate, weight_decay=self._by.decay)
        else:
            kept = torch.randperm(len(self._seen[0]), generator=self._draw)[: self._by.memory].to(z.device)
            old_z, old_x, old_y = (old[kept] for old in self._seen)
            self._seen = (torch.cat([old_z, z]), torch.cat([old_x, x]), torch.cat([old_y, y]))
        _, faces, answers = self._seen
        fresh, older = self._by.batch // 2, self._by.batch - self._by.batch // 2
        self._student.train()
        for step in range(self._by.steps):
            late = len(faces) - 1 - torch.randint(len(x), (fresh,), generator=self._draw)
            chosen = torch.cat([torch.randint(len(faces), (older,), generator=self._draw), late]).to(x.device)
            for group in self._optimiser.param_groups:
                group["lr"] = self._by.rate * (1 - step / self._by.steps)
            self._optimiser.zero_grad()
            surprise(self._student(faces[chosen]), answers[chosen]).mean().backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
        self._student.eval()

    def climb(self) -> Tensor:
        """Each identity's best latent (identities, m) by the student's gradient, from the likeliest seen and the last
        best."""
        z = ((self._starts() - self._mean) / self._spread).clamp(-3, 3)
        optimiser = torch.optim.Adam([z.requires_grad_()], self._by.step, betas=(0.9, 0.99))
        for step in range(self._by.climbs):
            for group in optimiser.param_groups:
                group["lr"] = self._by.step * (1 - 0.9 * step / self._by.climbs)
            gain = self._odds(z, self._by.crop) - self._by.pull * z.square().sum(2) / 2
            (z.grad,) = torch.autograd.grad(-gain.sum(), z)
            optimiser.step()
        with torch.no_grad():
            odds = torch.stack([self._odds(z, 2 * self._by.crop) for _ in range(8)]).mean(0)
            order = (odds - self._by.pull * z.square().sum(2) / 2).argsort(1, descending=True)
            found = (self._mean + self._spread * z).gather(1, order.unsqueeze(2).expand_as(z))
        self._found = found
        return found[:, 0]

    def _starts(self) -> Tensor:
        """Latents (identities, k, m): the likeliest of some that were asked about, and the last best."""
        z, faces, _ = self._seen
        some = torch.randperm(len(z), generator=self._draw)[:2048].to(z.device)
        with torch.no_grad():
            scores = self._student(faces[some]).log_softmax(1)
        likeliest = scores[:, self._labels].topk(min(self._by.starts, len(some)), dim=0).indices.T
        starts = z[some][likeliest]
        return starts if self._found is None else torch.cat([self._found[:, :1], starts[:, : self._by.starts - 1]], 1)

    def _odds(self, z: Tensor, crop: float) -> Tensor:
        """The student's log odds (identities, k) of each identity for its latents (identities, k, m) in spreads."""
        x = self._cropped(self._generator.decode((self._mean + self._spread * z).flatten(0, 1)), crop)
        own = self._labels.repeat_interleave(z.shape[1]).unsqueeze(1)
        logits: Tensor = self._student(x)
        others = logits.scatter(1, own, -torch.inf).logsumexp(1)
        return (logits.gather(1, own).squeeze(1) - others).view(z.shape[:2])

    def _cropped(self, x: Tensor, share: float) -> Tensor:
        by = (torch.randn(len(x), 3, generator=self._draw) / 2).clamp(-1, 1) * share
        return cropped(x, by.to(x.device))


def surprise(logits: Tensor, y: Tensor, least: float = 1e-3) -> Tensor:
    """How badly logits (B, classes) explain released scores y, as censored observations: (B,).

    Cross-entropy in which withheld scores, and those that rounding took to 0, are one outcome that has the mass left
    over; and where a withheld one is above the lowest released (or ``least``), by how much in logarithms.
    """
    p = logits.log_softmax(1)
    hidden = y.isnan() | (y == 0)
    shown = y.masked_fill(hidden, 0.0)
    left = (1 - shown.sum(1)).clamp(min=0)
    together = p.masked_fill(~hidden, -1e4).logsumexp(1)
    lowest = y.masked_fill(hidden, torch.inf).amin(1, keepdim=True).clamp(min=least)
    above = (p - lowest.log()).clamp(min=0).masked_fill(~hidden, 0.0).amax(1)
    return above - (shown * p).sum(1) - left * together


def _student(x: Tensor, classes: int, widths: tuple[int, ...], draw: torch.Generator) -> nn.Module:
    """Images like x (B, 1, H, W) -> logits (B, classes); initialised from ``draw``, torch's generator left alone."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=draw)))
        layers: list[nn.Module] = []
        channels, (height, width) = x.shape[1], x.shape[2:]
        for wider in widths:
            layers += [nn.Conv2d(channels, wider, 3, 2, 1, bias=False), nn.BatchNorm2d(wider), nn.LeakyReLU(0.2)]
            channels, height, width = wider, -(-height // 2), -(-width // 2)
        layers += [nn.Flatten(), nn.Linear(channels * height * width, 128), nn.LeakyReLU(0.2), nn.Linear(128, classes)]
    return nn.Sequential(*layers).to(x.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
