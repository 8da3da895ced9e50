"""The accelerator's registers and descriptors: one table for RTL, driver, models and docs.

`python -m joulecut.hw.regs` writes hw/rtl/jc_regs.svh, hw/jc_regs.h, the tables of
docs/accelerator.md and the constants of targets/fpga/driver.py, which must be one file; a test
fails when one of them is stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

VLNV = "joulecut:accelerator:jc_core:1.0"  # vendor, library, name, version: how Vivado names it
IDENTITY = 0x4A434D41  # "JCMA"
VERSION = 1
DESCRIPTOR_BYTES = 64
WORDS = DESCRIPTOR_BYTES // 4
ALIGNMENT = 128  # bytes: of lists of descriptors and of the memory that addresses count from


@dataclass(frozen=True)
class Register:
    """A 32-bit register of the AXI4-Lite slave.

    Attributes:
        name: in capitals in C and SystemVerilog.
        offset: in bytes.
        access: "ro", "rw", or "w1" for bits that do something when 1 is written.
        text: what it holds.
    """

    name: str
    offset: int
    access: str
    text: str


@dataclass(frozen=True)
class Field:
    """Some bits of a descriptor.

    Attributes:
        name: as in the descriptor's dataclass.
        word: which of its 32-bit words.
        lsb: lowest bit in that word.
        width: in bits.
        is_signed: two's complement, or else unsigned.
        text: what it says, with its unit.
    """

    name: str
    word: int
    lsb: int
    width: int
    text: str
    is_signed: bool = False

    @property
    def low(self) -> int:
        """The smallest value that fits."""
        return -(1 << self.width - 1) if self.is_signed else 0

    @property
    def high(self) -> int:
        """The largest value that fits."""
        return (1 << self.width - self.is_signed) - 1


def _registers(rows: Iterable[tuple[str, str, str]]) -> tuple[Register, ...]:
    return tuple(
        Register(name, 4 * i, access, text) for i, (name, access, text) in enumerate(rows)
    )


REGISTERS = _registers(
    (
        ("id", "ro", f"0x{IDENTITY:08X}"),
        ("version", "ro", "of registers and descriptors"),
        ("array", "ro", "rows 7:0, columns 15:8, strip 23:16, lanes 31:24"),
        ("inputs", "ro", "activation words 31:0"),
        ("weights", "ro", "weight words 31:0"),
        ("outputs", "ro", "output words 31:0"),
        ("parameters", "ro", "channels of bias and scale 31:0"),
        ("control", "w1", "start 0, clear counters 1"),
        ("status", "ro", "busy 0, done 1, error 2, error code 11:8"),
        ("interrupt", "rw", "pending 0 (1 clears it)"),
        ("interrupt_enable", "rw", "enable 0"),
        ("descriptors", "rw", "byte address of the first descriptor, a multiple of 128"),
        ("count", "rw", "descriptors to run, an even number"),
        ("scratch", "rw", "free for the driver"),
        ("cycles", "ro", "from start to done"),
        ("mac_cycles", "ro", "cycles in which the array multiplied"),
        ("vector_cycles", "ro", "cycles in which words went round the array (pools, adds)"),
        ("idle_cycles", "ro", "no descriptor to compute was there"),
        ("load_stalls", "ro", "computing waited for a load"),
        ("store_stalls", "ro", "computing waited for room in the output memory"),
        ("weight_stalls", "ro", "computing waited for weights to enter the array"),
        ("sum_stalls", "ro", "computing waited for sums to be requantized"),
        ("beats_in", "ro", "of 8 bytes that loads read"),
        ("beats_out", "ro", "of 8 bytes that stores wrote"),
        ("activation_reads", "ro", "words of the activation memory"),
        ("weight_reads", "ro", "words of the weight memory"),
        ("bias_reads", "ro", "of the parameter memory"),
        ("scale_reads", "ro", "of the parameter memory, one a lane and cycle"),
        ("sum_updates", "ro", "pixels whose sums were read, changed and written"),
        ("sum_drains", "ro", "pixels whose sums were requantized"),
        ("output_writes", "ro", "words of the output memory"),
        ("finished", "ro", "descriptors that have ended"),
    )
)

_WAITS = (
    Field("opcode", 0, 0, 4, "what to do"),
    Field("wait_load", 1, 0, 16, "start when as many loads have ended, modulo 65,536"),
    Field("wait_compute", 1, 16, 16, "start when as many computations have ended"),
    Field("wait_store", 2, 0, 16, "start when as many stores have ended"),
)
_MOVE = (
    Field("address", 3, 0, 32, "byte address of the first row, a multiple of 8"),
    Field("row_stride", 4, 0, 32, "bytes from row to row"),
    Field("plane_stride", 5, 0, 32, "bytes from plane to plane"),
    Field("row_beats", 6, 0, 16, "of 8 bytes in a row"),
    Field("rows", 6, 16, 16, "of a plane"),
    Field("planes", 7, 0, 16, "of 8 channels"),
    Field("word", 8, 0, 16, "first word in the memory"),
    Field("plane_words", 8, 16, 16, "words from planes to the planes in the words behind them"),
    Field("plane_beats", 9, 0, 16, "row_beats x rows"),
)
LOAD = (
    *_WAITS,
    Field("memory", 0, 4, 2, "0 activations, 1 weights, 2 parameters"),
    Field("is_planar", 0, 6, 1, "a plane fills 8 lanes of its words; else beats fill words"),
    *_MOVE,
)
STORE = (
    *_WAITS,
    *_MOVE,
    Field("word_planes", 7, 16, 8, "planes of 8 channels that a word holds"),
)
COMPUTE = (
    *_WAITS,
    Field("operation", 0, 4, 2, "0 multiply, 1 largest, 2 sum, 3 pair of addends"),
    Field("is_packed", 0, 6, 1, "rows of the window are packed into the columns"),
    Field("is_unsigned", 0, 7, 1, "activations are uint8, else int8"),
    Field("strips", 0, 16, 16, "of pixels, for each tile of output channels"),
    Field("passes", 2, 16, 16, "over a strip, each with a tile of weights"),
    Field("activation_word", 3, 0, 16, "of the first pixel"),
    Field("weight_word", 3, 16, 16, "of the first tile"),
    Field("output_word", 4, 0, 16, "of the first pixel"),
    Field("parameter_word", 4, 16, 16, "of the first channel"),
    Field("out_width", 5, 0, 16, "pixels"),
    Field("pixels", 5, 16, 16, "of the output, out_width x out_height"),
    Field("in_width", 6, 0, 16, "pixels; outside of them x is the zero point"),
    Field("in_height", 6, 16, 16, "rows"),
    Field("kernel_width", 7, 0, 8, "taps"),
    Field("strip", 7, 8, 8, "pixels of a strip; the last may be shorter"),
    Field("stride_y", 7, 16, 4, "rows"),
    Field("stride_x", 7, 20, 4, "pixels"),
    Field("dilation_y", 7, 24, 4, "rows"),
    Field("dilation_x", 7, 28, 4, "pixels"),
    Field("pad_top", 8, 0, 8, "rows of zero points"),
    Field("pad_left", 8, 8, 8, "pixels of zero points"),
    Field("x_zero_point", 8, 16, 9, "of activations outside of the input", is_signed=True),
    Field("input_tiles", 9, 0, 12, "of `columns` channels"),
    Field("output_tiles", 9, 12, 12, "of `rows` channels"),
    Field("input_step", 10, 0, 16, "words from one tile of input channels to the next"),
    Field("output_step", 10, 16, 16, "words between the inputs of two tiles of outputs"),
    Field("row_step", 11, 0, 16, "words, or bytes if packed, from an output's row to the next"),
    Field("tap_row_step", 11, 16, 16, "words or bytes from a window's row to the next"),
    Field("pixel_step", 12, 0, 8, "words or bytes from an output's pixel to the next"),
    Field("window_bytes", 12, 8, 16, "of a row of a packed window"),
    Field("addend_zero_point", 13, 0, 9, "of the second addend", is_signed=True),
    Field("zero_point", 14, 0, 10, "of the output", is_signed=True),
    Field("low", 14, 10, 10, "least output", is_signed=True),
    Field("high", 14, 20, 10, "largest output", is_signed=True),
    Field("addend_scale", 15, 0, 32, "float32 multiplier of the second addend"),
)
OPCODES: Mapping[str, int] = {"nothing": 0, "load": 1, "compute": 2, "store": 3}
KINDS: Mapping[str, tuple[Field, ...]] = {"load": LOAD, "compute": COMPUTE, "store": STORE}
ERRORS: Mapping[str, int] = {"opcode": 1, "read": 2, "write": 3}

STATUS: Mapping[str, int] = {"busy": 1, "done": 2, "error": 4}  # masks; the code is in 11:8
CONTROL: Mapping[str, int] = {"start": 1, "clear": 2}

# Where an accelerator says how large it is: a MacArrayConfig's field -> register, lowest bit, width.
SIZES: Mapping[str, tuple[str, int, int]] = {
    "rows": ("array", 0, 8),
    "columns": ("array", 8, 8),
    "strip": ("array", 16, 8),
    "lanes": ("array", 24, 8),
    "activation_words": ("inputs", 0, 32),
    "weight_words": ("weights", 0, 32),
    "output_words": ("outputs", 0, 32),
    "parameter_words": ("parameters", 0, 32),
}

COUNTERS = tuple(r.name for r in REGISTERS[[r.name for r in REGISTERS].index("cycles") :])


def verilog() -> str:
    """hw/rtl/jc_regs.svh: register offsets, counters, and a macro for every field."""
    lines = [
        "// Written by joulecut.hw.regs; do not edit.",
        "`ifndef JC_REGS_SVH",
        "`define JC_REGS_SVH",
        f"`define JC_IDENTITY 32'h{IDENTITY:08X}",
        f"`define JC_VERSION 32'd{VERSION}",
        *(f"`define JC_REG_{r.name.upper()} 8'h{r.offset:02X}" for r in REGISTERS),
        f"`define JC_FIRST_COUNTER {len(REGISTERS) - len(COUNTERS)}",
        f"`define JC_COUNTERS {len(COUNTERS)}",
        *(f"`define JC_COUNT_{name.upper()} {i}" for i, name in enumerate(COUNTERS)),
    ]
    for name, field in _macros():
        bits = f"[{32 * field.word + field.lsb} +: {field.width}]"
        lines.append(f"`define {name}(d) d{bits}")
    return "\n".join([*lines, "`endif", ""])


def header() -> str:
    """hw/jc_regs.h: the same for drivers in C, fields as word, lowest bit and width."""
    lines = [
        "/* Written by joulecut.hw.regs; do not edit. */",
        "#ifndef JC_REGS_H",
        "#define JC_REGS_H",
        f"#define JC_IDENTITY 0x{IDENTITY:08X}u",
        f"#define JC_VERSION {VERSION}u",
        f"#define JC_DESCRIPTOR_BYTES {DESCRIPTOR_BYTES}",
        *(f"#define JC_REG_{r.name.upper()} 0x{r.offset:02X}" for r in REGISTERS),
        *(f"#define JC_OPCODE_{name.upper()} {number}" for name, number in OPCODES.items()),
    ]
    for name, field in _macros():
        lines.append(f"#define {name} {field.word}, {field.lsb}, {field.width}")
    return "\n".join([*lines, "#endif", ""])


def _macros() -> Iterator[tuple[str, Field]]:
    """Every field of a descriptor by its name in Verilog and C."""
    for kind, fields in KINDS.items():
        for field in fields:
            yield f"JC_{kind.upper()}_{field.name.upper()}", field


def tables() -> str:
    """The tables of docs/accelerator.md."""
    lines = ["### Registers", "", "| offset | name | access | holds |", "|---|---|---|---|"]
    lines += [f"| 0x{r.offset:02X} | `{r.name}` | {r.access} | {r.text} |" for r in REGISTERS]
    for kind, fields in KINDS.items():
        lines += ["", f"### Descriptor: {kind} (opcode {OPCODES[kind]})", ""]
        lines += ["| field | word | bits | says |", "|---|---|---|---|"]
        for field in fields:
            bits = f"{field.lsb + field.width - 1}:{field.lsb}"
            sign = " (signed)" if field.is_signed else ""
            lines.append(f"| `{field.name}` | {field.word} | {bits} | {field.text}{sign} |")
    return "\n".join([*lines, ""])


def constants() -> str:
    """The constants of targets/fpga/driver.py, which may import nothing of joulecut."""
    moved = {f.name: (f.word, f.lsb, f.width) for f in _MOVE}
    tables: dict[str, Mapping[str, object]] = {
        "REGISTERS": {r.name: r.offset for r in REGISTERS},
        "STATUS": STATUS,
        "CONTROL": CONTROL,
        "SIZES": SIZES,
        "ERRORS": ERRORS,
        "OPCODES": OPCODES,
        "MOVE": {"opcode": (0, 0, 4), **moved},
    }
    lines = [
        f'VLNV = "{VLNV}"',
        f"IDENTITY = 0x{IDENTITY:08X}",
        f"VERSION = {VERSION}",
        f"DESCRIPTOR_BYTES = {DESCRIPTOR_BYTES}",
        f"ALIGNMENT = {ALIGNMENT}",
        f'FIRST_COUNTER = "{COUNTERS[0]}"',
    ]
    for name, table in tables.items():
        rows = [f"    {_quoted(key)}: {_quoted(value)}," for key, value in table.items()]
        lines += [f"{name} = {{", *rows, "}"]
    return "\n".join([*lines, ""])


def _quoted(value: object) -> str:
    """As Python, with double quotes."""
    return repr(value).replace("'", '"')


_PAGE = ("<!-- registers: written by joulecut.hw.regs -->\n", "<!-- end of registers -->")
_DRIVER = ("# Registers: written by joulecut.hw.regs.\n", "# End of registers.")


def _replaced(text: str, marks: tuple[str, str], inner: str) -> str:
    """A text with what stands between two marks made anew."""
    begin, end = marks
    before, rest = text.split(begin)
    return before + begin + inner + end + rest.split(end)[1]


def files() -> dict[Path, str]:
    """What the table is written to, and what belongs there."""
    folder = Path(__file__).resolve().parent
    page = folder.parent / "docs" / "accelerator.md"
    driver = folder.parent / "targets" / "fpga" / "driver.py"
    return {
        folder / "rtl" / "jc_regs.svh": verilog(),
        folder / "jc_regs.h": header(),
        page: _replaced(page.read_text(encoding="utf-8"), _PAGE, tables()),
        driver: _replaced(driver.read_text(encoding="utf-8"), _DRIVER, constants()),
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
