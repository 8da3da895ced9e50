"""Biases that make up for what rounding does to the mean of each channel.

Rounded weights and a clipped, rounded input shift the mean of a channel, the more so behind a
ReLU, whose values have one sign. Shifts add up through a network while noise cancels. The mean
change of each layer, with float numbers before it, is measured on samples and added to its bias:
Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019,
section 4.2, on data instead of batch normalization's statistics.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from joulecut.compiler.codes import Array, Codes
from joulecut.compiler.graph import Graph, name_of, nodes, op_key
from joulecut.compiler.onnxrt import session
from joulecut.compiler.post_training.samples import Progress, Samples
from joulecut.compiler.post_training.weights import layer_of
from joulecut.compiler.post_training.write import with_twins


def corrected_biases(
    graph: Graph, codes: Mapping[str, Codes], samples: Samples, advance: Progress
) -> dict[str, Array]:
    """The bias of each layer that takes one, by the name of what it makes, float32 [C].

    Args:
        graph: float.
        codes: of each activation that is quantized.
        samples: inputs of the graph.
        advance: is told of every sample.
    """
    model, outputs = with_twins(graph, codes)
    layers = {name_of(node.outputs[0]): node for node in nodes(graph)}
    layers = {name: layers[name] for name in outputs}
    if not layers:
        return {}
    engine = session(model.SerializeToString(), optimize=True)
    totals: dict[str, Array] = {}
    for i, feed in enumerate(samples.feeds()):
        found = dict(zip(engine.outputs, engine.run(feed), strict=True))
        for name, node in layers.items():
            mean = _channel_means(found[outputs[name]], node)
            totals[name] = mean + totals.get(name, 0.0)
        advance(i + 1, len(samples))
    return {name: _with(layers[name], totals[name] / len(samples)) for name in layers}


def _channel_means(x: Array, node: ir.Node) -> Array:
    axis = 1 if op_key(node) == "Conv" else x.ndim - 1
    others = tuple(dim for dim in range(x.ndim) if dim != axis)
    return x.mean(axis=others, dtype=np.float64)


def _with(node: ir.Node, change: Array) -> Array:
    layer = layer_of(node)
    assert layer is not None
    bias = 0.0 if layer.bias is None else layer.bias
    return (bias + change).astype(np.float32)
