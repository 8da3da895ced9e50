"""Check nodes against the definitions of their operators: attributes, their types, operands.

What later code reads from a node without asking (an axis that is an int, a mode that is text,
two operands where there must be two) is established here, once, from ONNX's own schemas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx
from onnx import AttributeProto

from joulecut.compiler.errors import UntrustedInputError
from joulecut.compiler.support import QONNX_DOMAIN, label


@dataclass(frozen=True)
class Definition:
    """What an operator takes.

    Attributes:
        attributes: type of each attribute by name, as ONNX numbers them.
        required: attributes that must be there.
        operands: fewest and most inputs.
        results: fewest and most outputs.
    """

    attributes: dict[str, int]
    required: frozenset[str]
    operands: tuple[int, int]
    results: tuple[int, int]


QUANT = Definition(
    {
        "signed": AttributeProto.INT,
        "narrow": AttributeProto.INT,
        "rounding_mode": AttributeProto.STRING,
    },
    frozenset({"signed", "narrow"}),
    (4, 4),
    (1, 1),
)


def check_nodes(model: onnx.ModelProto) -> None:
    """Check every node of a model whose operators are all known.

    Raises:
        UntrustedInputError: the first node that its operator's definition does not allow.
    """
    versions = {entry.domain: entry.version for entry in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 0))
    for node in model.graph.node:
        definition = QUANT if node.domain == QONNX_DOMAIN else _from_schema(node.op_type, opset)
        _check_operands(node, definition)
        _check_attributes(node, definition)


def _from_schema(op_type: str, opset: int) -> Definition:
    try:
        schema: Any = onnx.defs.get_schema(op_type, opset, "")
    except onnx.defs.SchemaError as error:
        raise UntrustedInputError(
            f"{op_type} must be an operator of ONNX operator set {opset}, and is none"
        ) from error
    attributes: dict[str, Any] = dict(schema.attributes)
    return Definition(
        {name: int(attribute.type.value) for name, attribute in attributes.items()},
        frozenset(name for name, attribute in attributes.items() if attribute.required),
        (schema.min_input, schema.max_input),
        (schema.min_output, schema.max_output),
    )


def _check_operands(node: onnx.NodeProto, definition: Definition) -> None:
    limits = {"inputs": definition.operands, "outputs": definition.results}
    for (what, (fewest, most)), names in zip(
        limits.items(), (node.input, node.output), strict=True
    ):
        present = all(names[:fewest])
        if not (fewest <= len(names) <= most and present):
            raise UntrustedInputError(
                f"{node.op_type} '{label(node)}' must have {fewest} to {most} {what}, "
                f"not {sum(map(bool, names))}"
            )


def _check_attributes(node: onnx.NodeProto, definition: Definition) -> None:
    seen: set[str] = set()
    for attribute in node.attribute:
        expected = definition.attributes.get(attribute.name)
        where = f"attribute '{attribute.name}' of {node.op_type} '{label(node)}'"
        if expected is None or attribute.name in seen:
            raise UntrustedInputError(f"{where} must be defined by the operator, once")
        if attribute.type != expected or attribute.ref_attr_name:
            wanted, found = _kind(expected), _kind(attribute.type)
            raise UntrustedInputError(f"{where} must be {wanted}, not {found}")
        if expected == AttributeProto.STRING and not _is_text(attribute.s):
            raise UntrustedInputError(f"{where} must be UTF-8 text, not {attribute.s!r:.60}")
        seen.add(attribute.name)
    missing = sorted(definition.required - seen)
    if missing:
        raise UntrustedInputError(
            f"{node.op_type} '{label(node)}' must have the attributes {missing}"
        )


def _kind(number: int) -> str:
    """The name of an attribute type."""
    known = AttributeProto.AttributeType.values()
    return AttributeProto.AttributeType.Name(number) if number in known else str(number)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
