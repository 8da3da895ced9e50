"""Where things lie in a bundle: written by `build`, read by everything that runs one.

    whole.onnx                 the unsplit integer Graph
    source.onnx                the model as the user gave it (if it was given)
    edge/ cloud/               graph.onnx, libmodel.so, model, model.h, layers.json
    link/tables.bin            static tables of the link's coder (if they make frames smaller)
    vectors/inputs/NAME.npy    [N, ...] for each input of the whole
    vectors/link/NAME.npy      the reference's tensors at the cut
    vectors/outputs/NAME.npy   the reference's outputs

NAME is the position of the tensor in its specs, because tensor names may hold any character.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np

from joulecut.compiler.bundle import Bundle
from joulecut.compiler.errors import UntrustedInputError
from joulecut.compiler.graph import Graph
from joulecut.compiler.graph_file import graph_from_bytes
from joulecut.compiler.quant import TensorSpec

WHOLE = "whole.onnx"
SOURCE = "source.onnx"
TABLES = "link/tables.bin"
SIDES = ("edge", "cloud")
ADAPTIVE = "adaptive"  # `kind` of a manifest whose edge chooses its cut


def is_adaptive(bundle: Bundle) -> bool:
    """Does its edge choose the cut? Then targets/adaptive/layout.py says where things lie."""
    return bundle.manifest.get("kind") == ADAPTIVE


def graph_path(side: str) -> str:
    """The integer Graph of a part."""
    return f"{side}/graph.onnx"


def vector_path(kind: str, index: int) -> str:
    """A test vector; `kind` is inputs, link or outputs."""
    return f"vectors/{kind}/{index}.npy"


def read_graph(bundle: Bundle, name: str) -> Graph:
    """A Graph of the bundle; raises UntrustedInputError if it is not a sound one."""
    return graph_from_bytes(bundle.open(name), name)


def vector_files(
    kind: str, specs: Sequence[TensorSpec], arrays: Mapping[str, np.ndarray]
) -> dict[str, bytes]:
    """The .npy files of some tensors, by path."""
    return {
        vector_path(kind, index): _npy_bytes(arrays[spec.name])
        for index, spec in enumerate(specs)
    }


def read_vectors(
    bundle: Bundle, kind: str, specs: Sequence[TensorSpec]
) -> dict[str, np.ndarray]:
    """The test vectors of some tensors, [N, ...] each, by tensor name.

    Raises:
        UntrustedInputError: a file is not an array of the spec's type and shape.
    """
    found: dict[str, np.ndarray] = {}
    for index, spec in enumerate(specs):
        path = vector_path(kind, index)
        try:
            array = np.load(io.BytesIO(bundle.open(path)), allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise UntrustedInputError(f"'{path}' must be a .npy array: {error}") from error
        if array.dtype != np.dtype(spec.dtype) or array.shape[1:] != spec.shape[1:]:
            raise UntrustedInputError(
                f"'{path}' must hold {spec.dtype} [N, *{list(spec.shape[1:])}] for tensor "
                f"'{spec.name}', not {array.dtype} {list(array.shape)}"
            )
        found[spec.name] = array
    return found


def _npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
