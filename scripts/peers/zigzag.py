"""ZigZag, a cost model of accelerators, on single layers, in an environment of its own.

It is given an accelerator of our sizes and our mapping, and counts words as wide as the ports:

    loops     pixels of a strip, tiles of input channels, taps, strips, tiles of output channels
    weights   a tile stays in the array's registers for a strip
    sums      those of a strip stay until its last pass

ZigZag has no biases and multipliers; what ours reads of them is not compared. It reads finished
sums as 8 bits, ours as 32 bits, which are requantized behind their memory: as many values.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from peers.environment import python

from joulecut.hw.config import BEAT_BYTES, MacArrayConfig

PACKAGES = ("zigzag-dse==3.9.1", "six")  # it imports six without saying so
COUNTED = (
    "mac_cycles",
    "activation_reads",
    "weight_reads",
    "sum_updates",
    "sum_drains",
    "output_writes",
    "activation_beats",
    "weight_beats",
    "output_beats",
)
_BEAT, _SUM, _LAST = 8 * BEAT_BYTES, 32, 8  # bits: of the bus, of sums, of outputs


class Layer(Protocol):
    """A convolution by its sizes."""

    @property
    def inputs(self) -> int:
        """Channels."""
        ...

    @property
    def outputs(self) -> int:
        """Channels."""
        ...

    @property
    def side(self) -> int:
        """Of the kernel."""
        ...

    @property
    def stride(self) -> int:
        """On both axes."""
        ...

    @property
    def pad(self) -> int:
        """On all sides."""
        ...


def accesses(
    layers: Mapping[str, tuple[Layer, int]], config: MacArrayConfig
) -> dict[str, dict[str, int]]:
    """Words that a layer reads and writes, named as `COUNTED`, by the names of layers.

    Args:
        layers: with the side of the input.
        config: whose sizes ZigZag's accelerator gets.
    """
    cases = {
        "accelerator": accelerator(config),
        "layers": {name: case(layer, side, config) for name, (layer, side) in layers.items()},
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cases.json").write_text(json.dumps(cases))
        command = [str(python("zigzag", PACKAGES)), "-P"]  # this folder has a zigzag.py, too
        command += [str(Path(__file__).with_name("zigzag_run.py")), "cases.json"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ZigZag must run, but said: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return {name: _counted(words) for name, words in found.items()}


def _counted(words: dict[str, Any]) -> dict[str, int]:
    inputs, weights, outputs = words["I"], words["W"], words["O"]
    down, up, high = "RD_OUT_TO_LOW", "WR_IN_BY_LOW", "RD_OUT_TO_HIGH"
    numbers = [
        words["cycles"],
        inputs[0][down],
        weights[1][down],  # the registers of the array are below
        outputs[0][up],
        outputs[0][high] * _SUM // _LAST,
        outputs[1][up],
        inputs[1][down],
        weights[2][down],
        outputs[2][up],
    ]
    return dict(zip(COUNTED, numbers, strict=True))


def accelerator(config: MacArrayConfig) -> dict[str, Any]:
    """ZigZag's description of one of our sizes; its costs play no part."""
    rows, columns = config.rows, config.columns
    word, sums = 8 * columns, _SUM * rows
    dram = [f"{operand}, {way}" for operand in ("I1", "I2") for way in ("fh", "tl")]
    dram += [f"O, {way}" for way in ("fh", "tl", "fl", "th")]
    memories = {
        "registers": _memory(8, "I2", {"tl": 8, "fh": 8}, everywhere=True),
        "sums": _memory(
            config.strip * sums, "O", dict.fromkeys(("tl", "th", "fl", "fh"), sums)
        ),
        "weights": _memory(config.weight_words * word, "I2", {"tl": word, "fh": _BEAT}),
        "activations": _memory(config.activation_words * word, "I1", {"tl": word, "fh": _BEAT}),
        "outputs": _memory(
            config.output_words * _LAST * rows,
            "O",
            {"tl": _LAST * rows, "th": _BEAT, "fl": _LAST * rows, "fh": _BEAT},
        ),
    }
    memories["dram"] = {
        **memories["outputs"],
        "size": 1 << 40,
        "operands": ["I1", "I2", "O"],
        "ports": [_port("rw_port_1", "read_write", _BEAT, dram)],
    }
    array = {"input_precision": [8, 8], "unit_energy": 1, "unit_area": 1}
    array |= {"dimensions": ["D1", "D2"], "sizes": [rows, columns]}
    return {"name": config.name, "memories": memories, "operational_array": array}


def _memory(
    bits: int, operand: str, ways: dict[str, int], *, everywhere: bool = False
) -> dict[str, Any]:
    """A memory with a port for each way of data, `t`o or `f`rom what is `l`ower or `h`igher."""
    counts = {"read": 0, "write": 0}
    ports: list[dict[str, Any]] = []
    for way, width in ways.items():
        kind = "read" if way[0] == "t" else "write"
        counts[kind] += 1
        ports.append(
            _port(f"{kind[0]}_port_{counts[kind]}", kind, width, [f"{operand}, {way}"])
        )
    return {
        "size": bits,
        "r_cost": 1,
        "w_cost": 1,
        "area": 0,
        "latency": 1,
        "operands": [operand],
        "ports": ports,
        "served_dimensions": [] if everywhere else ["D1", "D2"],
    }


def _port(name: str, kind: str, bits: int, ways: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "bandwidth_min": bits,
        "bandwidth_max": bits,
        "allocation": ways,
    }


def case(layer: Layer, side: int, config: MacArrayConfig) -> tuple[dict[str, Any], ...]:
    """A layer and its mapping; with fewer channels than columns, taps of a row fill them up."""
    pad, kernel = layer.pad, layer.side
    out = (side + 2 * pad - kernel) // layer.stride + 1
    columns = min(config.columns, layer.inputs)
    taps = 1 if columns == config.columns else min(kernel, config.columns // columns)
    wide = min(out, config.strip)
    high = config.strip // wide
    is_rectangle = wide * high == config.strip and out % wide == out % high == 0
    if not is_rectangle or layer.inputs % columns or kernel % taps:
        raise ValueError(f"a strip of {config.strip} pixels must tile {out} x {out}")
    workload = {
        "id": 0,
        "operator_type": "Conv",
        "equation": "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]",
        "dimension_relations": [f"i{at}={layer.stride}*o{at}+1*f{at}" for at in "xy"],
        "loop_dims": ["B", "K", "G", "OX", "C", "FX", "OY", "FY"],
        "loop_sizes": [1, layer.outputs, 1, out, layer.inputs, kernel, out, kernel],
        "pr_loop_dims": ["IX", "IY"],
        "pr_loop_sizes": [side, side],
        "padding": [[pad, pad], [pad, pad]],
        "operand_precision": {"O": _SUM, "O_final": _LAST, "W": 8, "I": 8},
        "operand_source": {"I": 0, "W": 0},
    }
    loops = [("OX", wide), ("OY", high), ("C", layer.inputs // columns)]
    loops += [("FX", kernel // taps), ("FY", kernel), ("OX", out // wide), ("OY", out // high)]
    loops += [("K", layer.outputs // config.rows)]
    packed = [f"FX, {taps}"] if taps > 1 else []
    mapping = {
        "name": "default",
        "spatial_mapping": {"D1": [f"K, {config.rows}"], "D2": [f"C, {columns}", *packed]},
        "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
        "temporal_ordering": [loop for loop in loops if loop[1] > 1],
    }
    return workload, mapping
