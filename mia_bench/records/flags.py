"""How a defense seems to protect: whether it hides the leak rather than closes it (gradient masking: Athalye et al.
2018, Croce and Hein 2020), or refuses to answer. Flags report; they do not rank."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..plugin.access import Access
from .figures import Flag, Probes, Queries
from .stats import paired_difference

if TYPE_CHECKING:
    from .record import Record

RANDOMISED, ZERO_GRADIENTS, MISLEADING = "randomised-answers", "zero-gradients", "misleading-slopes"
REFUSED = "refused-queries"
WHITE_BOX_WEAKER, LABELS_STRONGER = "white-box-weaker", "labels-stronger-than-scores"
TRANSFER_STRONGER, NO_GAIN = "transfer-stronger-than-direct", "no-gain-with-budget"
MUCH = 0.2
"""Of the images asked about."""
ALIKE = 0.9
"""Share of small steps that move the released margin as the target's own: less misleads who follows the slope."""
GAIN = 0.05
"""Of accuracy: less is no gain."""


def of_cell(access: Access, probes: Probes, queries: Queries) -> list[Flag]:
    """What one cell shows; nothing for who holds the weights, whom no answer concerns."""
    found: list[Flag] = []
    if access is Access.WHITE_BOX:
        return found
    if probes.unrepeatable > MUCH:
        says = "of the images get other scores when asked about again, in another order, or changed invisibly"
        found.append(Flag(name=RANDOMISED, says=f"{probes.unrepeatable:.0%} {says}."))
    if probes.flat > MUCH:
        says = "of small steps change nothing that is released"
        found.append(Flag(name=ZERO_GRADIENTS, says=f"{probes.flat:.0%} {says}."))
    if probes.agreement is not None and probes.agreement < ALIKE:
        says = "of small steps that move the released margin move it as the target's own"
        found.append(Flag(name=MISLEADING, says=f"Only {probes.agreement:.0%} {says}."))
    if queries.refused:
        says = f"{queries.refused:,} of the attack's {queries.total:,} queries were refused."
        found.append(Flag(name=REFUSED, says=says, kind="refuses"))
    return found


def stronger(name: str, what: str, one: "Record | None", other: "Record | None") -> Flag | None:
    """A flag if ``one``, which has less to go by, beats ``other`` by more than chance, on the held-out identities."""
    if one is None or other is None:
        return None
    difference, low, high = paired_difference(one.top1_held_out, other.top1_held_out)
    if low <= 0:
        return None
    by = f"{100 * difference:.0f} points [{100 * low:.0f}, {100 * high:.0f}]"
    return Flag(name=name, says=f"{what}: {one.attack} beats {other.attack} by {by}.")


def no_gain(
    worst: Sequence[float], undefended: Sequence[float], budgets: Sequence[int], null: float | None
) -> Flag | None:
    """A flag if more queries help against no defense and not here, though much is left to gain, and something leaks.

    ``worst`` and ``undefended`` are the worst cases at each budget. Where all that is left is the ``null``, no defense
    could look otherwise.
    """
    gain, possible = worst[-1] - worst[0], undefended[-1] - undefended[0]
    if gain > GAIN or possible <= 2 * GAIN or undefended[-1] - worst[-1] <= 2 * GAIN:
        return None
    if worst[-1] <= (null or 0.0) + 2 * GAIN:
        return None
    says = f"From {budgets[0]:,} to {budgets[-1]:,} queries the worst case gains {100 * gain:+.0f} points"
    return Flag(name=NO_GAIN, says=f"{says}; without a defense {100 * possible:+.0f}.")
