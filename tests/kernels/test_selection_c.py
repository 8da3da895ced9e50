"""The edge's lookup in C decides as Python does, everywhere, and believes no table."""

from __future__ import annotations

import ctypes
import math
import random
import struct
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from c_library import C_FOLDER, FLAGS, c_library
from cross_tools import EMULATED, tool
from selection_cases import channels_of, random_channels, random_cuts

from joulecut.compiler.envelope import selection_table
from joulecut.compiler.errors import UntrustedInputError
from joulecut.compiler.objective import EstimationError, Objective
from joulecut.compiler.selection_table import SelectionTable, Span
from joulecut.kernels import coder

HERE = Path(__file__).parent
FUZZ = HERE.parent / "fuzz"
SOURCES = tuple(C_FOLDER / name for name in ("selection.c", "xxh32.c"))
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
NO_CHECKSUMS = "-DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION"
NO_CUT = 0xFFFF
JC_OK, JC_BAD_ARGUMENT = 0, 1
OBJECTIVES = {
    "energy": Objective(),
    "hysteresis": Objective(margin=0.1),
    "bounded": Objective(max_latency_s=0.02, margin=0.3, error=EstimationError(0.2)),
}


class CSelection(ctypes.Structure):
    """struct jc_selection of kernels/c/selection.h."""

    _fields_ = (
        ("starts", ctypes.c_void_p),
        ("spans", ctypes.c_void_p),
        ("choices", ctypes.c_void_p),
        ("cuts", ctypes.c_void_p),
        ("n_pieces", ctypes.c_uint32),
        ("n_spans", ctypes.c_uint32),
        ("n_cuts", ctypes.c_uint),
    )


@cache
def library() -> ctypes.CDLL:
    found = c_library("selection.c", "xxh32.c")
    found.jc_read_selection.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p)
    found.jc_select.argtypes = (
        ctypes.c_void_p,
        ctypes.c_double,
        ctypes.c_uint,
        ctypes.c_void_p,
    )
    return found


def read(blob: bytes) -> tuple[int, CSelection]:
    """The result of reading, and the table, whose bytes must be kept."""
    found = CSelection()
    return library().jc_read_selection(blob, len(blob), ctypes.byref(found)), found


def select(table: CSelection, x: float, previous: int | None) -> int | None:
    """What C chooses."""
    cut = ctypes.c_uint(12345)
    number = NO_CUT if previous is None else previous
    result = library().jc_select(ctypes.byref(table), x, number, ctypes.byref(cut))
    assert result == JC_OK
    return None if cut.value == NO_CUT else cut.value


def queries(table: SelectionTable, n: int) -> list[tuple[float, int | None]]:
    """Random channels, and every border and its neighbours, after random cuts."""
    rng = random.Random(n)
    before = (None, *range(table.n_cuts))
    found = [(x, rng.choice(before)) for x in random_channels(n, n)]
    return found + [(x, previous) for x in channels_of(table) for previous in before]


@pytest.mark.tool
@pytest.mark.parametrize("name", OBJECTIVES)
def test_c_chooses_as_python_does(name: str):
    tool("gcc")
    table = selection_table(random_cuts(1), OBJECTIVES[name])
    blob = table.to_bytes()
    result, found = read(blob)
    assert result == JC_OK
    asked = queries(table, 100_000 if name == "hysteresis" else 10_000)
    for x, previous in asked:
        assert select(found, x, previous) == table.lookup(x, previous), (x, previous)


@pytest.mark.tool
@pytest.mark.parametrize("machine", EMULATED)
def test_every_machine_chooses_as_python_does(machine: str, tmp_path: Path):
    other = EMULATED[machine]
    program = build(other.compiler(), HERE / "selection_queries.c", tmp_path, *other.flags)
    runner = other.runner()
    for name, objective in OBJECTIVES.items():
        table = selection_table(random_cuts(2), objective)
        asked = queries(table, 100_000)
        (tmp_path / "table").write_bytes(table.to_bytes())
        (tmp_path / "queries").write_bytes(
            b"".join(
                struct.pack("<dI", x, NO_CUT if before is None else before)
                for x, before in asked
            )
        )
        command = [runner, program, tmp_path / "table", tmp_path / "queries"]
        done = subprocess.run(command, check=True, capture_output=True)
        answers = struct.unpack(f"<{len(asked)}I", done.stdout)
        expected = [table.lookup(x, before) for x, before in asked]
        assert [None if each == NO_CUT else each for each in answers] == expected, name


def build(cc: str, program: Path, folder: Path, *flags: str, more: Sequence[Path] = ()) -> Path:
    """A program with the lookup."""
    made = folder / program.stem
    command = [cc, *FLAGS, *flags, f"-I{C_FOLDER}", program, *more, *SOURCES]
    done = subprocess.run(
        [*command, "-lm", "-o", made], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return made


@pytest.mark.tool
@pytest.mark.parametrize(
    ("x", "previous"), [(-1.0, NO_CUT), (math.nan, NO_CUT), (1.0, 20), (1.0, NO_CUT + 1)]
)
def test_arguments_are_checked(x: float, previous: int):
    tool("gcc")
    blob = selection_table(random_cuts(1), Objective()).to_bytes()
    _, table = read(blob)
    cut = ctypes.c_uint(7)
    result = library().jc_select(ctypes.byref(table), x, previous, ctypes.byref(cut))
    assert (result, cut.value) == (JC_BAD_ARGUMENT, 7)


SMALL = SelectionTable(
    9, (0, 1e-6, 2e-6, math.inf), (4, 0, None, 2), (Span(0, 5e-7, 2e-6), Span(7, 0, 1e-6))
)


def is_taken(blob: bytes) -> bool:
    try:
        SelectionTable.from_bytes(blob)
    except UntrustedInputError:
        return False
    return True


@pytest.mark.tool
def test_c_refuses_what_python_refuses():
    """Under a checksum that fits, so that every other check is reached."""
    tool("gcc")
    said = SMALL.to_bytes()[:-4]
    rng = random.Random(1)
    taken = refused = 0
    for at in (*range(8 * len(said)), *(rng.randrange(8 * len(said)) for _ in range(2000))):
        mutant = bytearray(said)
        mutant[at // 8] ^= 1 << at % 8
        if taken + refused >= 8 * len(said):
            mutant[rng.randrange(len(said))] = rng.randrange(256)
        blob = bytes(mutant) + struct.pack("<I", coder.xxh32(mutant))
        assert (read(blob)[0] == JC_OK) == is_taken(blob), blob.hex(" ")
        taken += is_taken(blob)
        refused += not is_taken(blob)
    assert taken > 100
    assert refused > 100


@pytest.mark.tool
def test_damage_has_a_name():
    tool("gcc")
    blob = SMALL.to_bytes()
    assert read(blob[:-1])[0] == 5  # JC_TRUNCATED
    assert read(blob[:3])[0] == 5
    assert read(blob + b"\0")[0] == 6  # JC_TRAILING
    assert read(b"X" + blob[1:])[0] == 7  # JC_BAD_MAGIC
    assert read(blob[:4] + b"\2" + blob[5:])[0] == 8  # JC_BAD_VERSION
    assert read(blob[:5] + b"\1" + blob[6:])[0] == 9  # JC_BAD_HEADER
    assert read(blob[:-1] + bytes([blob[-1] ^ 1]))[0] == 10  # JC_BAD_CHECKSUM


def replay(command: Sequence[str | Path], files: Sequence[Path], mutants: int) -> str:
    """The checksum of what came of all mutants."""
    done = subprocess.run(
        [*command, str(mutants), *files], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[1]) > len(files) * mutants
    return done.stdout.split()[-1]


@pytest.fixture
def corpus(tmp_path: Path) -> list[Path]:
    """Tables to make mutants of."""
    made = {name: selection_table(random_cuts(1), each) for name, each in OBJECTIVES.items()}
    made["small"] = SMALL
    for name, table in made.items():
        (tmp_path / name).write_bytes(table.to_bytes())
    return [tmp_path / name for name in made]


@pytest.mark.tool
def test_no_mutant_is_read_out_of_bounds(tmp_path: Path, corpus: list[Path]):
    """Sanitizers and guard pages see nothing and change nothing; checksums are left out."""
    gcc = tool("gcc")
    (tmp_path / "probe.c").write_text("int main(void) { return 0; }\n")
    probe = [gcc, *SANITIZERS, tmp_path / "probe.c", "-o", tmp_path / "probe"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("gcc has no sanitizer libraries: apt install libasan8 libubsan1")

    def made(*flags: str) -> str:
        replayed = [FUZZ / "replay.c"]
        program = build(gcc, FUZZ / "select.c", tmp_path, NO_CHECKSUMS, *flags, more=replayed)
        return replay([program], corpus, 2000)

    assert made() == made(*SANITIZERS) == made("-D_GNU_SOURCE", "-DGUARD_PAGES")
