"""What pynq reads beside a bitstream: the block design as Vivado's hardware handoff (.hwh) has it.

Only what pynq's parsers ask for: a Zynq-7000 processor with one clock, one accelerator, its
registers and their addresses. It describes simulated boards; a bitstream's own comes from Vivado.
"""

from __future__ import annotations

from xml.etree import ElementTree

from joulecut.hw.regs import REGISTERS, VLNV

INSTANCE = "jc_core_0"
_BUS = "xilinx.com:interface:aximm:1.0"
_ACCESS = {"ro": "read-only", "rw": "read-write", "w1": "write-only"}


def handoff(address: int, nbytes: int, clock_mhz: int) -> str:
    """The .hwh of a design with one accelerator.

    Args:
        address: of its registers.
        nbytes: of the address range.
        clock_mhz: of the processor's first clock, 1000 over a whole number.
    """
    system = ElementTree.Element("EDKSYSTEM", EDWVERSION="1.2", VIVADOVERSION="2025.2")
    ElementTree.SubElement(system, "SYSTEMINFO", ARCH="zynq", DEVICE="7z020", NAME="joulecut")
    ElementTree.SubElement(system, "EXTERNALPORTS")
    ElementTree.SubElement(system, "EXTERNALINTERFACES")
    modules = ElementTree.SubElement(system, "MODULES")
    _processor(modules, address, nbytes, clock_mhz)
    _accelerator(modules)
    ElementTree.indent(system)
    return ElementTree.tostring(system, encoding="unicode", xml_declaration=True) + "\n"


def _processor(modules: ElementTree.Element, address: int, nbytes: int, mhz: int) -> None:
    parameters = {
        name: value
        for i in range(4)
        for name, value in {
            f"PCW_FPGA_FCLK{i}_ENABLE": int(i == 0),
            f"PCW_FCLK{i}_PERIPHERAL_CLKSRC": "IO PLL",
            f"PCW_FCLK{i}_PERIPHERAL_DIVISOR0": 1000 // mhz,
            f"PCW_FCLK{i}_PERIPHERAL_DIVISOR1": 1,
            f"PCW_ACT_FPGA{i}_PERIPHERAL_FREQMHZ": mhz,
        }.items()
    }
    module = _module(modules, "processing_system7_0", "xilinx.com:ip:processing_system7:5.5")
    table = ElementTree.SubElement(module, "PARAMETERS")
    for name, value in parameters.items():
        ElementTree.SubElement(table, "PARAMETER", NAME=name, VALUE=str(value))
    _bus(module, "M_AXI_GP0", "MASTER")
    ElementTree.SubElement(
        ElementTree.SubElement(module, "MEMORYMAP"),
        "MEMRANGE",
        ADDRESSBLOCK="reg0",
        BASENAME="C_BASEADDR",
        BASEVALUE=f"0x{address:08X}",
        HIGHNAME="C_HIGHADDR",
        HIGHVALUE=f"0x{address + nbytes - 1:08X}",
        INSTANCE=INSTANCE,
        IS_DATA="TRUE",
        IS_INSTRUCTION="TRUE",
        MASTERBUSINTERFACE="M_AXI_GP0",
        MEMTYPE="REGISTER",
        SLAVEBUSINTERFACE="s_axi",
    )


def _accelerator(modules: ElementTree.Element) -> None:
    module = _module(modules, INSTANCE, VLNV)
    block = ElementTree.SubElement(
        ElementTree.SubElement(module, "ADDRESSBLOCKS"),
        "ADDRESSBLOCK",
        ACCESS="read-write",
        INTERFACE="s_axi",
        NAME="reg0",
        RANGE="4096",
        USAGE="register",
    )
    registers = ElementTree.SubElement(block, "REGISTERS")
    for register in REGISTERS:
        entry = ElementTree.SubElement(registers, "REGISTER", NAME=register.name)
        for name, value in {
            "DESCRIPTION": register.text,
            "ADDRESS_OFFSET": f"0x{register.offset:X}",
            "ACCESS": _ACCESS[register.access],
            "SIZE": "32",
            "IS_ENABLED": "true",
        }.items():
            ElementTree.SubElement(entry, "PROPERTY", NAME=name, VALUE=value)
    ElementTree.SubElement(module, "PARAMETERS")
    _bus(module, "s_axi", "SLAVE")


def _module(modules: ElementTree.Element, instance: str, vlnv: str) -> ElementTree.Element:
    _, _, name, version = vlnv.split(":")
    return ElementTree.SubElement(
        modules,
        "MODULE",
        FULLNAME=f"/{instance}",
        HWVERSION=version,
        INSTANCE=instance,
        IPTYPE="PROCESSOR" if name.startswith("processing") else "PERIPHERAL",
        IS_ENABLE="1",
        MODCLASS="PROCESSOR" if name.startswith("processing") else "PERIPHERAL",
        MODTYPE=name,
        VLNV=vlnv,
    )


def _bus(module: ElementTree.Element, name: str, kind: str) -> None:
    buses = ElementTree.SubElement(module, "BUSINTERFACES")
    ElementTree.SubElement(buses, "BUSINTERFACE", NAME=name, TYPE=kind, VLNV=_BUS)
