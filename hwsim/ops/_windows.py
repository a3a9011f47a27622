"""What conv2d and the pools share: how many windows of a kernel fit an image, and which elements they hold.

Along one axis of size n, with kernel k, stride s, padding p on both sides and dilation d, there are
(n + 2 p - d (k - 1) - 1) // s + 1 windows; with `ceil` the quotient is rounded up, and a last window that would begin in
the padding behind the image is dropped (PyTorch's rule, which is ONNX's).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hwsim.op import Array, need
from hwsim.spec import TensorSpec


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows along one axis: `count` of them, `start`ing at -padding and then every `stride`, `extent` wide."""

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int
    count: int

    @property
    def behind(self) -> int:
        """Padding that the last window needs behind the image, 0 or more."""
        last = (self.count - 1) * self.stride + self.dilation * (self.kernel - 1) + 1
        return max(0, last - self.padding - self.size)

    def inside(self) -> Array:
        """How many elements of each window are in the image, not in the padding: (count,)."""
        places = self._places()
        return np.asarray(((places >= 0) & (places < self.size)).sum(axis=1))

    def padded(self) -> Array:
        """How many elements of each window are in the image or its `padding`, not beyond: (count,)."""
        return np.asarray((self._places() < self.size + self.padding).sum(axis=1))

    def _places(self) -> Array:
        starts = np.arange(self.count) * self.stride - self.padding
        return np.asarray(starts[:, np.newaxis] + np.arange(self.kernel) * self.dilation)


def windows(
    x: TensorSpec,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...] = (1, 1),
    ceil: bool = False,
) -> tuple[Windows, Windows]:
    """The windows along height and width of images x (B, C, H, W); raises IllegalModel where none fits."""
    need(len(x.shape) == 4, "an image has 4 axes", x, "reshape")
    legal = min(*kernel, *stride, *dilation) > 0 and min(padding) >= 0
    got = f"kernel {kernel}, stride {stride}, padding {padding} and dilation {dilation}"
    need(legal, "kernel, stride and dilation are 1 or more and padding 0 or more", got, "check the layer")
    vertical, horizontal = (
        _along(*axis, ceil) for axis in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    )
    fits = vertical.count > 0 and horizontal.count > 0
    need(fits, "the kernel must fit the padded image", f"{x} and {kernel}", "enlarge the image or padding")
    return vertical, horizontal


def _along(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> Windows:
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = -(-room // stride) + 1 if ceil else room // stride + 1
    if ceil and (count - 1) * stride >= size + padding:
        count -= 1
    return Windows(size, kernel, stride, padding, dilation, count if room >= 0 else 0)


def need_filled(vertical: Windows, horizontal: Windows) -> None:
    """Raise IllegalModel where a window lies in the padding alone: a pool has nothing to give for it."""
    for along in (vertical, horizontal):
        filled = bool(along.inside().all())
        need(filled, "every window of a pool must hold a part of the image", along, "lower the padding")


def with_padding(x: Array, vertical: Windows, horizontal: Windows, fill: Array) -> Array:
    """x with the padding that its windows need, holding `fill`, which broadcasts over (B, C, H, W)."""
    edges = [(along.padding, along.behind) for along in (vertical, horizontal)]
    if not any(map(any, edges)):
        return x
    (top, bottom), (left, right) = edges
    wide = np.empty((*x.shape[:2], top + x.shape[2] + bottom, left + x.shape[3] + right), x.dtype)
    wide[:] = fill
    wide[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
    return wide


def each_place(x: Array, vertical: Windows, horizontal: Windows) -> Iterator[Array]:
    """For each place in the kernel, row by row, the elements (B, C, OH, OW) that all windows have there, of a padded x."""
    for row in range(vertical.kernel):
        for column in range(horizontal.kernel):
            yield x[:, :, _taken(vertical, row), _taken(horizontal, column)]


def _taken(along: Windows, place: int) -> slice:
    first = place * along.dilation
    return slice(first, first + (along.count - 1) * along.stride + 1, along.stride)
