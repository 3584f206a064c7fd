"""Reasons to suspect that a defense hides the leak rather than closes it (gradient masking: Athalye et al. 2018, Croce
and Hein 2020). They report; they do not rank."""

from .access import Access
from .record import Flag, Probes

RANDOMISED, ZERO_GRADIENTS, REFUSED = "randomised-answers", "zero-gradients", "refused-queries"
MUCH = 0.2
"""Of the images asked about."""


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
