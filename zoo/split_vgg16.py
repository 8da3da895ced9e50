"""VGG16 for two classes, split after any layer: the network of Brito et al. (SBrT 2020).

Its 13 convolutions are frozen and real (`zoo.vgg16`); of its dense layers, 4096-1024-512-2, all
start anew and are trained on a few hundred images. So features of an image are computed once, and
training the head takes a minute.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from joulecut.compiler.errors import ConfigError
from joulecut.zoo.counted import CountedLayer, counted
from joulecut.zoo.initial import seeded
from joulecut.zoo.vgg16 import BLOCKS, INPUT_SHAPE, Blocks, float_vgg16

HEAD = (4096, 1024, 512, 2)
PARAMETERS = 122_200_386
_BATCH = 8  # images at a time through the convolutions


@dataclass(frozen=True)
class HeadRecipe:
    """How the dense layers are trained; equal recipes on one machine give equal weights.

    Attributes:
        widths: neurons of each dense layer, the last being the classes.
        seed: of the first weights and the order of the images.
        epochs: over the training images; the weights of the epoch that classifies most
            validation images correctly are kept, the one of least loss among equals.
        rate: of Adam.
        batch_size: images a step.
        validation: share of the images that is kept for choosing the epoch.
    """

    widths: tuple[int, ...] = HEAD
    seed: int = 0
    epochs: int = 10
    rate: float = 1e-4
    batch_size: int = 35
    validation: float = 0.3

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ConfigError(f"epochs must be at least 1, not {self.epochs}")
        if not 0 < self.validation < 1:
            raise ConfigError(f"validation must be above 0 and below 1, not {self.validation}")


def float_head(inputs: int, widths: Sequence[int] = HEAD, seed: int = 0) -> nn.Sequential:
    """Dense layers with ReLU between them, from features [N, inputs] to logits; Keras' start.

    Softmax, which the paper's last layer has, changes no decision and is left to the loss.
    """
    with seeded(seed):
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise((inputs, *widths)):
            dense = nn.Linear(before, after)
            nn.init.xavier_uniform_(dense.weight)
            nn.init.zeros_(dense.bias)
            layers += [dense, nn.ReLU()]
        return nn.Sequential(*layers[:-1])


def whole(trunk: nn.Sequential, head: nn.Sequential) -> nn.Sequential:
    """One network of both, with the names of the paper's layers: block1_conv1 .. dense4."""
    module = nn.Sequential()
    for name, stage in trunk.named_children():
        module.add_module(name, stage)
    module.add_module("flatten", nn.Flatten())
    for index, stage in enumerate(head):
        number = index // 2 + 1
        name = f"dense{number}_relu" if index % 2 else f"dense{number}"
        module.add_module(name, stage)
    return module


def layers(blocks: Blocks = BLOCKS, widths: Sequence[int] = HEAD) -> list[CountedLayer]:
    """The paper's 23 layers: input, 13 convolutions, 5 pools, 4 dense layers; counted."""
    with torch.device("meta"):
        trunk = float_vgg16(blocks)
        inputs = trunk(torch.empty(INPUT_SHAPE)).numel()
        return counted(whole(trunk, float_head(inputs, widths)), INPUT_SHAPE)


def split_names(trunk: nn.Sequential) -> tuple[str, ...]:
    """Where the trunk can be cut: `input`, each convolution (after its ReLU), each pool."""
    names = [name for name, _ in trunk.named_children() if not name.endswith("_relu")]
    return ("input", *names)


def at_split(trunk: nn.Sequential, images: np.ndarray, split: str) -> np.ndarray:
    """What crosses after a layer: float32 [N, C, H, W] of prepared images [N, 3, H, W]."""
    before = list(trunk)[: _stages_until(trunk, split)]
    return _through(before, images)


def after_split(trunk: nn.Sequential, crossing: np.ndarray, split: str) -> np.ndarray:
    """Features, float32 [N, C * H * W], that the rest of the trunk makes of what crossed."""
    features = _through(list(trunk)[_stages_until(trunk, split) :], crossing)
    return features.reshape(len(features), -1)


def trained_head(
    features: np.ndarray, labels: np.ndarray, recipe: HeadRecipe
) -> tuple[nn.Sequential, float, float]:
    """The dense layers, trained.

    Args:
        features: float32 [N, inputs]; the first images train, the last ones validate.
        labels: int64 [N].
        recipe: how.

    Returns:
        The head in eval mode, and its accuracies on both parts, as fractions.
    """
    n_train = round(len(labels) * (1 - recipe.validation))
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    head = float_head(features.shape[1], recipe.widths, recipe.seed)
    # Fused: the 107 million weights and their moments cross memory once a step.
    optimizer = torch.optim.Adam(head.parameters(), lr=recipe.rate, fused=True)
    best: tuple[float, float] | None = None
    kept: dict[str, torch.Tensor] = {}
    random = torch.Generator().manual_seed(recipe.seed)
    for _ in range(recipe.epochs):
        for batch in torch.randperm(n_train, generator=random).split(recipe.batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(head(x[batch]), y[batch]).backward()
            optimizer.step()
        found = _judged(head, x[n_train:], y[n_train:])
        if best is None or found > best:
            best = found
            kept = {name: value.clone() for name, value in head.state_dict().items()}
    head.load_state_dict(kept)
    head.eval()
    train_accuracy, _ = _judged(head, x[:n_train], y[:n_train])
    assert best is not None
    return head, train_accuracy, best[0]


def head_of(arrays: dict[str, np.ndarray]) -> nn.Sequential:
    """The head of what `zoo.tapped.arrays_of` made of it; in eval mode."""
    shapes = [value.shape for name, value in arrays.items() if name.endswith("weight")]
    head = float_head(shapes[0][1], [out for out, _ in shapes])
    head.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    head.eval()
    return head


def logits(head: nn.Sequential, features: np.ndarray) -> np.ndarray:
    """float32 [N, classes] of features [N, inputs]."""
    with torch.inference_mode():
        return head(torch.from_numpy(features)).numpy()


def multiplies_bfloat16() -> bool:
    """Whether this processor has tiles for products of bfloat16, four times as fast.

    Sums stay float32. Features are not those of float32 then, so what is kept of one processor is
    not mixed with what another made.
    """
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def _judged(head: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """Accuracy, and the negative of the loss."""
    with torch.inference_mode():
        found = head(x)
        right = float((found.argmax(1) == y).float().mean())
        return right, -float(functional.cross_entropy(found, y))


def _stages_until(trunk: nn.Sequential, split: str) -> int:
    """How many stages stand before the split."""
    names = [name for name, _ in trunk.named_children()]
    if split == "input":
        return 0
    if split not in names:
        raise ConfigError(
            f"split must be one of {', '.join(split_names(trunk))}, not '{split}'"
        )
    return names.index(split) + 1 + (f"{split}_relu" in names)


def _through(stages: Sequence[nn.Module], x: np.ndarray) -> np.ndarray:
    if not stages:
        return x
    module = nn.Sequential(*stages)
    with (
        torch.inference_mode(),
        torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16()),
    ):
        parts = [module(part).float() for part in torch.from_numpy(x).split(_BATCH)]
    return torch.cat(parts).numpy()
