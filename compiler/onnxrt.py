"""The only door to onnxruntime: sessions whose arithmetic can be compared with ours.

onnxruntime's fused int8 kernels saturate 16-bit sums on x86 processors without VNNI unless
`session.x64quantprecision` is set, and its optimizer fuses nodes into operators that round
differently. A comparison therefore fixes both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_ERRORS_ONLY = 3  # onnxruntime's log severity


@dataclass(frozen=True)
class Session:
    """A loaded model.

    Attributes:
        inputs: names of what `run` must be fed.
        outputs: names of what `run` returns, in order.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    _engine: Any

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs of the model for these inputs, by name."""
        results: list[Any] = self._engine.run(list(self.outputs), dict(feeds))
        return [np.asarray(result) for result in results]


def session(model: bytes | str | Path, *, optimize: bool, threads: int = 1) -> Session:
    """Load a model for the processor.

    Args:
        model: a serialized ModelProto, or where one lies.
        optimize: fuse and fold as onnxruntime does by default, or run node by node as written.
        threads: of one operator; operators run one after the other.
    """
    import onnxruntime

    runtime: Any = onnxruntime
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    levels = runtime.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    )
    if not optimize:
        # Exact sums on processors without VNNI. Under this setting onnxruntime 1.31.1 stops
        # fusing a QCDQ export with "Attempt to replace the existing tensor".
        options.add_session_config_entry("session.x64quantprecision", "1")
    engine = runtime.InferenceSession(
        model if isinstance(model, bytes) else str(model),
        options,
        providers=["CPUExecutionProvider"],
    )
    return Session(
        inputs=tuple(value.name for value in engine.get_inputs()),
        outputs=tuple(value.name for value in engine.get_outputs()),
        _engine=engine,
    )


def run(
    model: bytes | str | Path, feeds: Mapping[str, np.ndarray], *, optimize: bool = False
) -> list[np.ndarray]:
    """Load a model and run it once."""
    return session(model, optimize=optimize).run(feeds)
