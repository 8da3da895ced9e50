"""The networks of the energy paper, trained here: as they are, and sparse in several stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from joulecut.repro.digit_counts import Array, removed
from joulecut.zoo.digits import PARAMETERS
from joulecut.zoo.epochs import Epoch
from joulecut.zoo.sparsify import (
    SparseConfig,
    SparseResult,
    kept,
    parameters,
    prune,
    train_sparse,
)

THRESHOLDS = (0.03, 0.05, 0.05, 0.05, 0.055, 0.09)
CHOSEN = 4  # of the stages: the one that all figures but Fig. 5 show

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Network:
    """A float network.

    Attributes:
        path: of its checkpoint.
        parameters: float32, by name.
        accuracy: on held-out images, measured.
        threshold: of the pruning; 0 for none.
    """

    path: Path
    parameters: dict[str, Array]
    accuracy: float
    threshold: float

    @property
    def ratio(self) -> float:
        """C_r: parameters of the original over those that are not 0."""
        return PARAMETERS / kept(self.parameters)

    def removed(self, layer: str) -> float:
        """The fraction of the weights of a layer that are 0."""
        return removed(self.parameters, layer)


@dataclass(frozen=True, eq=False)
class Trained:
    """A network as it is, and the stages of its pruning.

    Attributes:
        dataset: mnist or fashion-mnist.
        seed: of the training.
        dense: trained by the same recipe with mu = 1.
        stages: one for each threshold.
    """

    dataset: str
    seed: int
    dense: Network
    stages: tuple[Network, ...]

    @property
    def chosen(self) -> Network:
        """The stage that figures show."""
        return self.stages[CHOSEN]


@dataclass(frozen=True)
class Effort:
    """How long networks are trained.

    Attributes:
        epochs: with the L1 norm before the first threshold.
        stage_epochs: after each threshold.
        dense_epochs: without the norm at a falling rate, after as many as before the threshold.
        count: images to learn from; None takes all.
        held_out: images to judge by; None takes all.
    """

    epochs: int
    stage_epochs: int
    dense_epochs: int
    count: int | None = None
    held_out: int | None = None


def trained(
    directory: Path,
    dataset: Literal["mnist", "fashion-mnist"],
    seed: int,
    effort: Effort,
    progress: Progress,
) -> Trained:
    """Train, or go on training, one network both ways.

    Args:
        directory: holds a folder for each network.
        dataset: the images.
        seed: of weights and order.
        effort: how long.
        progress: told a line after each epoch.
    """
    config = SparseConfig(
        directory / f"{dataset}-{seed}",
        dataset=dataset,
        seed=seed,
        epochs=effort.epochs,
        train_count=effort.count,
        held_out_count=effort.held_out,
    )

    def show(name: str) -> Callable[[Epoch], None]:
        return lambda epoch: progress(
            f"{dataset}, seed {seed}, {name}: epoch {epoch.index} of {epoch.count}, loss "
            f"{epoch.loss:.3f}, held-out accuracy {epoch.accuracy:.3f}, {epoch.seconds:.0f} s"
        )

    train_sparse(config, show("sparse"))
    stages = prune(config, THRESHOLDS, effort.stage_epochs, show("pruned"))
    plain = replace(config, mu=1.0, directory=directory / f"{dataset}-{seed}-dense")
    train_sparse(plain, show("dense"))
    (dense,) = prune(plain, (0.0,), effort.dense_epochs, show("dense"))
    return Trained(
        dataset,
        seed,
        _network(dense, 0.0),
        tuple(_network(*each) for each in zip(stages, THRESHOLDS, strict=True)),
    )


def _network(result: SparseResult, threshold: float) -> Network:
    return Network(result.path, parameters(result.path), result.accuracy, threshold)
