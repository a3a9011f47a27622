"""What images a workload runs on: a name, the split sizes where they are fixed, and where they come from."""

from dataclasses import dataclass

from hwsim import catalog


@dataclass(frozen=True, slots=True)
class Dataset:
    """`kind` is `digits` (in scikit-learn, no download) or `imagefolder` (one folder of images per class)."""

    name: str
    kind: str
    source: str
    train: int = 0
    validation: int = 0
    test: int = 0


DIGITS = Dataset(
    name="digits",
    kind="digits",
    source="scikit-learn load_digits: UCI optical recognition of handwritten digits, test part, 1797 8x8 scans",
    train=1257,
    validation=180,
    test=360,
)
IMAGENET = Dataset(
    name="imagenet",
    kind="imagefolder",
    source="ILSVRC 2012 as folders train/<class>/*.JPEG and validation/<class>/*.JPEG; bring your own",
    train=1281167,
    validation=50000,
    test=50000,
)
_DATASETS = {dataset.name: dataset for dataset in (DIGITS, IMAGENET)}


def find(name: str) -> Dataset:
    """The dataset `name`; raises UnknownName with the known names, nearest first."""
    if name not in _DATASETS:
        raise catalog.unknown("dataset", name, _DATASETS)
    return _DATASETS[name]
