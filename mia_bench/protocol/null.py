"""The null control's photos: Q2 with another person's photos in each target's place, under the target's name."""

import torch
from torch import Tensor

from ..plugin.photos import Photos
from .split import Split


def photos(split: Split) -> tuple[Photos, Photos]:
    """(What R_tar is trained on for the null control, unseen photos of the same people).

    The stand-ins are the people of Q1 with the most photos, whom neither R_tar nor R_eval knows, with at most as many
    photos as the target had, and at most 4/5 of their own. Where Q1 has fewer people than there are targets, each
    target stands in for the one before.
    """
    kept, unseen = [], []
    own = _rows_by_person(split.q1)
    most = sorted(own, key=lambda person: (-len(own[person]), person))[: len(split.targets)]
    before, after = _rows_by_person(split.q2), _rows_by_person(split.q2_test)
    for person in split.q2.people:
        if person not in split.targets:
            kept.append(_named(split.q2, before[person], split.q2, person))
            unseen.append(_named(split.q2_test, after[person], split.q2, person))
            continue
        place = split.targets.index(person)
        if len(most) == len(split.targets):
            rows = own[most[place]]
            count = min(len(before[person]), max(1, len(rows) * 4 // 5))
            kept.append(_named(split.q1, rows[:count], split.q2, person))
            unseen.append(_named(split.q1, rows[count:], split.q2, person))
        else:
            other = split.targets[(place + 1) % len(split.targets)]
            kept.append(_named(split.q2, before[other], split.q2, person))
            unseen.append(_named(split.q2_test, after[other], split.q2, person))
    return _joined(kept), _joined(unseen)


def _rows_by_person(of: Photos) -> dict[str, Tensor]:
    return {person: (of.labels == label).nonzero().squeeze(1) for label, person in enumerate(of.people)}


def _named(of: Photos, rows: Tensor, like: Photos, person: str) -> Photos:
    """Some photos as the person's, among the people of ``like``."""
    chosen = of.take(rows)
    return Photos(chosen.images, torch.full((len(rows),), like.people.index(person)), like.people, chosen.hashes)


def _joined(parts: list[Photos]) -> Photos:
    return Photos(
        torch.cat([part.images for part in parts]),
        torch.cat([part.labels for part in parts]),
        parts[0].people,
        tuple(digest for part in parts for digest in part.hashes),
    )
