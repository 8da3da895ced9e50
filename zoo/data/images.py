"""Labelled images in two fixed parts: one to learn from, one held out.

Every data set of the zoo takes this form, so that training and accuracy need no special cases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images and what they show.

    Attributes:
        images: float32 [N, C, H, W], 0 to 1.
        labels: int64 [N].
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, count: int | None) -> LabelledImages:
        """The first `count` images, or all of them for None."""
        return LabelledImages(self.images[:count], self.labels[:count])


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """A data set: `train` to learn from, `held_out` to judge by; they share no image."""

    train: LabelledImages
    held_out: LabelledImages


def from_bytes(pixels: np.ndarray, labels: np.ndarray) -> LabelledImages:
    """Images of one channel from bytes.

    Args:
        pixels: 0 to 255, [N, H, W].
        labels: integers [N].
    """
    images = pixels[:, None].astype(np.float32) / np.float32(255)
    return LabelledImages(images, labels.astype(np.int64))
