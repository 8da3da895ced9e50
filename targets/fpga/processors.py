"""The processors beside the accelerator: what a block design, and then pynq, calls their parts.

Names and addresses are those of hw/vivado/boards.tcl; what a register holds is assumed, as a board
that has started might have it. Simulated boards are made of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

RANGE_BYTES = 0x1_0000  # of a core's addresses, as the scripts for Vivado assign them


@dataclass(frozen=True)
class Processor:
    """A family of processors.

    Attributes:
        arch: as Linux calls it.
        family: as a hardware handoff calls it.
        device: a part that has one.
        cell: its name in the block design.
        vlnv: of its IP core.
        bus: through which it reaches the accelerator's registers.
        registers_at: physical address of those.
        controller_at: and of the interrupt controller's.
        interrupt: input that the controller is connected to.
        interrupt_number: of that, as Linux counts.
        clock_mhz: of the PLL that the logic's clocks come from.
        parameters: of the IP core that do not depend on the clock.
        clock_parameters: of one of the logic's four clocks, by what they hold: "enable", "mhz",
            "source", "divisor0" and "divisor1"; `{}` is its number.
        source: the PLL's name, as the parameter "source" has it.
        registers: physical address -> what it holds after a start; the processor's own that pynq
            reads or writes when it loads an overlay.
    """

    arch: str
    family: str
    device: str
    cell: str
    vlnv: str
    bus: str
    registers_at: int
    controller_at: int
    interrupt: str
    interrupt_number: int
    clock_mhz: int
    parameters: Mapping[str, int]
    clock_parameters: Mapping[str, str]
    source: str
    registers: Mapping[int, int]


ZYNQ = Processor(
    arch="armv7l",
    family="zynq",
    device="7z020",
    cell="processing_system7_0",
    vlnv="xilinx.com:ip:processing_system7:5.5",
    bus="M_AXI_GP0",
    registers_at=0x43C0_0000,
    controller_at=0x4180_0000,
    interrupt="IRQ_F2P",
    interrupt_number=61,
    clock_mhz=1000,
    parameters={},
    clock_parameters={
        "enable": "PCW_FPGA_FCLK{}_ENABLE",
        "mhz": "PCW_ACT_FPGA{}_PERIPHERAL_FREQMHZ",
        "source": "PCW_FCLK{}_PERIPHERAL_CLKSRC",
        "divisor0": "PCW_FCLK{}_PERIPHERAL_DIVISOR0",
        "divisor1": "PCW_FCLK{}_PERIPHERAL_DIVISOR1",
    },
    source="IO PLL",
    registers={
        0xF800_0100: 20 << 12,  # PLLs of 50 MHz times 20 or 21
        0xF800_0104: 21 << 12,
        0xF800_0108: 20 << 12,
        0xF800_0120: 0x1F00_0200,  # the cores' clock
        # The logic's: 1000 / 10 / 1 MHz.
        **{0xF800_0170 + 0x10 * i: 0x0010_0A00 for i in range(4)},
    },
)

ZYNQ_ULTRASCALE = Processor(
    arch="aarch64",
    family="zynquplus",
    device="xck26",
    cell="zynq_ultra_ps_e_0",
    vlnv="xilinx.com:ip:zynq_ultra_ps_e:3.5",
    bus="M_AXI_HPM0_FPD",
    registers_at=0xA000_0000,
    controller_at=0xA001_0000,
    interrupt="pl_ps_irq0",
    interrupt_number=121,
    clock_mhz=1500,
    parameters={
        "C_MAXIGP0_DATA_WIDTH": 128,
        "C_SAXIGP2_DATA_WIDTH": 64,
        "C_SAXIGP3_DATA_WIDTH": 64,
    },
    clock_parameters={
        "enable": "PSU__FPGA_PL{}_ENABLE",
        "mhz": "PSU__CRL_APB__PL{}_REF_CTRL__ACT_FREQMHZ",
        "source": "PSU__CRL_APB__PL{}_REF_CTRL__SRCSEL",
        "divisor0": "PSU__CRL_APB__PL{}_REF_CTRL__DIVISOR0",
        "divisor1": "PSU__CRL_APB__PL{}_REF_CTRL__DIVISOR1",
    },
    source="IOPLL",
    registers={
        0xFF5E_0020: 90 << 8 | 1 << 16,  # IOPLL of 33.333 MHz times 90 / 2
        0xFF5E_0030: 45 << 8,
        **{0xFD1A_0020 + offset: 72 << 8 | 1 << 16 for offset in (0, 0xC, 0x18)},
        0xFD1A_0060: 0x0300_0100,  # the cores' clock
        # The logic's: 1500 / 15 / 1 MHz.
        **{0xFF5E_00C0 + 4 * i: 0x0101_0F00 for i in range(4)},
        # Widths of the ports: 128 bits from the processor, 128 to its memory until pynq sets them.
        0xFD61_5000: 0xA00,
        **{0xFD38_0000 + offset: 0xB0 for offset in (0, 0x14, 0x1_0000, 0x1_0014)},
    },
)
