"""Figures printed in the paper (Yoshimura, Nakamura, Nitta, Babaguchi), as printed."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Row:
    """A row of a results table: percent for the targets ID1 to ID5, and the average as printed."""

    attack: str
    by_identity: tuple[float, ...]
    average: float
    remark: str = ""
    """What to know before quoting it."""


TABLE_I: Final = (
    Row("white-box", (86, 89, 26, 79, 97), 75.4),
    Row("black-box", (88, 82, 25, 81, 99), 73.4, "the row averages 75.0, not 73.4; with 80 for ID1 it would be 73.4"),
)
"""R_eval accuracy on the reconstructions (objective evaluation): 5 people x 100 trials."""
