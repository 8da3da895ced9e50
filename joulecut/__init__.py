"""Cut a quantized network in two, compress what crosses, build each half, know what it costs.

The names here are the public Python interface; the command line calls the same functions.
They are imported when first used: `import joulecut` loads neither tvm nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from joulecut.compiler import codec as codec
    from joulecut.compiler.bundle import Bundle as Bundle
    from joulecut.compiler.config import BuildConfig as BuildConfig
    from joulecut.compiler.cut import Cut as Cut
    from joulecut.compiler.cut import cut_at as cut_at
    from joulecut.compiler.cut import cuts as cuts
    from joulecut.compiler.load import dialect_of as dialect_of
    from joulecut.compiler.load import load as load
    from joulecut.compiler.pipeline import pipeline as pipeline
    from joulecut.compiler.plan import Plan as Plan
    from joulecut.compiler.plan import partition as partition
    from joulecut.compiler.plan import run_plan as run_plan
    from joulecut.compiler.reference import run_reference as run_reference
    from joulecut.targets.adaptive.build import build_adaptive as build_adaptive
    from joulecut.targets.adaptive.session import AdaptiveSession as AdaptiveSession
    from joulecut.targets.base import target as target
    from joulecut.targets.build import build as build
    from joulecut.targets.devices.device import device as device
    from joulecut.targets.profile import profile as profile
    from joulecut.targets.session import InferenceSession as InferenceSession
    from joulecut.targets.verify import verify as verify
    from joulecut.zoo.quantize import quantize as quantize

_HOMES = {
    "AdaptiveSession": "targets.adaptive.session",
    "BuildConfig": "compiler.config",
    "Bundle": "compiler.bundle",
    "Cut": "compiler.cut",
    "InferenceSession": "targets.session",
    "Plan": "compiler.plan",
    "build": "targets.build",
    "build_adaptive": "targets.adaptive.build",
    "cut_at": "compiler.cut",
    "cuts": "compiler.cut",
    "device": "targets.devices.device",
    "dialect_of": "compiler.load",
    "load": "compiler.load",
    "partition": "compiler.plan",
    "pipeline": "compiler.pipeline",
    "profile": "targets.profile",
    "quantize": "zoo.quantize",
    "run_plan": "compiler.plan",
    "run_reference": "compiler.reference",
    "target": "targets.base",
    "verify": "targets.verify",
}


def __getattr__(name: str) -> Any:
    if name == "codec":
        return importlib.import_module("joulecut.compiler.codec")
    if name not in _HOMES:
        raise AttributeError(f"module 'joulecut' has no attribute '{name}'")
    found = getattr(importlib.import_module(f"joulecut.{_HOMES[name]}"), name)
    globals()[name] = found  # the next look-up does not come here
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "codec"})
