"""A training's state in one safetensors file: weights, Adam's moments, recipe and metrics.

safetensors holds arrays and text only, so that reading a file from elsewhere runs no code.
"""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from joulecut.compiler.errors import UntrustedInputError

_KEY = "joulecut"  # one entry only: safetensors writes several in no fixed order
_WEIGHT = "weight/"
_MOMENT = "moment/"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a training needs to go on.

    Attributes:
        recipe: canonical JSON of what decides the weights.
        phase: `float` or `quantized`.
        epochs: the fields of each epoch so far.
        weights: the state of the network by name.
        moments: the state of the optimizer, `<parameter>.<field>`.
    """

    recipe: str
    phase: str
    epochs: tuple[dict[str, Any], ...]
    weights: dict[str, torch.Tensor]
    moments: dict[str, torch.Tensor]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file in one step, so that an interruption leaves the old or the new one."""
    tensors = {_WEIGHT + name: value for name, value in checkpoint.weights.items()}
    tensors |= {_MOMENT + name: value for name, value in checkpoint.moments.items()}
    facts = {
        "recipe": checkpoint.recipe,
        "phase": checkpoint.phase,
        "epochs": checkpoint.epochs,
    }
    partial = path.with_name(path.name + ".partial")
    save_file(
        {name: value.detach().contiguous() for name, value in tensors.items()},
        partial,
        metadata={_KEY: json.dumps(facts, sort_keys=True)},
    )
    partial.replace(path)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Inverse of `write_checkpoint`; None if there is no such file.

    Raises:
        UntrustedInputError: the file is not a checkpoint.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            opened: Any = file
            facts: Any = json.loads((opened.metadata() or {})[_KEY])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        return Checkpoint(
            recipe=facts["recipe"],
            phase=facts["phase"],
            epochs=tuple(facts["epochs"]),
            weights=_with_prefix(tensors, _WEIGHT),
            moments=_with_prefix(tensors, _MOMENT),
        )
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise UntrustedInputError(
            f"{path} must be a checkpoint of joulecut: {error}; remove it to start again"
        ) from error


def _with_prefix(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
