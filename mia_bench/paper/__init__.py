"""The paper itself: what it published."""
