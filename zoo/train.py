"""Train the digit network: in float first, then with its quantizers, to the same numbers each time.

Pre-training in float is two to three times faster an epoch and lands where quantization-aware
training only has to adjust. Every epoch ends in a checkpoint; a run that was stopped goes on
from it to exactly the result of a run that was not (zoo/epochs.py).
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from joulecut.compiler.errors import ConfigError
from joulecut.zoo.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from joulecut.zoo.data import fashion_mnist, mnist
from joulecut.zoo.data.images import ImageSplit, LabelledImages
from joulecut.zoo.digits import digits, float_digits
from joulecut.zoo.epochs import (
    Epoch,
    Steps,
    accuracy,
    adam,
    deterministic,
    moments_of,
    restore_moments,
    run_epoch,
    set_falling_rate,
)
from joulecut.zoo.quantizers import calibrate

DATASETS = {"mnist": mnist.load, "fashion-mnist": fashion_mnist.load}
CALIBRATION_IMAGES = 512

Phase = Literal["float", "quantized"]


@dataclass(frozen=True)
class TrainConfig:
    """A recipe; equal recipes on one machine give equal weights.

    Attributes:
        directory: where the checkpoint and the result go; made if absent.
        dataset: the images.
        weight_bits: 2 to 8.
        activation_bits: 2 to 8.
        seed: of the initial weights, the order of the images and their shifts.
        float_epochs: pre-training without quantizers.
        quantized_epochs: training with them.
        float_rate: Adam's first learning rate in float; it falls to 0 along a cosine.
        quantized_rate: likewise with quantizers.
        batch_size: images a step.
        shift_pixels: each image moves by up to so many pixels both ways, at random.
        train_count: learn from the first so many images only; None takes all.
        held_out_count: judge by the first so many held-out images only; None takes all.
        threads: of torch; part of the recipe, since it orders the sums. On a busy machine
            several wait for one another: two took four times the processor time of one.
    """

    directory: Path
    dataset: Literal["mnist", "fashion-mnist"] = "mnist"
    weight_bits: int = 8
    activation_bits: int = 8
    seed: int = 0
    float_epochs: int = 8
    quantized_epochs: int = 2
    float_rate: float = 2e-3
    quantized_rate: float = 2e-4
    batch_size: int = 64
    shift_pixels: int = 2
    train_count: int | None = None
    held_out_count: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        if self.dataset not in DATASETS:
            raise ConfigError(f"dataset must be one of {[*DATASETS]}, not '{self.dataset}'")
        for name in ("weight_bits", "activation_bits"):
            if not 2 <= getattr(self, name) <= 8:
                raise ConfigError(f"{name} must be 2 to 8, not {getattr(self, name)}")
        for name in ("quantized_epochs", "batch_size", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("seed", "float_epochs", "shift_pixels"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0, not {getattr(self, name)}")

    @property
    def recipe(self) -> str:
        """All that decides the weights, as canonical JSON."""
        fields = {name: value for name, value in asdict(self).items() if name != "directory"}
        return json.dumps(fields, sort_keys=True)


@dataclass(frozen=True)
class TrainResult:
    """Where the trained network is and how good it is.

    Attributes:
        accuracy: fraction of held-out images that the quantized network gets right.
        path: safetensors file for `load_trained`.
        seconds: sum over all epochs, those of an earlier, interrupted run included.
        epochs: all of them, in order.
    """

    accuracy: float
    path: Path
    seconds: float
    epochs: tuple[Epoch, ...]


def train(
    config: TrainConfig, progress: Callable[[Epoch], None] = lambda _epoch: None
) -> TrainResult:
    """Train, or go on training, the digit network.

    Args:
        config: the recipe and where its checkpoint is.
        progress: called after each epoch that is run now.

    Raises:
        ConfigError: the directory holds a checkpoint of another recipe, or a data set that
            a package must bring is not installed.
        UntrustedInputError: the checkpoint is not readable.
    """
    split = DATASETS[config.dataset]()
    data = ImageSplit(
        split.train.take(config.train_count), split.held_out.take(config.held_out_count)
    )
    config.directory.mkdir(parents=True, exist_ok=True)
    path = config.directory / "digits.safetensors"
    with deterministic(config.threads):
        state = _resume(config, path) or _start(config)
        while len(state.epochs) < config.float_epochs + config.quantized_epochs:
            if state.phase == "float" and len(state.epochs) == config.float_epochs:
                state = _quantize(config, state.module, state.epochs, data.train)
            epoch = _run_epoch(config, state, data)
            state.epochs.append(epoch)
            write_checkpoint(path, _checkpoint(config, state))
            progress(epoch)
    seconds = sum(epoch.seconds for epoch in state.epochs)
    return TrainResult(state.epochs[-1].accuracy, path, seconds, tuple(state.epochs))


def load_trained(path: Path) -> nn.Module:
    """The quantized network of a finished `train`, in eval mode.

    Raises:
        ConfigError: there is no such file, or its training has not reached the quantizers.
        UntrustedInputError: the file is corrupt.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint is None:
        raise ConfigError(f"trained network must be in {path}, which is not a file")
    if checkpoint.phase != "quantized":
        raise ConfigError(
            f"{path} must hold a quantized network, not one in its {checkpoint.phase} phase; "
            "let the training finish"
        )
    recipe = json.loads(checkpoint.recipe)
    module = digits(recipe["weight_bits"], recipe["activation_bits"])
    module.load_state_dict(checkpoint.weights)
    return module.eval()


@dataclass
class _State:
    """A training under way: changed in place by each step."""

    phase: Phase
    module: nn.Module
    optimizer: torch.optim.Adam
    epochs: list[Epoch]


def _start(config: TrainConfig) -> _State:
    module = float_digits(config.seed)
    return _State("float", module, adam(module, config.float_rate), [])


def _quantize(
    config: TrainConfig, trained: nn.Module, epochs: list[Epoch], images: LabelledImages
) -> _State:
    """Move the float weights into the quantized network and calibrate its scales."""
    module = digits(config.weight_bits, config.activation_bits)
    unmatched = module.load_state_dict(trained.state_dict(), strict=False)
    assert all(name.endswith("scaling_impl.value") for name in unmatched.missing_keys)
    assert not unmatched.unexpected_keys
    sample = torch.from_numpy(images.images[:CALIBRATION_IMAGES])
    calibrate(module, sample.split(config.batch_size))
    return _State("quantized", module, adam(module, config.quantized_rate), epochs)


def _run_epoch(config: TrainConfig, state: _State, data: ImageSplit) -> Epoch:
    started = time.perf_counter()
    index = len(state.epochs)
    _set_rate(config, state, index)
    steps = Steps(config.seed, config.batch_size, config.shift_pixels)
    loss = run_epoch(state.module, state.optimizer, data.train, index, steps)
    return Epoch(
        index=index + 1,
        count=config.float_epochs + config.quantized_epochs,
        phase=state.phase,
        loss=loss,
        accuracy=accuracy(state.module, data.held_out),
        seconds=time.perf_counter() - started,
    )


def _set_rate(config: TrainConfig, state: _State, index: int) -> None:
    """Half a cosine over the epochs of the phase: from the first rate towards 0."""
    if state.phase == "float":
        first, done, count = config.float_rate, index, config.float_epochs
    else:
        done = index - config.float_epochs
        first, count = config.quantized_rate, config.quantized_epochs
    set_falling_rate(state.optimizer, first, done, count)


def _checkpoint(config: TrainConfig, state: _State) -> Checkpoint:
    return Checkpoint(
        recipe=config.recipe,
        phase=state.phase,
        epochs=tuple(asdict(epoch) for epoch in state.epochs),
        weights=dict(state.module.state_dict()),
        moments=moments_of(state.module, state.optimizer),
    )


def _resume(config: TrainConfig, path: Path) -> _State | None:
    checkpoint = read_checkpoint(path)
    if checkpoint is None:
        return None
    if checkpoint.recipe != config.recipe:
        raise ConfigError(
            f"checkpoint {path} must be of the recipe {config.recipe}, "
            f"not {checkpoint.recipe}; choose another directory or remove the file"
        )
    epochs = [Epoch(**fields) for fields in checkpoint.epochs]
    if checkpoint.phase == "float":
        module, rate = float_digits(), config.float_rate
    else:
        module, rate = digits(config.weight_bits, config.activation_bits), config.quantized_rate
    module.load_state_dict(checkpoint.weights)
    optimizer = adam(module, rate)
    restore_moments(module, optimizer, checkpoint.moments)
    return _State(
        "float" if checkpoint.phase == "float" else "quantized", module, optimizer, epochs
    )
