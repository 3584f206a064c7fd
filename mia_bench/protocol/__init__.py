"""Experiments as data: protocols and suites (TOML), the photos they name, and how these are split.

May import ``plugin`` and ``files``.
"""
