"""Records: what was asked, what came of it, and the attempt beside it, validated when read. Also what follows from a
record's rows: intervals and flags.

May import ``plugin`` and ``files``.
"""
