"""From records to what people read: verdicts, standings, and one board of columns that every format renders.

May import ``records`` and what that may.
"""
