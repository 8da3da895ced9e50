"""Train the digit network to be sparse, by Eq. 10 of the paper in docs/energy.md, and prune it.

`train_sparse` minimizes mu * cross entropy + (1 - mu) * sum of |parameters| by Adam at a constant
rate. `prune` then makes every parameter below a threshold 0 and, which the paper does not do,
trains the others on by Eq. 10 at a falling rate, in several stages. Both end every epoch in a
checkpoint and go on from it.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from joulecut.compiler.errors import ConfigError
from joulecut.zoo.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from joulecut.zoo.data.images import ImageSplit
from joulecut.zoo.digits import float_digits
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
from joulecut.zoo.train import DATASETS

Progress = Callable[[Epoch], None]


def _silent(_: Epoch) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class SparseConfig:
    """A recipe; equal recipes on one machine give equal weights.

    Attributes:
        directory: where the checkpoints go; made if absent.
        dataset: the images.
        seed: of the initial weights and the order of the images.
        mu: weight of the loss; 1 - mu is that of the L1 norm, so that 1 trains without it.
        epochs: of `train_sparse`.
        rate: Adam's.
        batch_size: images a step.
        train_count: learn from the first so many images only; None takes all.
        held_out_count: judge by the first so many held-out images only; None takes all.
        threads: of torch; part of the recipe, since it orders the sums.
    """

    directory: Path
    dataset: Literal["mnist", "fashion-mnist"] = "mnist"
    seed: int = 0
    mu: float = 0.9999
    epochs: int = 20
    rate: float = 1e-3
    batch_size: int = 64
    train_count: int | None = None
    held_out_count: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        if self.dataset not in DATASETS:
            raise ConfigError(f"dataset must be one of {[*DATASETS]}, not '{self.dataset}'")
        if not 0 < self.mu <= 1:
            raise ConfigError(f"mu must be above 0 and at most 1, not {self.mu}")
        for name in ("epochs", "batch_size", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")

    @property
    def fields(self) -> dict[str, Any]:
        """All that decides the weights."""
        return {name: value for name, value in asdict(self).items() if name != "directory"}


@dataclass(frozen=True)
class SparseResult:
    """Where a trained network is and how good it is.

    Attributes:
        accuracy: fraction of held-out images that it gets right, in float.
        path: safetensors file for `load_float` and `parameters`.
        epochs: all of them, in order.
    """

    accuracy: float
    path: Path
    epochs: tuple[Epoch, ...]


def train_sparse(config: SparseConfig, progress: Progress = _silent) -> SparseResult:
    """Eq. 10: train, or go on training, with the L1 norm of all parameters.

    Args:
        config: the recipe and where its checkpoint is.
        progress: called after each epoch that is run now.

    Raises:
        ConfigError: the directory holds a checkpoint of another recipe, or a data set that
            a package must bring is not installed.
        UntrustedInputError: the checkpoint is not readable.
    """
    run = _Run(config, "sparse", config.epochs, config.directory / "sparse.safetensors", {})
    return run.finish(lambda: float_digits(config.seed), partial(_steps, config, 0), progress)


def prune(
    config: SparseConfig,
    thresholds: Sequence[float],
    tuned_epochs: int = 4,
    progress: Progress = _silent,
) -> list[SparseResult]:
    """Make small parameters 0 and train the others on, which keeps them 0; then more of them.

    Several thresholds, each after a little training, cost less accuracy than the last one at once.

    Args:
        config: of a finished `train_sparse`.
        thresholds: parameters below it in magnitude become 0, at each stage; 0 prunes nothing.
        tuned_epochs: how long the others are trained at each stage; the rate falls to 0. May be 0.
        progress: called after each epoch that is run now.

    Returns:
        The network after each stage.

    Raises:
        ConfigError: there is no network to prune, or it was pruned there by another recipe; or a
            threshold or the number of epochs is negative.
        UntrustedInputError: a checkpoint is not readable.
    """
    if min((*thresholds, tuned_epochs), default=0) < 0:
        raise ConfigError(
            f"thresholds and tuned_epochs must be 0 or more, not {thresholds}, {tuned_epochs}"
        )
    found: list[SparseResult] = []
    source = config.directory / "sparse.safetensors"
    for stage, threshold in enumerate(thresholds, start=1):
        path = config.directory / f"pruned-{stage}.safetensors"
        options = {"thresholds": [*thresholds[:stage]], "tuned_epochs": tuned_epochs}
        run = _Run(config, "pruned", tuned_epochs, path, options)
        start = partial(_thresholded, source, threshold)
        found.append(run.finish(start, partial(_steps, config, stage), progress))
        source = path
    return found


def _thresholded(path: Path, threshold: float) -> nn.Module:
    module = load_float(path)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter[parameter.abs() < threshold] = 0
    return module


def _steps(config: SparseConfig, stage: int, module: nn.Module) -> Steps:
    """Steps that minimize Eq. 10; after each what was 0 at the start of a stage is 0 again."""
    parameters = list(module.parameters())
    masks = [parameter.detach() != 0 for parameter in parameters] if stage else []

    def objective(entropy: torch.Tensor) -> torch.Tensor:
        if config.mu == 1:
            return entropy
        norm = torch.stack([each.abs().sum() for each in parameters]).sum()
        return config.mu * entropy + (1 - config.mu) * norm

    def after() -> None:
        with torch.no_grad():
            for parameter, mask in zip(parameters, masks, strict=False):  # no mask at first
                parameter.mul_(mask)

    return Steps(config.seed + stage, config.batch_size, objective=objective, after=after)


def load_float(path: Path) -> nn.Module:
    """The float network of a checkpoint of this file, in eval mode.

    Raises:
        ConfigError: there is no such file.
        UntrustedInputError: the file is corrupt.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint is None:
        raise ConfigError(f"sparse network must be in {path}, which is not a file; train it")
    module = float_digits()
    module.load_state_dict(checkpoint.weights)
    return module.eval()


def parameters(path: Path) -> dict[str, np.ndarray]:
    """Weights and biases of a checkpoint of this file: float32, by the names of `float_digits`.

    Raises:
        ConfigError: there is no such file.
        UntrustedInputError: the file is corrupt.
    """
    module = load_float(path)
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


def kept(found: Mapping[str, np.ndarray]) -> int:
    """How many parameters are not 0."""
    return sum(int(np.count_nonzero(value)) for value in found.values())


@dataclass(frozen=True)
class _Run:
    """One of the two trainings: what decides it, how long it lasts and where it is kept."""

    config: SparseConfig
    phase: str
    count: int
    path: Path
    options: Mapping[str, Any]

    @property
    def _recipe(self) -> str:
        return json.dumps({**self.config.fields, **self.options}, sort_keys=True)

    def finish(
        self,
        start: Callable[[], nn.Module],
        steps: Callable[[nn.Module], Steps],
        progress: Progress,
    ) -> SparseResult:
        """Run the epochs that are missing."""
        config = self.config
        config.directory.mkdir(parents=True, exist_ok=True)
        resumed = self._resume()
        if resumed and self.count and len(resumed[2]) == self.count:
            return SparseResult(resumed[2][-1].accuracy, self.path, tuple(resumed[2]))
        split = DATASETS[config.dataset]()
        data = ImageSplit(
            split.train.take(config.train_count), split.held_out.take(config.held_out_count)
        )
        with deterministic(config.threads):
            module, optimizer, epochs = resumed or self._begin(start())
            each = steps(module)
            while len(epochs) < self.count:
                epochs.append(self._epoch(module, optimizer, data, len(epochs), each))
                self._write(module, optimizer, epochs)
                progress(epochs[-1])
            found = epochs[-1].accuracy if epochs else accuracy(module, data.held_out)
        return SparseResult(found, self.path, tuple(epochs))

    def _begin(self, module: nn.Module) -> tuple[nn.Module, torch.optim.Adam, list[Epoch]]:
        optimizer = adam(module, self.config.rate)
        if not self.count:
            self._write(module, optimizer, [])
        return module, optimizer, []

    def _epoch(
        self,
        module: nn.Module,
        optimizer: torch.optim.Adam,
        data: ImageSplit,
        index: int,
        steps: Steps,
    ) -> Epoch:
        started = time.perf_counter()
        if self.phase == "pruned":
            set_falling_rate(optimizer, self.config.rate, index, self.count)
        loss = run_epoch(module, optimizer, data.train, index, steps)
        right = accuracy(module, data.held_out)
        seconds = time.perf_counter() - started
        return Epoch(index + 1, self.count, self.phase, loss, right, seconds)

    def _write(
        self, module: nn.Module, optimizer: torch.optim.Adam, epochs: list[Epoch]
    ) -> None:
        write_checkpoint(
            self.path,
            Checkpoint(
                recipe=self._recipe,
                phase=self.phase,
                epochs=tuple(asdict(epoch) for epoch in epochs),
                weights=dict(module.state_dict()),
                moments=moments_of(module, optimizer),
            ),
        )

    def _resume(self) -> tuple[nn.Module, torch.optim.Adam, list[Epoch]] | None:
        checkpoint = read_checkpoint(self.path)
        if checkpoint is None:
            return None
        if checkpoint.recipe != self._recipe:
            raise ConfigError(
                f"checkpoint {self.path} must be of the recipe {self._recipe}, "
                f"not {checkpoint.recipe}; choose another directory or remove the file"
            )
        module = load_float(self.path)
        optimizer = adam(module, self.config.rate)
        if checkpoint.epochs:
            restore_moments(module, optimizer, checkpoint.moments)
        return module, optimizer, [Epoch(**fields) for fields in checkpoint.epochs]
