"""Pixels as VGG16, SqueezeNet and other networks first trained in Caffe take them."""

from __future__ import annotations

import numpy as np

MEAN_BGR = (103.939, 116.779, 123.68)  # of ImageNet's training set


def preprocessed(pixels: np.ndarray) -> np.ndarray:
    """RGB  =>  BGR minus the training set's mean, channels first.

    Args:
        pixels: uint8 [N, H, W, 3].

    Returns:
        float32 [N, 3, H, W].
    """
    centred = pixels[..., ::-1].astype(np.float32) - np.array(MEAN_BGR, np.float32)
    return np.ascontiguousarray(centred.transpose(0, 3, 1, 2))
