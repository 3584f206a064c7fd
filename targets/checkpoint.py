"""A user's own weights for the protocol's R_tar network."""

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from mia_bench.plugin import Access, Fitting, ModuleRecogniser, Recogniser, RequestError, Target


class CheckpointTarget(Target):
    """``checkpoint:path=DIR``: the weights DIR/FOLD.safetensors, made by a training of your own (say, with a defense).

    Tensor names and shapes are those of the protocol's network; classes are Q2's people in sorted order.
    """

    name = "checkpoint"
    access = Access.WHITE_BOX
    steady = True
    path: str

    def fingerprint(self, folds: tuple[str, ...]) -> str:
        digest = hashlib.sha256()
        for fold in folds:
            try:
                digest.update(Path(self._file(fold)).read_bytes())
            except OSError as error:
                raise RequestError(f"target checkpoint: {self._file(fold)}: {error.strerror or error}") from error
        return digest.hexdigest()

    def _file(self, fold: str) -> str:
        return f"{self.path}/{fold}.safetensors"

    def enrol(self, fitting: Fitting) -> Recogniser:
        file = self._file(fitting.fold)
        network = fitting.network()
        try:
            network.load_state_dict(load_file(file))
        except (OSError, SafetensorError) as error:
            raise RequestError(f"target checkpoint: {file} is not readable safetensors ({error})") from error
        except RuntimeError as error:
            detail = str(error).splitlines()[-1].strip()
            raise RequestError(f"target checkpoint: {file} does not fit the protocol's network: {detail}") from error
        return ModuleRecogniser(network, fitting.engine)
