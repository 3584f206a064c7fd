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

TABLE_II: Final = (
    Row("white-box", (94.4, 22.2, 72.2, 33.3, 66.7), 57.8),
    Row("black-box", (72.2, 16.7, 66.7, 44.4, 66.7), 53.3),
)
"""Subjective identification: nine people choose which of seven faces a reconstruction shows; 20 images."""

TABLE_III: Final = (
    Row(
        "white-box",
        (94.4, 11.8, 50.0, 77.8, 72.2),
        61.8,
        "the row averages 61.2, not 61.8; 61.8 is 55 of 89 answers, as its figures give if one about ID2 is missing",
    ),
    Row("black-box", (72.2, 22.2, 70.6, 83.3, 88.9), 67.4),
)
"""Subjective similarity: the same nine say whether a reconstruction and a real photo are alike; 20 pairs."""
