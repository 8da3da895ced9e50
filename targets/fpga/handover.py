"""What it costs the processor to hand tensors to the accelerator and to take them back.

The processor turns a dense tensor into planes of 8 channels, or back, and the lines of its cache
are written to the memory that the accelerator reads, or read from there. Nobody has measured it:
instructions are assumed, lines follow from the layout. Writing the registers that start a run is
not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from joulecut.compiler.profile import LayerProfile, Quantity
from joulecut.compiler.quant import TensorSpec
from joulecut.targets.fpga.tensors import PLANE

INSTRUCTIONS_PER_BYTE = 2.0  # assumed: a load and a store, without vectors
_KINDS = {"array": "to the accelerator", "processor": "from the accelerator"}
_LINES = {"array": 2, "processor": 1}  # a line to write is fetched first, then written


def handover(specs: Sequence[TensorSpec], to: str, line_bytes: int) -> LayerProfile:
    """The row of a profile for tensors that change sides.

    Args:
        specs: of the tensors.
        to: "array" or "processor".
        line_bytes: of the processor's caches.
    """
    planes = sum(map(_plane_bytes, specs))
    lines = _LINES[to] * -(-planes // line_bytes)
    quantities = {
        "instructions": Quantity(INSTRUCTIONS_PER_BYTE * planes, "instruction", "assumed"),
        "l1_misses": Quantity(lines, "line", "modelled"),
        "l2_misses": Quantity(lines, "line", "modelled"),
        "handed_over": Quantity(planes, "B", "modelled"),
    }
    name = f"hand over: {', '.join(spec.name for spec in specs)}"
    return LayerProfile(name, _KINDS[to], quantities)


def _plane_bytes(spec: TensorSpec) -> int:
    """Bytes of a tensor [1, C, ..] as the accelerator has it; one it never sees is not counted."""
    channels = spec.shape[1] if len(spec.shape) > 1 else 1
    return spec.nbytes // channels * (-(-channels // PLANE) * PLANE)
