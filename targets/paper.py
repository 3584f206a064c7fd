"""The paper's R_tar (section V-A): convolutions, residual blocks and two fully connected layers."""

from mia_bench.plugin import Access, Fitting, ModuleRecogniser, Recogniser, Target


class PaperTarget(Target):
    """The protocol's own network, trained by its recipe on Q2."""

    name = "paper"
    access = Access.WHITE_BOX
    steady = True
    trains = True

    def enrol(self, fitting: Fitting) -> Recogniser:
        return ModuleRecogniser(fitting.trained(), fitting.engine)
