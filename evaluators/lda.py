"""Fisherfaces (Belhumeur, Hespanha, Kriegman, 1997): PCA, then linear discriminants, on the pixels."""

from typing import Annotated

import torch
from pydantic import Field
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import Pipeline, make_pipeline
from torch import Tensor

from mia_bench.plugin import Evaluator, Fitting, Recogniser


class LinearRecogniser(Recogniser):
    """A fitted scikit-learn classifier of flattened images; with two people its decision is one number."""

    def __init__(self, model: Pipeline, device: torch.device) -> None:
        self._model = model
        self._device = device

    def scores(self, images: Tensor) -> Tensor:
        decision = torch.as_tensor(self._model.decision_function(images.detach().cpu().flatten(1).double().numpy()))
        if decision.ndim == 1:
            decision = torch.stack([-decision, decision], 1)
        behind = decision.amax(1, keepdim=True) - decision
        return (1 / (1 + behind)).float().to(self._device)  # a softmax would give all who are far behind the same 0


class LDA(Evaluator):
    """PCA and linear discriminant analysis on pixels: no convolution, no gradient descent."""

    name = "lda"

    components: Annotated[int, Field(ge=1)] = 60
    """Principal components, at most as many as the photos allow."""
    shrinkage: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Of the within-class covariance towards a multiple of the identity."""

    def fit(self, fitting: Fitting) -> Recogniser:
        photos = fitting.photos
        both = torch.cat([photos.images, photos.images.flip(-1)]).flatten(1).double().numpy()
        labels = photos.labels.repeat(2).numpy()
        model = make_pipeline(
            PCA(min(self.components, len(photos) - 1), svd_solver="full"),
            LinearDiscriminantAnalysis(solver="lsqr", shrinkage=self.shrinkage),
        )
        return LinearRecogniser(model.fit(both, labels), fitting.engine.device)
