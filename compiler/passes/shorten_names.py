"""Give what layers make the names that users gave their modules."""

from __future__ import annotations

import re
from dataclasses import dataclass

from joulecut.compiler.graph import Graph, Value, name_of, nodes, values
from joulecut.compiler.passes.infra import Pass

# torch names a value by its module's path, its operator and its place: /stage/conv/Conv_output_0;
# onnxruntime's quantizer appends _QuantizeLinear_Output, the lowering _q or _acc.
EXPORTED = re.compile(
    r"/(?:(?P<path>.+)/)?(?P<op>[^/]+?)_output_\d+(?P<role>(?:_[A-Za-z]+)*)(?:_\d+)?"
)

# Modules inside of Brevitas' own layers, which no user has written.
SCAFFOLDING = frozenset(
    {"act_quant", "bias_quant", "export_handler", "input_quant", "output_quant", "tensor_quant",
     "weight_quant"}
)  # fmt: skip


@dataclass(frozen=True)
class ShortenNames(Pass):
    """/relu1/act_quant/export_handler/QuantizeLinear_output_0  =>  relu1.

    Leaves alone: inputs and outputs of the graph, which callers know; names that torch did not
    make; and any name whose short form is taken, which gets its operator or a number as well.
    """

    def rewrite(self, graph: Graph) -> Graph:
        """The new graph."""
        renamed = graph.clone()
        inner = renamed.graph
        fixed = {*inner.inputs, *inner.outputs, *inner.initializers.values()}
        taken = {name_of(value) for value in fixed} | {
            name_of(value) for value in values(renamed)
        }
        for node in nodes(renamed):
            for value in node.outputs:
                if value not in fixed:
                    _rename(value, taken)
            node.name = name_of(node.outputs[0])
        return renamed


def _rename(value: Value, taken: set[str]) -> None:
    found = EXPORTED.fullmatch(name_of(value))
    if found is None:
        return
    path = [part for part in (found["path"] or "").split("/") if part not in SCAFFOLDING]
    stem = "/".join(part for part in path if part)
    role = "_acc" if found["role"].endswith("_acc") else ""
    for short in (stem + role, "/".join(filter(None, (stem, found["op"]))) + role):
        if short and short != role and short not in taken:
            taken.add(short)
            value.name = short
            return
