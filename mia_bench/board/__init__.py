"""From records to what people read: verdicts, standings, and one board that every format renders.

May import ``records`` and what that may.
"""
