"""Reasons to suspect that a defense hides the leak rather than closes it (gradient masking: Athalye et al. 2018, Croce
and Hein 2020). They report; they do not rank."""

from collections.abc import Sequence

from ..plugin.access import Access
from ..records.record import Flag, Probes, Record
from ..records.stats import paired_difference

RANDOMISED, ZERO_GRADIENTS, REFUSED = "randomised-answers", "zero-gradients", "refused-queries"
WHITE_BOX_WEAKER, LABELS_STRONGER = "white-box-weaker", "labels-stronger-than-scores"
TRANSFER_STRONGER, NO_GAIN = "transfer-stronger-than-direct", "no-gain-with-budget"
MUCH = 0.2
"""Of the images asked about."""
GAIN = 0.05
"""Of accuracy: less is no gain."""


def of_cell(access: Access, probes: Probes, refused: int, total: int) -> list[Flag]:
    """What one cell shows; nothing for who holds the weights, whom no answer concerns."""
    found = []
    if access is Access.WHITE_BOX:
        return []
    if probes.unrepeatable > MUCH:
        says = "of the images get other scores when asked about again, or when changed invisibly"
        found.append(Flag(name=RANDOMISED, says=f"{probes.unrepeatable:.0%} {says}."))
    if probes.flat > MUCH:
        says = "of small steps change the target's scores and none of those released"
        found.append(Flag(name=ZERO_GRADIENTS, says=f"{probes.flat:.0%} {says}."))
    if refused:
        found.append(Flag(name=REFUSED, says=f"{refused:,} of the attack's {total:,} queries were refused."))
    return found


def stronger(name: str, what: str, one: Record | None, other: Record | None) -> Flag | None:
    """A flag if ``one``, which has less to go by, beats ``other`` by more than chance, on the held-out identities."""
    if one is None or other is None:
        return None
    difference, low, high = paired_difference(one.top1_held_out, other.top1_held_out)
    if low <= 0:
        return None
    by = f"{100 * difference:.0f} points [{100 * low:.0f}, {100 * high:.0f}]"
    return Flag(name=name, says=f"{what}: {one.attack} beats {other.attack} by {by}.")


def no_gain(worst: Sequence[float], undefended: Sequence[float], budgets: Sequence[int]) -> Flag | None:
    """A flag if more queries help against no defense and not here, though much is left to gain.

    ``worst`` and ``undefended`` are the worst cases at each budget.
    """
    gain, possible = worst[-1] - worst[0], undefended[-1] - undefended[0]
    if gain > GAIN or possible <= 2 * GAIN or undefended[-1] - worst[-1] <= 2 * GAIN:
        return None
    says = f"From {budgets[0]:,} to {budgets[-1]:,} queries the worst case gains {100 * gain:+.0f} points"
    return Flag(name=NO_GAIN, says=f"{says}; without a defense {100 * possible:+.0f}.")
