"""What an attacker may touch, from most to least."""

from enum import StrEnum


class Access(StrEnum):
    """Access granted by a target, needed by an attack, or left over by a defense."""

    WHITE_BOX = "white-box"
    SCORES = "scores"
    LABEL_ONLY = "label-only"

    def includes(self, other: "Access") -> bool:
        """True if whoever has this access can do all that ``other`` can."""
        order = list(Access)
        return order.index(self) <= order.index(other)
