"""Cycles that a core which runs in order takes to issue a kernel: counted blocks x llvm-mca.

    cycles = sum over blocks of (times that it ran) x (cycles of one run by llvm-mca)

Such a core waits wherever a result is not there yet, so it is the order of instructions that
costs, and their number says little. The emulator counts how often each block of instructions
ran; llvm-mca, given the block again and again, says what it takes. Loads hit L1 there, branches
are predicted and left out, and what a block leaves unfinished at its end is not seen by the next
but by itself. LLVM's models of cores were not checked on silicon.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from joulecut.compiler.errors import DeviceError

MODELLED = ("cortex-a53", "cortex-a55")  # cores in order of which LLVM has a whole model
VERSIONS = ("-19", "-20", "-21", "-22", "")  # older ones lack instructions
TURNS = (20, 60)  # the difference leaves out how the first turns fill the pipeline
ENOUGH = 0.98  # of the instructions; what is left issues as those do

_LINE = re.compile(r"^\s*([0-9a-f]+):\s+(\S.*)$")
_BRANCH = re.compile(r"^(b|bl|br|blr|ret|b\.\w+|cbn?z|tbn?z)(\s|$)")
_RELATIVE = re.compile(r"#?(0x)?[0-9a-f]+ <[^>]*>")
_TOTAL = re.compile(r"^Total Cycles:\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Instructions without branches inside.

    Attributes:
        address: of the first.
        size: how many.
        count: how often they ran.
    """

    address: int
    size: int
    count: int


def tool(name: str) -> str | None:
    """The path of one of LLVM's tools, of a version that knows the cores."""
    found = (shutil.which(name + suffix) for suffix in VERSIONS)
    return next((path for path in found if path), None)


@cache
def version() -> str | None:
    """Of llvm-mca; None if it or llvm-objdump is absent."""
    mca = tool("llvm-mca")
    if mca is None or tool("llvm-objdump") is None:
        return None
    found = re.search(r"LLVM version (\d+)", output_of([mca, "--version"]))
    return None if found is None or int(found[1]) < 19 else found[1]


def read_blocks(path: Path) -> list[list[Block]]:
    """What the plugin wrote: the blocks of each interval."""
    found: dict[int, list[Block]] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        interval, *numbers = map(int, line.split())
        found.setdefault(interval, []).append(Block(*numbers))
    return [found[interval] for interval in sorted(found)]


def code_of(program: Path, symbols: Sequence[str]) -> dict[int, str]:
    """Instructions of some functions by address."""
    objdump = tool("llvm-objdump")
    assert objdump is not None
    names = f"--disassemble-symbols={','.join(symbols)}"
    found: dict[int, str] = {}
    for line in output_of(
        [objdump, "-d", "--no-show-raw-insn", names, str(program)]
    ).splitlines():
        match = _LINE.match(line)
        if match:
            found[int(match[1], 16)] = re.split(r"\s+//", match[2])[0].strip()
    return found


def cycles_per_instruction(
    blocks: Sequence[Block], code: Mapping[int, str], mcpu: str
) -> float:
    """Of the blocks that make most of the instructions of a kernel."""
    own = sorted(
        (b for b in blocks if b.address in code), key=lambda b: (-b.count * b.size, b.address)
    )
    total = sum(b.count * b.size for b in own)
    hot: list[Block] = []
    for block in own:
        if sum(b.count * b.size for b in hot) >= ENOUGH * total:
            break
        hot.append(block)
    bodies = [_body(block, code) for block in hot]
    few, many = (_cycles(bodies, mcpu, turns) for turns in TURNS)
    each = [(b - a) / (TURNS[1] - TURNS[0]) for a, b in zip(few, many, strict=True)]
    cycles = sum(block.count * one for block, one in zip(hot, each, strict=True))
    return cycles / sum(block.count * block.size for block in hot)


def _body(block: Block, code: Mapping[int, str]) -> list[str]:
    """Its instructions, without branches; addresses relative to them are only numbers here."""
    texts = [code.get(block.address + 4 * i, "nop") for i in range(block.size)]
    return [_RELATIVE.sub("#0", text) for text in texts if not _BRANCH.match(text)] or ["nop"]


def _cycles(bodies: Sequence[Sequence[str]], mcpu: str, turns: int) -> list[int]:
    """Of so many turns of each."""
    mca = tool("llvm-mca")
    assert mca is not None
    text: list[str] = []
    for i, body in enumerate(bodies):
        text += [f"# LLVM-MCA-BEGIN {i}", *body, f"# LLVM-MCA-END {i}"]
    options = ["-mtriple=aarch64-linux-gnu", f"-mcpu={mcpu}", f"-iterations={turns}"]
    said = output_of(
        [mca, *options, "-resource-pressure=false", "-instruction-info=false"], text
    )
    found = [int(total) for total in _TOTAL.findall(said)]
    if len(found) != len(bodies):
        raise DeviceError(
            f"llvm-mca must give cycles of {len(bodies)} blocks for {mcpu}, not of {len(found)}"
        )
    return found


def output_of(command: Sequence[str], lines: Sequence[str] = ()) -> str:
    """What one of LLVM's tools writes when it is given some lines.

    Raises:
        DeviceError: it does not end with 0.
    """
    given = "\n".join([*lines, ""])
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        name = Path(command[0]).name
        raise DeviceError(
            f"{name} must end with 0, not {done.returncode}:\n{done.stderr[:500]}"
        )
    return done.stdout
