"""The paper's human study (section V, Tables II and III, Fig. 9): a page to hand out, and what its answers say.

May import ``paper``, ``bench``, ``report`` and what these may.
"""
