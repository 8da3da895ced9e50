"""What pynq reads beside a bitstream: the block design as Vivado's hardware handoff (.hwh) has it.

Only what pynq's parsers ask for: a processor with one clock, one accelerator, an interrupt
controller, their registers, addresses and interrupts. It describes simulated boards; a bitstream's
own comes from Vivado.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from joulecut.hw.regs import REGISTERS, VLNV
from joulecut.targets.fpga.processors import RANGE_BYTES, Processor

INSTANCE = "jc_core_0"
CONTROLLER = "axi_intc_0"
_BUS = "xilinx.com:interface:aximm:1.0"
_ACCESS = {"ro": "read-only", "rw": "read-write", "w1": "write-only"}


def handoff(processor: Processor, clock_mhz: float) -> str:
    """The .hwh of a design with one accelerator.

    Args:
        processor: beside it.
        clock_mhz: of the processor's first clock, its PLL's over a whole number.
    """
    system = ElementTree.Element("EDKSYSTEM", EDWVERSION="1.2", VIVADOVERSION="2025.2")
    ElementTree.SubElement(
        system, "SYSTEMINFO", ARCH=processor.family, DEVICE=processor.device, NAME="joulecut"
    )
    ElementTree.SubElement(system, "EXTERNALPORTS")
    ElementTree.SubElement(system, "EXTERNALINTERFACES")
    modules = ElementTree.SubElement(system, "MODULES")
    _processor(modules, processor, clock_mhz)
    _accelerator(modules)
    controller = _module(modules, CONTROLLER, "xilinx.com:ip:axi_intc:4.1", "PERIPHERAL")
    ElementTree.SubElement(controller, "PARAMETERS")
    _ports(
        controller, {"intr": (INSTANCE, "irq"), "irq": (processor.cell, processor.interrupt)}
    )
    _bus(controller, "s_axi", "SLAVE")
    ElementTree.indent(system)
    return ElementTree.tostring(system, encoding="unicode", xml_declaration=True) + "\n"


def write_bitstream(folder: Path, processor: Processor, clock_mhz: float) -> Path:
    """joulecut.bit and its joulecut.hwh; returns the .bit.

    The .bit has a header that pynq can read, and no logic: a hash of the .hwh, since pynq takes
    bitstreams of equal content for the same design.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = handoff(processor, clock_mhz)
    (folder / "joulecut.hwh").write_text(text, encoding="utf-8")
    logic = hashlib.sha256(text.encode()).digest()
    fields = {"a": "joulecut;simulated", "b": processor.device, "c": "none", "d": "none"}
    header = b"".join(
        name.encode() + (len(value) + 1).to_bytes(2) + value.encode() + b"\0"
        for name, value in fields.items()
    )
    bitstream = folder / "joulecut.bit"
    bitstream.write_bytes(
        bytes(2) + (1).to_bytes(2) + header + b"e" + len(logic).to_bytes(4) + logic
    )
    return bitstream


def _processor(modules: ElementTree.Element, processor: Processor, mhz: float) -> None:
    parameters: dict[str, object] = dict(processor.parameters)
    for i in range(4):
        values = {
            "enable": int(i == 0),
            "mhz": mhz,
            "source": processor.source,
            "divisor0": round(processor.clock_mhz / mhz),
            "divisor1": 1,
        }
        parameters |= {
            name.format(i): values[kind] for kind, name in processor.clock_parameters.items()
        }
    module = _module(modules, processor.cell, processor.vlnv, "PROCESSOR")
    table = ElementTree.SubElement(module, "PARAMETERS")
    for name, value in parameters.items():
        ElementTree.SubElement(table, "PARAMETER", NAME=name, VALUE=str(value))
    _ports(module, {processor.interrupt: (CONTROLLER, "irq")})
    _bus(module, processor.bus, "MASTER")
    memory = ElementTree.SubElement(module, "MEMORYMAP")
    for instance, block, begin in (
        (INSTANCE, "reg0", processor.registers_at),
        (CONTROLLER, "Reg", processor.controller_at),
    ):
        ElementTree.SubElement(
            memory,
            "MEMRANGE",
            ADDRESSBLOCK=block,
            BASENAME="C_BASEADDR",
            BASEVALUE=f"0x{begin:08X}",
            HIGHNAME="C_HIGHADDR",
            HIGHVALUE=f"0x{begin + RANGE_BYTES - 1:08X}",
            INSTANCE=instance,
            IS_DATA="TRUE",
            IS_INSTRUCTION="TRUE",
            MASTERBUSINTERFACE=processor.bus,
            MEMTYPE="REGISTER",
            SLAVEBUSINTERFACE="s_axi",
        )


def _accelerator(modules: ElementTree.Element) -> None:
    module = _module(modules, INSTANCE, VLNV, "PERIPHERAL")
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
    _ports(module, {"irq": (CONTROLLER, "intr")})
    _bus(module, "s_axi", "SLAVE")


def _module(
    modules: ElementTree.Element, instance: str, vlnv: str, kind: str
) -> ElementTree.Element:
    _, _, name, version = vlnv.split(":")
    return ElementTree.SubElement(
        modules,
        "MODULE",
        FULLNAME=f"/{instance}",
        HWVERSION=version,
        INSTANCE=instance,
        IPTYPE=kind,
        IS_ENABLE="1",
        MODCLASS=kind,
        MODTYPE=name,
        VLNV=vlnv,
    )


def _ports(module: ElementTree.Element, connections: Mapping[str, tuple[str, str]]) -> None:
    """The interrupts of a module, and the module and port that each is connected to."""
    ports = ElementTree.SubElement(module, "PORTS")
    for name, (instance, port) in connections.items():
        entry = ElementTree.SubElement(
            ports, "PORT", DIR="O" if name == "irq" else "I", NAME=name, SIGIS="INTERRUPT"
        )
        ElementTree.SubElement(
            ElementTree.SubElement(entry, "CONNECTIONS"),
            "CONNECTION",
            INSTANCE=instance,
            PORT=port,
        )


def _bus(module: ElementTree.Element, name: str, kind: str) -> None:
    buses = ElementTree.SubElement(module, "BUSINTERFACES")
    ElementTree.SubElement(buses, "BUSINTERFACE", NAME=name, TYPE=kind, VLNV=_BUS)
