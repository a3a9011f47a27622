"""Suites of trainings, by name: what `hwsim train --suite NAME` trains, run by run.

A run is what one `hwsim train --workload W --method M --preset P --set KEY=VALUE ...` would train; all runs of a suite
share the suite's own changes, so that they have one budget. Each finished run is a file of records in
`workloads/results/SUITE/`; records are told apart by the run's `label` and `seed`.

`ablation` asks what each ingredient does to a model of two bits, at one budget for all:

    model     digits_deit: 4 blocks, 65 tokens, from the shipped float weights, which are the one teacher of all
    images    the first 128 of the 1257 training images, the same for all
    steps     300 of 64 pictures: 150 epochs of images, or of VVTQ 38 epochs of 4 crops of each image (304 steps)

How it was chosen: by training lsq and qvit with one seed, looked at on the 180 validation images alone (accuracy, KL to
the teacher), never per method. With all images there is little damage to tell methods apart by: lsq at W2A2 has 94.4 %
and 0.13 nat after 100 steps. With 128 images it has 87.8 %, 91.7 %, 93.3 % after 80, 160, 300 steps and 0.30, 0.21, 0.22 nat:
what the budget could mend is mended, and 4 points below the teacher remain; W3A3 and W4A4 lose none or one after 80 steps.
qvit has 73.9 % after 80 and 83.9 % after 300: the model has to recover from the insertion of IRM first, and at 300 steps it
still does. With a learning rate of 0.003 instead of 0.001 both are worse (87.2 %, 83.3 %). A run of 300 steps takes about a
minute on one core that does nothing else.
"""

from dataclasses import dataclass

from hwsim import catalog

Changes = tuple[tuple[str, str], ...]

IMAGES, EPOCHS = 128, 150
SEEDS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Run:
    """One training; `label` is what a reader calls its method, `changes` are the texts of `--set`, the seed's included.

    details: whether its records hold histograms and attention maps too.
    """

    label: str
    workload: str
    method: str
    preset: str
    changes: Changes
    seed: int
    details: bool = False

    @property
    def name(self) -> str:
        """The stem of its files: `w2a2-lsq-irm-seed0`."""
        words = self.label.lower().replace(" + ", " ").replace("+", " plus").split()
        return "-".join((self.workload.rpartition("_")[2], *words, f"seed{self.seed}"))

    def command(self) -> str:
        """The command line that trains this run alone."""
        sets = "".join(f" --set {key}={value}" for key, value in self.changes)
        preset = "" if self.preset == "deployable" else f" --preset {self.preset}"
        return (
            f"hwsim train --workload {self.workload} --method {self.method}{preset}{sets} --out {self.name}.safetensors"
        )


@dataclass(frozen=True, slots=True)
class Variant:
    """A method with changes, under a label."""

    label: str
    method: str
    changes: Changes = ()
    preset: str = "deployable"
    details: bool = False


@dataclass(frozen=True, slots=True)
class Suite:
    """Runs in their order, and what they are for."""

    name: str
    about: str
    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        names = [run.name for run in self.runs]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{self.name}: runs must have names of their own, got {name} twice; change a label")


_BUDGET: Changes = (("epochs", str(EPOCHS)), ("images", str(IMAGES)), ("lr", "0.001"), ("validate", "10"))
_PICTURES: Changes = (("batch", "16"), ("epochs", "38"), ("validate", "3"))
"""Four crops of each of 16 images: as many pictures in a step, and steps, as without crops."""
_WITHOUT_CROPS: Changes = (("crops", "0"), ("labels", "1"), ("distillation", "1"))
_INGREDIENTS = (
    Variant("LSQ", "lsq", details=True),
    Variant("LSQ + IRM", "lsq", (("irm", "layernorm"),), details=True),
    Variant("LSQ + affine IRM", "lsq", (("irm", "affine"),)),
    Variant("LSQ + frozen IRM", "lsq", (("irm", "frozen"),)),
    Variant("LSQ + DGD", "lsq", (("dgd", "1"),)),
    Variant("Q-ViT", "qvit", details=True),
    Variant("Q-ViT with affine IRM", "qvit", (("irm", "affine"),)),
    Variant("VVTQ", "vvtq", _PICTURES),
    Variant("VVTQ without crops", "vvtq", _WITHOUT_CROPS),
    Variant("VVTQ without module gradients", "vvtq", (*_PICTURES, ("scale_gradient", "lsq"))),
    Variant("VVTQ without bins", "vvtq", (*_PICTURES, ("bins", "0"))),
    Variant("LSQ+", "lsq_plus"),
    Variant("PACT", "pact"),
    Variant("min-max", "minmax"),
)
_WIDER = (Variant("LSQ", "lsq"), Variant("Q-ViT", "qvit"))


def _runs(model: str, bits: str, variants: tuple[Variant, ...], seeds: tuple[int, ...], budget: Changes) -> list[Run]:
    """Seed by seed, so that a suite that is stopped has whole comparisons."""
    return [
        Run(
            v.label,
            f"{model}_{bits}",
            v.method,
            v.preset,
            tuple({**dict(budget), **dict(v.changes), "seed": str(seed)}.items()),
            seed,
            v.details and seed == seeds[0],
        )
        for seed in seeds
        for v in variants
    ]


def _ablation() -> Suite:
    floating = Variant("float", "lsq", details=True)
    runs = _runs("digits_deit", "w32a32", (floating,), SEEDS, (*_BUDGET, ("teacher", "digits_float")))
    for bits, variants in (("w2a2", _INGREDIENTS), ("w3a3", _WIDER), ("w4a4", _WIDER)):
        runs += _runs("digits_deit", bits, variants, SEEDS, _BUDGET)
    return Suite("ablation", "what each ingredient of Q-ViT and VVTQ does to a model of two bits", tuple(runs))


_SUITES = {suite.name: suite for suite in (_ablation(),)}


def names() -> tuple[str, ...]:
    """The names of all suites."""
    return tuple(_SUITES)


def find(name: str) -> Suite:
    """The suite `name`; raises UnknownName with the known names, nearest first."""
    if name not in _SUITES:
        raise catalog.unknown("suite", name, _SUITES)
    return _SUITES[name]
