"""What a run leaves to look at: galleries of faces, curves, the privacy-utility plane.

May import ``board``, ``protocol`` (for photos), ``records``, ``plugin`` and ``files``.
"""
