"""The networks of the protocols, how they are trained, and where their weights are kept.

May import ``protocol`` (for recipes), ``plugin`` and ``files``.
"""
