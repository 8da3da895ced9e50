"""From a Graph as `load` returns it to the integer Graph that everything else takes."""

from __future__ import annotations

import onnx_ir as ir

from joulecut.compiler.errors import Finding, UnsupportedError
from joulecut.compiler.graph import DOMAIN, Graph, dtype_of, nodes, op_key
from joulecut.compiler.passes.cancel_transposes import CancelTransposes
from joulecut.compiler.passes.fold_batchnorm import FoldBatchNorm
from joulecut.compiler.passes.fold_flattened import FoldFlattened
from joulecut.compiler.passes.fold_pads import FoldPads
from joulecut.compiler.passes.infra import Pass
from joulecut.compiler.passes.lower_quantization import LowerQuantization
from joulecut.compiler.passes.prune_filters import PruneFilters
from joulecut.compiler.passes.shorten_names import ShortenNames
from joulecut.compiler.passes.split_to_slices import SplitToSlices
from joulecut.compiler.passes.unify_pools import UnifyPools

PASSES: tuple[Pass, ...] = (
    # Before lowering: BatchNorm must see the Dequantize of the weights to change its scale.
    FoldBatchNorm(),
    # One spelling each, so that the lowering has one rule each. The order of these is free.
    UnifyPools(),
    SplitToSlices(),
    # After it there are no floats between quantizers that a pass could look at.
    LowerQuantization(),
    # Integers say what padding is worth: the zero point.
    FoldPads(),
    # Integers pass through where floats would have kept a quantizer between two of them.
    CancelTransposes(),
    # After it one Transpose at most stands before a Reshape.
    FoldFlattened(),
    # Last: no pass after it may invent a name.
    ShortenNames(),
)


def pipeline(graph: Graph, *, require_integer: bool = False, prune: bool = False) -> Graph:
    """Lower a Graph to the integer specification (docs/spec.md).

    Args:
        graph: what `load` returned; it stays as it is.
        require_integer: refuse a graph in which a node had to stay in float.
        prune: remove filters and neurons that no output depends on (`PruneFilters`). Values inside
            lose channels, so that other engines' can no longer be compared with them.

    Returns:
        A new Graph; every integer value carries its QType.

    Raises:
        UnsupportedError: nodes without an integer form, all at once.
    """
    for step in PASSES:
        graph = step(graph)
    if prune:
        graph = PruneFilters()(graph)  # it invents names of constants only
    if require_integer:
        findings = tuple(map(_stayed_float, float_nodes(graph)))
        if findings:
            text = f"all nodes must be integer, and {len(findings)} stayed in float:"
            raise UnsupportedError(text, findings)
    return graph


def float_nodes(graph: Graph) -> list[ir.Node]:
    """The nodes of an integer Graph that compute on floats; conversions are not among them."""
    return [
        node
        for node in nodes(graph)
        if node.domain != DOMAIN and dtype_of(node.outputs[0]).kind == "f"
    ]


def _stayed_float(node: ir.Node) -> Finding:
    reason = "it works on floats"
    fix = "add quantizers around it, or drop the requirement: its result is exact all the same"
    return Finding(str(node.name), op_key(node), reason, fix)
