"""Which evaluator speaks for a run; apart from the rest, for files are checked against it before torch is loaded."""

HEADLINE = "reval"
"""The evaluator whose accuracy is the headline: the paper's R_eval."""
