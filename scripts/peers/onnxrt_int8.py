"""onnxruntime on an integer network in the three forms that it runs fast, ready to be timed.

    qdq            the model as it is; onnxruntime fuses and lays out as it sees fit
    qlinear        what its fusions make of it, saved and loaded again
    channels_last  that, converted here (`channels_last.py`)

A call binds preallocated arrays, so that neither copies nor allocations of Python are counted.
What a call costs by itself is measured with a model that only hands its input through.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from onnx import helper
from peers.channels_last import channels_last, known_shapes

FORMS = ("qdq", "qlinear", "channels_last")

Array = np.ndarray[Any, np.dtype[Any]]
Call = Callable[[], object]


class Network(Protocol):
    """What a network must say to be run."""

    @property
    def qdq_path(self) -> Path:
        """An integer QDQ model with one input and one output."""
        ...


@dataclass(frozen=True, eq=False)
class Peer:
    """A session with its arrays.

    Attributes:
        call: runs it once, from `x` to `y`.
        x: what it reads; fill it in place.
        y: what it writes.
        model_bytes: of the model as it was loaded.
    """

    call: Call
    x: Array
    y: Array
    model_bytes: int

    def outputs(self, x: Array) -> Array:
        """The output for an input."""
        self.x[...] = x
        self.call()
        return self.y.copy()


def peers(network: Network, threads: int = 1) -> dict[str, Peer]:
    """All forms of a network.

    Args:
        network: see `Network`.
        threads: of each session; one does not spin while it waits, several do.
    """
    return {form: bound(model, threads) for form, model in models(network.qdq_path).items()}


def peer_calls(network: Network, threads: int = 1) -> dict[str, Call]:
    """The calls of `peers` alone."""
    return {form: peer.call for form, peer in peers(network, threads).items()}


def identity(shape: tuple[int, ...], dtype: str, threads: int = 1) -> Peer:
    """A model that hands its input through: what a call costs without any work."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    ends = [helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y")]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "identity", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return bound(model.SerializeToString(), threads)


def models(path: Path) -> dict[str, bytes]:
    """The serialized model in each of `FORMS`."""
    as_is = path.read_bytes()
    fused = qlinear(as_is)
    shapes = known_shapes(onnx.ModelProto.FromString(as_is))
    return {
        "qdq": as_is,
        "qlinear": fused.SerializeToString(),
        "channels_last": channels_last(fused, shapes).SerializeToString(),
    }


def qlinear(model: bytes) -> onnx.ModelProto:
    """Onnxruntime's fusions of quantizers, without its choice of layout."""
    runtime = _runtime()
    options = _options(1)
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fused.onnx"
        options.optimized_model_filepath = str(path)
        runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return onnx.ModelProto.FromString(path.read_bytes())


def bound(model: bytes, threads: int) -> Peer:
    """A session of a model with one input and one output, bound to new arrays."""
    runtime = _runtime()
    session: Any = runtime.InferenceSession(
        model, _options(threads), providers=["CPUExecutionProvider"]
    )
    binding: Any = session.io_binding()
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    x, y = (np.zeros(end.shape, _NUMPY[end.type]) for end in (given, made))
    binding.bind_input(given.name, "cpu", 0, x.dtype, x.shape, x.ctypes.data)
    binding.bind_output(made.name, "cpu", 0, y.dtype, y.shape, y.ctypes.data)

    def call() -> object:
        kept = (x, y)  # the binding knows their addresses only
        return session.run_with_iobinding(binding), kept

    return Peer(call, x, y, len(model))


def library_bytes() -> int:
    """The shared libraries that onnxruntime's package brings."""
    folder = Path(_runtime().__file__).parent / "capi"
    return sum(path.stat().st_size for path in folder.glob("*.so*") if not path.is_symlink())


def version() -> str:
    """Of onnxruntime."""
    return str(_runtime().__version__)


_NUMPY: Mapping[str, str] = {
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(float)": "float32",
}


def _options(threads: int) -> Any:
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    spinning = "0" if threads == 1 else "1"
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    return options


def _runtime() -> Any:
    import onnxruntime

    runtime: Any = onnxruntime
    if hasattr(runtime, "disable_telemetry_events"):
        runtime.disable_telemetry_events()  # its thread would wake up between blocks
    return runtime
