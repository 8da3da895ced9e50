"""20 photos of ImageNet's validation set with their labels, which the package foolbox carries.

Enough to calibrate a quantizer on what real activations look like, and to see gross loss of
accuracy; far too few to state an accuracy.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from joulecut.compiler.errors import ConfigError

COUNT = 20
SIDE = 224


@dataclass(frozen=True, eq=False)
class Photos:
    """Square colour photos.

    Attributes:
        pixels: uint8 [N, 224, 224, 3], RGB.
        labels: int64 [N], ImageNet's class of 0 to 999.
    """

    pixels: np.ndarray
    labels: np.ndarray


def load(folder: Path | None = None) -> Photos:
    """The photos in the order of their names, resized with a bicubic filter.

    Args:
        folder: holds `imagenet_<index>_<label>.jpg`; None takes foolbox's.

    Raises:
        ConfigError: foolbox or Pillow is not installed, or the photos are not there.
    """
    folder = _packaged_folder() if folder is None else folder
    paths = sorted(folder.glob("imagenet_*.jpg"))
    if len(paths) != COUNT:
        raise ConfigError(
            f"{folder} must hold {COUNT} files imagenet_<index>_<label>.jpg, not {len(paths)}"
        )
    return Photos(
        np.stack([_pixels(path) for path in paths]),
        np.array([_label(path) for path in paths], np.int64),
    )


def _packaged_folder() -> Path:
    # Importing foolbox would import every framework that it finds; its place is all we need.
    spec = importlib.util.find_spec("foolbox")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            "photos must come from the package foolbox, which is not installed; "
            "run: pip install 'joulecut[models]'"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _pixels(path: Path) -> np.ndarray:
    try:
        from PIL import Image
    except ModuleNotFoundError as missing:
        raise ConfigError(
            "photos must be decoded by the package Pillow, which is not installed; "
            "run: pip install 'joulecut[models]'"
        ) from missing
    with Image.open(path) as image:
        square: Any = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(square, np.uint8)


def _label(path: Path) -> int:
    found = re.fullmatch(r"imagenet_\d+_(\d{1,3})", path.stem)
    if found is None:
        raise ConfigError(f"{path} must be named imagenet_<index>_<label>.jpg")
    return int(found[1])
