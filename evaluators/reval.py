"""The paper's R_eval (section V-A): the target's kind of network, its own last two layers, other photos."""

import torch
from torch import Tensor

from mia_bench.plugin import Evaluator, Fitting, ModuleRecogniser, Recogniser


class FeatureRecogniser(ModuleRecogniser):
    """A network with a ``features`` method, which gives what its last layer sees."""

    def features(self, images: Tensor) -> Tensor:
        """Penultimate features (B, d) of images (B, 1, H, W)."""
        with torch.inference_mode():
            return self._engine.map(self._module.features, images)  # type: ignore[arg-type]


class REval(Evaluator):
    """The protocol's own R_eval, by its recipe, on Q3: the headline's evaluator."""

    name = "reval"

    def fit(self, fitting: Fitting) -> Recogniser:
        return FeatureRecogniser(fitting.trained(), fitting.engine)
