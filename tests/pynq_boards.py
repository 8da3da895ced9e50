"""The boards that the driver runs on under pynq, simulated: a configuration beside a processor."""

from __future__ import annotations

from typing import NamedTuple

from joulecut.hw.config import Z7020, Z7020_WIDE, ZU, MacArrayConfig
from joulecut.targets.fpga.processors import ZYNQ, ZYNQ_ULTRASCALE, Processor


class Board(NamedTuple):
    """What `vivado -source hw/vivado/build.tcl` builds for it by default.

    The clock of `zu` is what 1500 MHz can be divided to, of the 200 MHz that are asked for.
    """

    config: MacArrayConfig
    processor: Processor
    clock_mhz: float


BOARDS = {
    "pynq_z2": Board(Z7020, ZYNQ, 100),
    "kria_kv260": Board(Z7020_WIDE, ZYNQ_ULTRASCALE, 150),
    "zcu104": Board(ZU, ZYNQ_ULTRASCALE, 187.5),
}
