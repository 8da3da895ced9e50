"""What the lowering knows while it walks: the form of each value, and views of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from joulecut.compiler.builder import Builder
from joulecut.compiler.codes import Codes
from joulecut.compiler.graph import constant_of, dtype_of, name_of
from joulecut.compiler.lowering.forms import (
    Average,
    Constant,
    Floats,
    Form,
    Ints,
    Pending,
    Sum,
    Weight,
    pending,
)
from joulecut.compiler.lowering.quantize import average_as_sum, dequantize, quantize
from joulecut.compiler.refusal import RefusedError


@dataclass
class Lowering:
    """The walk over one graph.

    Attributes:
        build: the new graph.
        forms: the form of each old value that was reached.
    """

    build: Builder
    forms: dict[ir.Value, Form] = field(default_factory=dict[ir.Value, Form])
    _floats: dict[ir.Value, ir.Value] = field(default_factory=dict[ir.Value, ir.Value])
    _ints: dict[ir.Value, Ints] = field(default_factory=dict[ir.Value, Ints])

    def form(self, old: ir.Value | None) -> Form:
        """The form of a value of the old graph."""
        assert old is not None
        array = constant_of(old)
        return self.forms[old] if array is None else Constant(old, array)

    def ints(self, old: ir.Value | None) -> Ints:
        """The value as integers, for operators that compute with nothing else.

        Raises:
            RefusedError: nothing quantized it.
        """
        assert old is not None
        form = self.form(old)
        if isinstance(form, Ints):
            return form
        if old not in self._ints:
            codes = _own_codes(form) if isinstance(form, Pending) else None
            if codes is None or not isinstance(form, Pending):
                maker = old.producer()
                after = f"{maker.op_type} '{maker.name}'" if maker else "the graph's input"
                reason = f"its input '{old.name}' must be quantized, not float"
                raise RefusedError(reason, f"add a quantizer after {after}")
            name = self.build.fresh(f"{old.name}_q")
            self._ints[old] = quantize(self.build, form, codes, name, name)
        return self._ints[old]

    def floats(self, old: ir.Value | None) -> ir.Value:
        """The value in float32, under its own name."""
        assert old is not None
        form = self.form(old)
        if isinstance(form, Floats):
            return form.value
        if isinstance(form, Constant):
            return self.build.carry(old)
        if old not in self._floats:
            if isinstance(form, Weight):
                array = form.array.astype(np.float32)
                self._floats[old] = self.build.constant(f"{old.name}_real", array)
            else:
                assert isinstance(form, Ints | Pending), f"{old.name} is {form}"
                self._floats[old] = dequantize(self.build, form, name_of(old))
        return self._floats[old]

    def pending(self, old: ir.Value | None) -> Pending | None:
        """The value as a real that waits for its quantizer, or None if it is float."""
        assert old is not None
        form = self.form(old)
        if isinstance(form, Ints):
            return pending(form, name_of(old))
        return form if isinstance(form, Pending) else None

    def plain_sum(self, old: ir.Value | None) -> Pending | None:
        """The value as a sum of terms that nothing else waits with, or None."""
        assert old is not None
        found = self.pending(old)
        if found is None:
            return None
        if found.is_plain and isinstance(found.source, Average):
            total = average_as_sum(self.build, found.source, found.name, found.shape)
            return None if total is None else Pending(total, found.name, found.shape)
        if found.is_plain and isinstance(found.source, Sum):
            return found
        if _own_codes(found) is None:
            return None
        return pending(self.ints(old), name_of(old))

    def weight(self, old: ir.Value | None, channel_axis: int) -> Weight:
        """A dequantized constant, scaled per tensor or along `channel_axis`.

        Raises:
            RefusedError: it is something else.
        """
        form = self.form(old)
        if isinstance(form, Constant):
            fix = "quantize the weights to int8 as well"
            raise RefusedError("its weights must be quantized, not float", fix)
        if not isinstance(form, Weight):
            fix = "freeze the weights as an initializer"
            raise RefusedError("its weights must be constant", fix)
        per_channel = form.scale.size > 1 or form.zero_point.size > 1
        if per_channel and form.axis != channel_axis:
            reason = f"its weights must be scaled along axis {channel_axis}, not {form.axis}"
            raise RefusedError(reason, "quantize weights per tensor or per output channel")
        if form.codes.dtype == np.int32:
            fix = "quantize the weights to 8 bits or fewer"
            raise RefusedError("its weights must have at most 8 bits, not 32", fix)
        return form


def _own_codes(form: Pending) -> Codes | None:
    """The codes that integers with a clip or a move on top keep, if the clip is exact on them."""
    match form.source:
        case Sum((term,)) if term.is_code and term.is_per_tensor and term.scale[0] > 0:
            scale = float(term.scale[0])
        case _:
            return None
    for bound in (form.low, form.high):
        if math.isfinite(bound) and np.float32(np.rint(bound / scale)) != np.float32(
            bound / scale
        ):
            return None
    dtype = dtype_of(term.value)
    limits = np.iinfo(dtype)
    return Codes(
        term.scale.astype(np.float32),
        np.array([term.zero_point]),
        int(limits.min),
        int(limits.max),
        dtype,
    )
