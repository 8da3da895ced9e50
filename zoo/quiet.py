"""Known warnings of third-party packages, silenced by their exact text and nothing more."""

from __future__ import annotations

import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager

KNOWN = (
    # Brevitas 0.13.4, at import: an optional CUDA package; and its own use of its own module.
    "fast_hadamard_transform package not found, using standard pytorch kernels",
    "brevitas.fx is deprecated and will be removed in a future release.",
    # torch 2.13, when exporting: the exporter that Brevitas' QCDQ format needs is the older one.
    "You are using the legacy TorchScript-based ONNX export.",
    "The feature will be removed. Please remove usage of this function",
    # Likewise, for a padding: its amounts stay a small graph of constants.
    "Constant folding - Only steps=1 can be constant folded for opset >= 10 onnx::Slice op.",
)


@contextmanager
def quiet() -> Generator[None]:
    """Within the block, the warnings that start with a text of `KNOWN` are not shown."""
    with warnings.catch_warnings():
        for text in KNOWN:
            warnings.filterwarnings("ignore", message=re.escape(text))
        yield
