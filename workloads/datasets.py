"""What images a workload runs on: a name, the split sizes where they are fixed, and where they come from.

Images that the user brings lie in a folder, or are what the package `datasets` reads, written `hf:SOURCE`: `at` tells which.
"""

from dataclasses import dataclass
from pathlib import Path

from hwsim import catalog


@dataclass(frozen=True, slots=True)
class Dataset:
    """`kind` is `digits` (in scikit-learn, no download), `imagefolder` (one folder of images per class) or `huggingface`
    (`source` is what `datasets.load_dataset` takes: a folder, a parquet file, or a name of the hub)."""

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


HUB = "hf:"
"""What begins so is read by the package `datasets`."""


def at(dataset: Dataset, root: Path) -> Dataset:
    """Which data set stands for `dataset` where the user's images are at `root`, a folder or `hf:SOURCE`."""
    return find(str(root)) if str(root).startswith(HUB) else dataset


def absolute(root: Path) -> Path:
    """`root`, a folder or `hf:SOURCE`, for readers in other working folders."""
    if not str(root).startswith(HUB):
        return root.absolute()
    source = Path(str(root).removeprefix(HUB)).expanduser()
    return Path(f"{HUB}{source.absolute()}") if source.exists() else root


def find(name: str) -> Dataset:
    """The dataset `name`, or any `hf:SOURCE`; raises UnknownName with the known names, nearest first."""
    if name.startswith(HUB) and name != HUB:
        return Dataset(name, "huggingface", name.removeprefix(HUB))
    if name not in _DATASETS:
        raise catalog.unknown("dataset", name, _DATASETS)
    return _DATASETS[name]
