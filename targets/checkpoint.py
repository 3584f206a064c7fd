"""A user's own weights for the protocol's R_tar network."""

from safetensors import SafetensorError
from safetensors.torch import load_file

from mia_bench.core import Access, Enrolment, ModuleRecogniser, Recogniser, RequestError, Target


class CheckpointTarget(Target):
    """``checkpoint:path=DIR``: the weights DIR/FOLD.safetensors, made by a training of your own (say, with a defense).

    Tensor names and shapes are those of the protocol's network; classes are Q2's people in sorted order.
    """

    name = "checkpoint"
    access = Access.WHITE_BOX
    path: str

    def enrol(self, enrolment: Enrolment) -> Recogniser:
        file = f"{self.path}/{enrolment.fold}.safetensors"
        network = enrolment.network()
        try:
            network.load_state_dict(load_file(file))
        except (OSError, SafetensorError) as error:
            raise RequestError(f"target checkpoint: {file} is not readable safetensors ({error})") from error
        except RuntimeError as error:
            detail = str(error).splitlines()[-1].strip()
            raise RequestError(f"target checkpoint: {file} does not fit the protocol's network: {detail}") from error
        return ModuleRecogniser(network, enrolment.engine)
