"""The results of the paper (Yoshimura et al.), each as a command: what it published, and the same from our runs.

May import ``bench``, ``report`` and what these may.
"""
