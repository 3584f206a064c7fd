"""Measures of the field on sets of feature vectors (n, d): how near what an attack made is to real photos.

A kernel distance stands where the field often has FID: FID needs the covariance of the features, which as few images as
there are features leave singular, and its bias grows as the sets shrink; the kernel distance has none at any size.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from skimage.metrics import structural_similarity

Vectors = NDArray[np.float64]
Labels = NDArray[np.int64]

NEIGHBOURS = 3
"""k of precision, recall, density and coverage."""
WINDOW = 11
"""Pixels of SSIM's Gaussian window."""


def nearest_own(made: Vectors, made_of: Labels, real: Vectors, real_of: Labels) -> float:
    """delta_eval: the least squared distance of each made vector to a real one of the same person, averaged."""
    squared = cdist(made, real, "sqeuclidean")
    return float(np.where(made_of[:, None] == real_of, squared, np.inf).min(1).mean())


def kernel_distance(made: Vectors, real: Vectors) -> float:
    """KID (Binkowski et al., 2018): the unbiased squared MMD with the kernel (x.y / d + 1)^3; may be below 0.

    At least two vectors in each set.
    """

    def kernel(x: Vectors, y: Vectors) -> Vectors:
        cubed: Vectors = (x @ y.T / x.shape[1] + 1) ** 3
        return cubed

    def within(x: Vectors) -> float:
        similar = kernel(x, x)
        return float((similar.sum() - similar.trace()) / (len(x) * (len(x) - 1)))

    return within(made) + within(real) - 2 * float(kernel(made, real).mean())


def manifold(made: Vectors, real: Vectors, k: int = NEIGHBOURS) -> dict[str, float]:
    """Precision and recall (Kynkaanniemi et al., 2019), density and coverage (Naeem et al., 2020, Eq. 1-2, 5-6).

    A ball around each vector reaches to its k-th neighbour in its own set; more than k vectors in each.
    """
    apart = cdist(real, made)
    in_real = apart < _reach(real, k)[:, None]  # (i, j): made j lies in the ball of real i
    in_made = apart < _reach(made, k)
    return {
        "precision": float(in_real.any(0).mean()),
        "recall": float(in_made.any(1).mean()),
        "density": float(in_real.sum(0).mean() / k),  # over the balls, then a mean over what was made
        "coverage": float(in_real.any(1).mean()),
    }


def _reach(of: Vectors, k: int) -> Vectors:
    """The distance (n,) of each vector to its k-th neighbour, itself not counted."""
    reach: Vectors = np.sort(cdist(of, of), axis=1)[:, k]
    return reach


def likeness(made: Vectors, made_of: Labels, real: Vectors, real_of: Labels) -> float:
    """SSIM (Wang et al., 2004) of each made picture (n, H, W) with the likest real one of the same person, averaged."""
    best = [
        max(
            structural_similarity(  # type: ignore[no-untyped-call]
                picture, photo, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            )
            for photo in real[real_of == person]
        )
        for picture, person in zip(made, made_of, strict=True)
    ]
    return float(np.mean(best))


def compare(
    made: Mapping[str, Vectors], made_of: Labels, real: Mapping[str, Vectors], real_of: Labels
) -> dict[str, float]:
    """All of them, on ``pictures`` (n, H, W) and, where there are any, ``features`` (n, d); without those for which the
    sets are too small."""
    found = {}
    if min(made["pictures"].shape[1:]) >= WINDOW:
        found["ssim"] = likeness(made["pictures"], made_of, real["pictures"], real_of)
    if "features" in made:
        ours, theirs = made["features"], real["features"]
        found["delta_eval"] = nearest_own(ours, made_of, theirs, real_of)
        if min(len(ours), len(theirs)) > 1:
            scale = np.sqrt(np.square(theirs).mean())  # the kernel is not scale-free: make x.x / d about 1
            found["kid"] = kernel_distance(ours / scale, theirs / scale)
        if min(len(ours), len(theirs)) > NEIGHBOURS:
            found |= manifold(ours, theirs)
    return {name: round(value, 6) for name, value in found.items()}
