"""Weights and parameters in the order in which the accelerator reads them."""

from __future__ import annotations

import numpy as np

from joulecut.hw.config import BEAT_BYTES, MacArrayConfig
from joulecut.hw.model import packed_lanes
from joulecut.targets.fpga.work import packed_passes


def ungrouped(weights: np.ndarray, group: int) -> np.ndarray:
    """Weights of a grouped convolution as those of a plain one, zeros between groups."""
    outputs, inputs = weights.shape[:2]
    full = np.zeros((outputs, inputs * group, *weights.shape[2:]), weights.dtype)
    for number in range(group):
        rows = slice(number * outputs // group, (number + 1) * outputs // group)
        full[rows, number * inputs : (number + 1) * inputs] = weights[rows]
    return full


def pack_weights(weights: np.ndarray, config: MacArrayConfig) -> np.ndarray:
    """[O, I, H, W] as tiles in the order of passes: [output tiles, H, W, input tiles, rows, columns]."""
    outputs, inputs, *kernel = weights.shape
    tiles, sources = -(-outputs // config.rows), -(-inputs // config.columns)
    full = np.zeros((tiles * config.rows, sources * config.columns, *kernel), np.int8)
    full[:outputs, :inputs] = weights
    blocks = full.reshape(tiles, config.rows, sources, config.columns, *kernel)
    return np.ascontiguousarray(blocks.transpose(0, 4, 5, 2, 1, 3))


def pack_diagonal(weights: np.ndarray, config: MacArrayConfig) -> np.ndarray:
    """[O, 1, H, W] of a depthwise convolution, a diagonal tile for each tap."""
    outputs, _, height, width = weights.shape
    tiles = -(-outputs // config.rows)
    full = np.zeros((tiles, height * width, config.rows, config.columns), np.int8)
    for channel, taps in enumerate(weights.reshape(outputs, -1)):
        tile, row = divmod(channel, config.rows)
        full[tile, :, row, row] = taps
    return full


def pack_rows(weights: np.ndarray, config: MacArrayConfig) -> np.ndarray:
    """[O, I, H, W] for windows whose rows are packed: [output tiles, passes, rows, columns]."""
    outputs, inputs, height, width = weights.shape
    window_bytes = width * inputs
    rows = weights.transpose(0, 2, 3, 1).reshape(outputs, height, window_bytes)
    passes = packed_passes(window_bytes, height, config.columns)
    lanes = packed_lanes(window_bytes, passes, config.columns)
    is_used = (lanes[..., 0] >= 0) & (lanes[..., 0] < height)
    tiles = -(-outputs // config.rows)
    full = np.zeros((tiles * config.rows, passes, config.columns), np.int8)
    full[:outputs, is_used] = rows[:, lanes[is_used][:, 0], lanes[is_used][:, 1]]
    blocks = full.reshape(tiles, config.rows, passes, config.columns)
    return np.ascontiguousarray(blocks.transpose(0, 2, 1, 3))


def pack_parameters(
    bias: np.ndarray, scale: np.ndarray, channels: int, rows: int
) -> np.ndarray:
    """Bias and multiplier of every channel, [tiles, rows, 2] words; tiles have some channels."""
    tiles = -(-len(bias) // channels)
    full = np.zeros((tiles * channels, 2), np.uint32)
    full[:, 1] = np.float32(1).view(np.uint32)
    full[: len(bias), 0] = bias.astype(np.int64).astype(np.int32).view(np.uint32)
    full[: len(bias), 1] = np.broadcast_to(scale.astype(np.float32), len(bias)).view(np.uint32)
    blocks = full.reshape(tiles, channels, 2)
    wide = np.zeros((tiles, rows, 2), np.uint32)
    wide[..., 1] = np.float32(1).view(np.uint32)
    wide[:, :channels] = blocks
    assert wide.itemsize * 2 == BEAT_BYTES
    return wide
