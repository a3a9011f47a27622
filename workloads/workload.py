"""A workload: a model on a dataset at given bits by a given method, and how to train it."""

from dataclasses import dataclass

from workloads.bits import Bits
from workloads.datasets import Dataset
from workloads.models import Model


@dataclass(frozen=True, slots=True)
class Recipe:
    """How `hwsim train` makes the checkpoint; `--set` changes each of these. 0 switches off what has no other meaning.

    teacher: the workload it starts and learns from. optimizer: a name of timm's. schedule: half_cosine (a linear warm-up,
    then half a cosine to 0), or a name of timm's. augmentation: usual is a small affine map for digits and timm's for
    folders. amp: auto is bf16 or fp16 where the device is a GPU. batch: images per process and step.
    """

    epochs: int
    lr: float
    batch: int = 64
    seed: int = 0
    weight_decay: float = 0.0  # of matrices alone
    warmup: int = 0  # epochs
    label_smoothing: float = 0.0
    teacher: str = ""
    optimizer: str = "adamw"
    schedule: str = "half_cosine"
    min_lr: float = 0.0  # timm's schedules end there
    decay_epochs: int = 30  # timm's schedules of steps
    decay_rate: float = 0.1  # the same; of `poly` the power
    clip: float = 1.0  # largest norm of the gradient
    images: int = 0  # of the training split that are used, the first of digits, evenly spread ones of folders; 0: all
    ema: float = 0.0  # decay per step of the averaged weights that are then judged and written
    augmentation: str = "usual"
    auto_augment: str = ""  # timm's policy, as rand-m9-mstd0.5-inc1
    smallest_crop: float = 0.08  # share of a folder's image
    color_jitter: float = 0.4
    erase: float = 0.0  # probability that a box of the image is erased
    mixup: float = 0.0  # alpha of the beta distribution
    cutmix: float = 0.0  # likewise
    drop_path: float = 0.0
    amp: str = "auto"
    parallel: str = "ddp"
    device: str = "auto"
    compile: bool = False  # the model's forward and backward in training, by torch.compile
    workers: int = 0  # processes that read a folder's images, beside each training process
    crop_labels: str = ""  # folder of a teacher's answers to crops; without, they are made beside the checkpoint
    calibration: int = 256  # training images that the first scales are searched on
    validate: int = 1  # epochs between looks at the validation split


@dataclass(frozen=True, slots=True)
class Workload:
    """What is run; `checkpoint` names the file shipped in qmodels/checkpoints, "" where there is none."""

    name: str
    model: Model
    dataset: Dataset
    bits: Bits
    method: str
    recipe: Recipe
    checkpoint: str = ""
