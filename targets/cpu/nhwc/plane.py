"""Activations as the fast kernels want them: channels last, inside a border, of one signedness.

A border holds the zero point, so that no kernel knows about padding. The producer writes the
inside where it lies; the driver fills the border before. Products want bytes of one sign, so a
plane may store each integer moved by 128: every zero point and bound moves with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Border:
    """Pixels around a plane."""

    above: int = 0
    left: int = 0
    below: int = 0
    right: int = 0

    def covering(self, other: Border) -> Border:
        """The least border that has room for both."""
        return Border(
            max(self.above, other.above),
            max(self.left, other.left),
            max(self.below, other.below),
            max(self.right, other.right),
        )


NO_BORDER = Border()


@dataclass(frozen=True)
class Plane:
    """A tensor [N, C, H, W] stored as [N, rows, columns, pixel].

    Attributes:
        name: of the buffer.
        batch: samples.
        rows: H.
        columns: W.
        channels: C.
        border: around each sample.
        pixel: elements from one pixel to the next; more than C if other tensors lie between.
        first: where in its pixel the first channel lies.
        dtype: numpy's name of what is stored.
        shift: what is stored is the integer of the graph plus this.
        fill: what the border holds, as stored.
    """

    name: str
    batch: int
    rows: int
    columns: int
    channels: int
    border: Border
    pixel: int
    first: int
    dtype: str
    shift: int
    fill: int

    @property
    def row(self) -> int:
        """Elements from one row to the next."""
        return (self.border.left + self.columns + self.border.right) * self.pixel

    @property
    def sample(self) -> int:
        """Elements from one sample to the next."""
        return (self.border.above + self.rows + self.border.below) * self.row

    @property
    def size(self) -> int:
        """Elements of the whole buffer."""
        return self.batch * self.sample

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return np.dtype(self.dtype).itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the whole buffer."""
        return self.size * self.itemsize

    @property
    def origin(self) -> int:
        """Where channel 0 of pixel (0, 0) lies."""
        return self.at(0, 0)

    def at(self, row: int, column: int) -> int:
        """Where channel 0 of a pixel of the first sample lies; the border has negative indices."""
        rows, columns = self.border.above + row, self.border.left + column
        return rows * self.row + columns * self.pixel + self.first

    @property
    def is_whole(self) -> bool:
        """Does a pixel hold these channels and nothing else?"""
        return self.pixel == self.channels

    @property
    def has_border(self) -> bool:
        """Is there anything to fill?"""
        return self.border != NO_BORDER

    def slice(self, first: int, channels: int) -> Plane:
        """Some of the channels, where they lie."""
        return replace(self, first=self.first + first, channels=channels)


@dataclass(frozen=True)
class BorderFill:
    """The step that writes the border of a plane."""

    plane: Plane
