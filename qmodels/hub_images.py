"""Images and labels that the package `datasets` reads (Hugging Face): local folders and parquet files, or names of its hub.

The column of images and the column of labels are found by their types, `Image` and `ClassLabel`; where there are several,
those called `image` and `label` are meant. The splits are `train`, `validation` (or `valid`, `val`, `dev`) and `test`; one
without labels (all -1 or null) is not there. Rows are read as they are needed. The package runs no code that comes with a
data set.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from hwsim.errors import BadFile, HwsimError

CALLED = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""Names of a split, of which the first that there is counts."""


class HubImages(torch.utils.data.Dataset):
    """Pairs (what `transform` makes of the RGB image, class) of the split `split` of `source`, with ImageFolder's face."""

    def __init__(self, source: str, split: str, transform: Callable[[Image.Image], Any]) -> None:
        splits = _opened(source)
        self.where, self.transform = f"hf:{source}, {split}", transform
        if split not in splits:
            raise HwsimError(
                f"hf:{source}: must have a split {split} with labels, got {', '.join(splits) or 'none'}; choose other data"
            )
        self.rows, self.image, label = splits[split]
        self.classes = list(self.rows.features[label].names)
        self.targets = _column(self.rows, label)
        self.samples = list(enumerate(self.targets))

    def only(self, indices: Sequence[int]) -> "HubImages":
        """The images of `indices` alone; their rows keep their numbers."""
        found = copy.copy(self)
        found.rows, found.samples = self.rows.select(indices), [self.samples[i] for i in indices]
        found.targets = [label for _, label in found.samples]
        return found

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(self.loader(index)), self.targets[index]

    def loader(self, index: int) -> Image.Image:
        """The image of a row as it is, in RGB."""
        try:
            return self.rows[index][self.image].convert("RGB")
        except (OSError, AttributeError) as error:
            raise BadFile(
                f"{self.where}, row {self.samples[index][0]}: must be an image, got {error}; mend or remove the row"
            ) from None

    def described(self, chosen: slice) -> Iterator[str]:
        """Of each chosen row, its image's file name, bytes and class; no image is opened."""
        cells = self.rows.with_format("arrow")[chosen].column(self.image)
        for cell, label in zip(cells, self.targets[chosen], strict=True):
            name = cell["path"].as_py() or ""
            size = cell["bytes"].as_buffer().size if cell["bytes"].is_valid else Path(name).stat().st_size
            yield f"{Path(name).name}\0{size} {label}\n"


def splits(source: str) -> tuple[str, ...]:
    """Which of the splits `source` has, with labels."""
    return tuple(_opened(source))


@cache
def _opened(source: str) -> dict[str, tuple[Any, str, str]]:
    """By split: the rows, and the columns of images and labels. Raises HwsimError."""
    try:
        import datasets
    except ImportError:
        raise HwsimError(
            "datasets: must be installed, got no such package; `pip install 'hwsim[datasets]'`, or pass a folder with "
            "--data ROOT"
        ) from None
    try:
        path = Path(source).expanduser()
        if path.is_file():
            found = datasets.load_dataset("parquet", data_files=str(path))
        else:
            found = datasets.load_dataset(str(path) if path.is_dir() else source)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise HwsimError(
            f"hf:{source}: must be a folder, a parquet file or a name of the hub, got {str(error).splitlines()[0]}; check "
            "the name, and the network"
        ) from None
    opened = {}
    for split, names in CALLED.items():
        for rows in [found[name] for name in names if name in found][:1]:
            image = _only(source, rows.features, datasets.Image, "image")
            label = _only(source, rows.features, datasets.ClassLabel, "label")
            if _labelled(f"hf:{source}, {split}", _column(rows, label), len(rows.features[label].names)):
                opened[split] = (rows, image, label)
    return opened


def _labelled(where: str, labels: list[int | None], classes: int) -> bool:
    """Whether there are labels (not all -1 or null); raises BadFile for a row that alone has none of the `classes`."""
    if all(label is None or label == -1 for label in labels):
        return False
    for row, label in enumerate(labels):
        if label is None or not 0 <= label < classes:
            got = "null" if label is None else label
            raise BadFile(
                f"{where}, row {row}: label must be a class, 0..{classes - 1}, got {got}; mend or remove the row"
            )
    return True


def _only(source: str, features: Any, kind: type, usual: str) -> str:
    """The column of type `kind`; of several, the one called `usual`."""
    columns = [name for name, feature in features.items() if isinstance(feature, kind)]
    if len(columns) > 1 and usual in columns:
        return usual
    if len(columns) != 1:
        raise HwsimError(
            f"hf:{source}: must have one column of type {kind.__name__}, or one called {usual}, got "
            f"{', '.join(columns) or 'none'}; save the data with such a column to a folder"
        )
    return columns[0]


def _column(rows: Any, name: str) -> list[Any]:
    return rows.select_columns([name]).with_format("arrow")[:].column(0).to_pylist()
