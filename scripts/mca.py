"""The innermost loops of a built kernel, and how many products a cycle llvm-mca expects of them.

An instruction count says little on a core that runs in order; llvm-mca's model of its pipeline
says more. What it knows: the instructions of one loop, their latencies and ports. What it does
not: caches (all loads hit), branches (predicted, and left out), whatever runs between two turns
of the loop. Its models were not checked on silicon. Figures are modelled.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from joulecut.compiler.errors import DeviceError
from joulecut.targets.cpu.tuning.issue import output_of

VERSIONS = ("-19", "-20", "-21", "-22", "-18", "-17", "-16", "-15", "-14", "")
TURNS = (100, 300)  # the difference leaves out how the first turns fill the pipeline
AARCH64, ARMV7 = "aarch64-linux-gnu", "armv7a-linux-gnueabihf"
TRIPLES = {"elf64-littleaarch64": AARCH64, "elf32-littlearm": ARMV7}

_LINE = re.compile(r"^\s*([0-9a-f]+):\s+(\S.*)$")
_BRANCH = re.compile(
    r"^(?:b(?:\.?(?:eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al))?(?:\.[nw])?|cbn?z|tbn?z)\s"
)
_TARGET = re.compile(r"0x([0-9a-f]+) <[^>]*>")
_NEON32 = re.compile(r"^v(mull|mlal|mla|mul|fma)\.([a-z]*)(\d+)\s+([qds])")


@dataclass(frozen=True)
class Loop:
    """The body of an innermost loop.

    Attributes:
        address: of its first instruction.
        instructions: in order, its branches included.
        triple: what LLVM calls the machine.
    """

    address: int
    instructions: tuple[str, ...]
    triple: str

    @property
    def macs(self) -> int:
        """Products that one turn sums."""
        return sum(map(macs_of, self.instructions))


def hot_loops(elf: Path, symbol: str) -> list[Loop]:
    """The innermost loops of a function that multiply, the one with the most products first.

    Args:
        elf: a program or library with symbols.
        symbol: of the function.

    Raises:
        DeviceError: LLVM's tools are absent, or there is no such function.
    """
    options = ["-d", "--no-show-raw-insn", f"--disassemble-symbols={symbol}", str(elf)]
    said = output_of([_tool("llvm-objdump"), *options])
    if f"<{symbol}>:" not in said:
        raise DeviceError(f"{elf} must have the function {symbol}, and has not")
    return sorted(find_loops(said), key=lambda loop: -loop.macs)


def find_loops(disassembly: str) -> list[Loop]:
    """Innermost loops with products, in what llvm-objdump printed of one function.

    A loop lies between a branch backwards and its target; it is an innermost one if no other
    lies inside.
    """
    form = re.search(r"file format (\S+)", disassembly)
    if form is None or form[1] not in TRIPLES:
        raise DeviceError(
            f"file must be of {', '.join(TRIPLES)}, not {form[1] if form else 'no known form'}"
        )
    code = list(_code(disassembly))
    places = {address: index for index, (address, _) in enumerate(code)}
    spans: set[tuple[int, int]] = set()
    for index, (_, text) in enumerate(code):
        target = _TARGET.search(text) if _BRANCH.match(text) else None
        start = places.get(int(target[1], 16)) if target else None
        if start is not None and start <= index:
            spans.add((start, index))
    # Branches back to one place from several (`continue`) are one loop, up to the last of them.
    ends = {start: max(end for first, end in spans if first == start) for start, _ in spans}
    inner = [
        (start, end)
        for start, end in sorted(ends.items())
        if not any(start < other <= end for other in ends)
    ]
    loops = (
        Loop(code[a][0], tuple(text for _, text in code[a : b + 1]), TRIPLES[form[1]])
        for a, b in inner
    )
    return [loop for loop in loops if loop.macs]


def _code(disassembly: str) -> Iterator[tuple[int, str]]:
    """Addresses and instructions without comments."""
    for line in disassembly.splitlines():
        found = _LINE.match(line)
        if found:
            text = re.split(r"\s+(?://|@ )", found[2])[0]
            yield int(found[1], 16), re.sub(r"\s+", " ", text).strip()


def macs_of(instruction: str) -> int:
    """Products of integers or floats that an Arm vector instruction makes and may sum.

    From the Arm Architecture Reference Manual: smull and smlal make as many products as their
    result has elements, sdot and udot four for each, smmla eight for each.
    """
    found = _NEON32.match(instruction)
    if found:
        return _macs_of_neon32(*found.groups())
    name, _, operands = instruction.partition(" ")
    shape = re.match(r"v\d+\.(\d+)[bhsd]", operands)
    if shape is None:
        return 0
    elements = int(shape[1])
    if re.fullmatch(r"[su](mull|mlal|mlsl)2?|mul|mla|fmla", name):
        return elements
    if re.fullmatch(r"([su]|us|su)dot", name):
        return 4 * elements
    return 8 * elements if re.fullmatch(r"([su]|us)mmla", name) else 0


def _macs_of_neon32(name: str, kind: str, bits: str, register: str) -> int:
    if kind == "f" and name == "mul":
        return 0  # a requantization's
    if name in ("mull", "mlal"):
        return 64 // int(bits)  # two 64-bit operands
    return {"q": 128, "d": 64, "s": 32}[register] // int(bits)


def mac_per_cycle(loop: Loop, cpu: str) -> float:
    """Products a cycle, modelled; see the module.

    Raises:
        DeviceError: llvm-mca is absent, or its model of the processor has not these
            instructions.
    """
    return loop.macs / cycles(loop, cpu)


def cycles(loop: Loop, cpu: str) -> float:
    """Cycles of one turn of the loop, modelled; raises as mac_per_cycle does."""
    if loop.triple != AARCH64:
        # Of 32-bit cores llvm-mca 19 leaves out instructions, or it crashes.
        raise DeviceError(
            f"cycles must be of an aarch64 core, not of {cpu}; count instructions"
        )
    few, many = (_cycles(loop, cpu, turns) for turns in TURNS)
    return (many - few) / (TURNS[1] - TURNS[0])


def version() -> str:
    """Of llvm-mca."""
    found = re.search(r"LLVM version (\S+)", output_of([_tool("llvm-mca"), "--version"]))
    return found[1] if found else "of unknown version"


def _cycles(loop: Loop, cpu: str, turns: int) -> int:
    lines = [text for text in loop.instructions if not _BRANCH.match(text)]
    # An address that an instruction forms relative to itself is only a number here.
    lines = [re.sub(r"#?(0x)?[0-9a-f]+ <[^>]*>", "#0", text) for text in lines]
    options = [f"-mtriple={loop.triple}", f"-mcpu={cpu}", f"-iterations={turns}"]
    said = output_of([_tool("llvm-mca"), *options], lines)
    found = re.search(r"Total Cycles:\s+(\d+)", said)
    if found is None:
        raise DeviceError(f"llvm-mca must give cycles of {cpu}, not '{said[:200]}'")
    return int(found[1])


@cache
def _tool(name: str) -> str:
    for suffix in VERSIONS:
        found = shutil.which(name + suffix)
        if found:
            return found
    raise DeviceError(f"{name} must be installed, and is not; install Debian's llvm-19")
