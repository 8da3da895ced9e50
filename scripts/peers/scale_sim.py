"""SCALE-Sim 3, a cycle model of systolic arrays, on single layers, in an environment of its own.

It needs an older numpy than joulecut.
"""

from __future__ import annotations

import csv
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from peers.environment import python

PACKAGES = ("numpy<2", "setuptools", "scalesim==3.0.0")
DATAFLOWS = ("ws", "os", "is")

_CONFIG = """[general]
run_name = {run}

[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {columns}
IfmapSramSzkB = 128
FilterSramSzkB = 160
OfmapSramSzkB = 32
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Dataflow = {dataflow}
Bandwidth = 8
ReadRequestBuffer = 64
WriteRequestBuffer = 64

[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 16
IfmapSRAMBankNum = 16
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 16
FilterSRAMBankNum = 16
FilterSRAMBankPort = 2

[sparsity]
SparsitySupport = false

[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""


@dataclass(frozen=True)
class Cycles:
    """What SCALE-Sim says of a layer.

    Attributes:
        compute: cycles of the array.
        total: cycles with what is loaded before it starts.
    """

    compute: int
    total: int


def cycles(
    layers: dict[str, tuple[int, int, int, int]], rows: int, columns: int, dataflow: str
) -> dict[str, Cycles]:
    """Cycles of layers one by one.

    Args:
        layers: by name, the padded side of the input, the kernel's side, channels and filters;
            stride 1.
        rows: of the array.
        columns: of the array.
        dataflow: of `DATAFLOWS`.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "scale.cfg").write_text(
            _CONFIG.format(run="run", rows=rows, columns=columns, dataflow=dataflow)
        )
        lines = [
            "Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,"
        ]
        layout = ["Layer name," + "x," * 24]
        for name, (side, kernel, channels, filters) in layers.items():
            lines.append(f"{name},{side},{side},{kernel},{kernel},{channels},{filters},1,")
            layout.append(f"{name}," + "1," * 24)
        (place / "topology.csv").write_text("\n".join([*lines, ""]))
        (place / "layout.csv").write_text("\n".join([*layout, ""]))
        command = [
            str(python("scale_sim", PACKAGES)),
            "-m",
            "scalesim.scale",
            "-c",
            "scale.cfg",
            "-t",
            "topology.csv",
        ]
        command += ["-l", "layout.csv", "-p", "results", "-i", "conv", "-s", "N"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        reports = list(place.rglob("COMPUTE_REPORT.csv"))
        if done.returncode or not reports:
            raise RuntimeError(f"SCALE-Sim must run, but said: {done.stderr[-2000:]}")
        with reports[0].open() as file:
            table = list(csv.DictReader(file, skipinitialspace=True))
    return {
        name: Cycles(
            int(line["Total Cycles"]) - int(line["Stall Cycles"]),
            int(line["Total Cycles (incl. prefetch)"]),
        )
        for name, line in zip(layers, table, strict=True)
    }


def best(
    layers: dict[str, tuple[int, int, int, int]], rows: int, columns: int
) -> dict[str, Cycles]:
    """Of all dataflows the fewest cycles of each kind, by layer; otherwise as `cycles`."""
    found = [cycles(layers, rows, columns, dataflow) for dataflow in DATAFLOWS]
    return {
        name: Cycles(
            min(flow[name].compute for flow in found), min(flow[name].total for flow in found)
        )
        for name in layers
    }
