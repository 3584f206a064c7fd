"""From a request to its record. Requests are planned, scenes set, attempts made, judged and written.

The only package that runs plugins. May import ``protocol``, ``networks``, ``records``, ``plugin`` and ``files``.
"""
