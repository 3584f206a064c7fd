"""What an attacker of any kind knows of faces before asking: Q1's codes, and latents drawn like them."""

import torch
from torch import Tensor

from mia_bench.plugin import Generator, Oracle, Trials, scores_of, top_label

from ._loss import log_scores, margin


def drawn(codes: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Latents (count, m), Gaussian around Q1's codes (n, m): their mean and each dimension's spread."""
    spread = torch.randn(count, codes.shape[1], generator=draw).to(codes.device)
    return codes.mean(0) + codes.std(0) * spread


def screened(
    oracle: Oracle, generator: Generator, trials: Trials, codes: Tensor, each: int, best: int, floor: Tensor
) -> Tensor:
    """A start (T, m) for each trial: the mean of the ``best`` draws that its class does best on in its repetition's
    pool, to which each trial adds ``each`` images, no more than a fifth of the budget.

    A trial whose label no answer had goes on by itself up to that fifth. Scores are known to ``floor`` (T,).
    """
    z = trials.z0.clone()
    most = oracle.budget // 5
    for replicate in trials.replicates():
        draw = trials.streams.of(int(replicate[0]))
        lost, pool, answers = replicate, z[:0], []
        while each and len(lost) and int(oracle.remaining()[lost].min()) >= oracle.budget - most + each:
            owner = lost.repeat(each)
            points = drawn(codes, len(owner), draw)
            answers.append(scores_of(oracle, generator, points, owner, "screening"))
            pool = torch.cat([pool, points])
            shown = top_label(torch.cat(answers))
            lost = replicate[~torch.isin(trials.labels[replicate], shown).cpu()]
        if answers:
            y = torch.cat(answers)
            own = zip(trials.labels[replicate], floor[replicate], strict=True)
            L = torch.stack([margin(log_scores(y, known), label.expand(len(y))) for label, known in own])
            z[replicate] = pool[L.topk(min(best, len(pool)), largest=False).indices].mean(1)
    return z
