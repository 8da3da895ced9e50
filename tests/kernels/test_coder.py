"""The C codec against its slow twin: every quantizer, every mode, round trips, hostile bytes."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from coder_samples import CASES, LOSSLESS, Case, Q, decoded
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from joulecut.kernels import coder
from joulecut.kernels.twin import container, tables
from joulecut.kernels.twin.bits import StreamError
from joulecut.kernels.twin.checksum import xxh32

SOME_MODES = (coder.MODES, coder.FAST_MODES, *[(mode,) for mode in coder.MODES])
SLOW = ("trellis", "fixed_trellis")
by_case = pytest.mark.parametrize("case", CASES, ids=str)


def corners(case: Case) -> tuple[int, ...]:
    """Around groups, blocks and rows; few for twins that are slow."""
    return (1, 40, 1030) if case.quantizer.kind in SLOW else (0, 1, 7, 8, 9, 100, 1024, 1030)


def same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Same type, shape and bits."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@by_case
def test_equals_the_slow_twin_byte_for_byte(case: Case):
    for n in corners(case):
        array = case.draw(n)
        for modes in SOME_MODES if n < 1024 else SOME_MODES[:1]:
            blob = case.encode(array, modes=modes)
            assert blob == case.twin_encode(array, modes)
            assert decoded(blob).tobytes() == container.decode(blob)[1]


@by_case
def test_static_tables_equal_those_of_the_twin(case: Case):
    array = case.draw(300)
    blob = case.build_tables(array)
    assert blob == case.twin_build_tables(array)
    static, twin_static = coder.Tables(blob), tables.read_tables(blob)
    assert static.sum == twin_static.sum
    other = case.draw(60, seed=1)
    for modes in SOME_MODES:
        coded = case.encode(other, modes=modes, tables=static)
        assert coded == case.twin_encode(other, modes, twin_static)
        assert decoded(coded, static).tobytes() == container.decode(coded, twin_static)[1]
        assert len(coded) <= len(case.encode(other, modes=modes))


@given(st.sampled_from(CASES[:15]), st.integers(0, 300), st.integers(0, 99), st.data())
def test_any_modes_equal_the_twin(case: Case, n: int, seed: int, data: st.DataObject):
    modes = tuple(data.draw(st.lists(st.sampled_from(coder.MODES), unique=True)))
    array = case.draw(n, seed)
    assert case.encode(array, modes=modes) == case.twin_encode(array, modes)


@pytest.mark.parametrize("case", LOSSLESS, ids=str)
@pytest.mark.parametrize("n", [0, 1, 1023, 1024, 1025, 4095, 4096, 24000, 70000])
def test_lossless_quantizers_lose_nothing(case: Case, n: int):
    array = case.draw(n)
    for modes in SOME_MODES:
        assert same(decoded(case.encode(array, modes=modes)), array)


@by_case
def test_headers_say_what_was_coded(case: Case):
    array = case.draw(20)
    header = coder.read_header(case.encode(array))
    assert header[:5] == (case.dtype, array.shape, case.quantizer, 10, 10)
    assert (header.tables_sum, header.n_bytes) == (0, array.nbytes)
    assert case.encode(array, row=3)[:8] == case.encode(array)[:8]
    assert coder.read_header(case.encode(array, row=3)).row == 3


@by_case
def test_threads_give_the_same(case: Case):
    array = case.draw(9000)
    blob = case.encode(array, modes=coder.FAST_MODES)
    for threads in (2, 3, 7, 256):
        assert same(decoded(blob, threads=threads), decoded(blob))


@by_case
def test_no_tensor_is_larger_than_the_bound(case: Case):
    rng = np.random.default_rng(0)
    for n in (0, 1, 1024, 1025, 5000):
        noise = case.draw(n) if case.quantizer.kind == "integers" else rng.bytes(4 * n)
        array = np.frombuffer(noise, case.dtype)[:n]
        if case.dtype == "float32" and case.quantizer.kind != "bytes":
            array = rng.uniform(-9, 9, n).astype(np.float32)
        bound = coder.bound(case.dtype, (n,), case.quantizer, block_log2=10)
        for modes in (("raw",), coder.MODES):
            assert len(case.encode(array, modes=modes)) <= bound


@by_case
def test_symbols_and_values_are_those_of_the_tensor(case: Case):
    array = case.draw(3000)
    if case.quantizer.kind == "bytes":
        return
    symbols = np.empty(array.size, np.uint16)
    out = np.empty_like(array)
    coder.symbols_into(
        array, case.dtype, case.quantizer, symbols, block_log2=10, rates=case.rates
    )
    coder.values_into(symbols, case.dtype, case.quantizer, out, block_log2=10)
    assert same(out, decoded(case.encode(array, modes=coder.FAST_MODES)))


# ---- hostile bytes ----


def outcome(blob: bytes | bytearray, static: coder.Tables | None) -> bytes | None:
    """The decoded bytes; None if the blob is refused."""
    try:
        header = coder.read_header(blob)
        if header.n_bytes > 1 << 16:
            return None  # a caller compares this with its limit
        return decoded(bytes(blob), static).tobytes()
    except coder.CoderError:
        return None


def samples() -> list[tuple[str, bytes, coder.Tables | None]]:
    """Tensors of every case and every mode, with static tables and without."""
    found: list[tuple[str, bytes, coder.Tables | None]] = [
        (str(case), case.encode(case.draw(40)), None) for case in CASES
    ]
    found += [
        (f"{case}-{mode}", case.encode(case.draw(60), modes=(mode,)), None)
        for mode in coder.MODES
        for case in (CASES[6], CASES[16])
    ]
    static = coder.Tables(CASES[6].build_tables(CASES[6].draw(200)))
    for mode in coder.MODES[2:]:
        blob = CASES[6].encode(CASES[6].draw(50), modes=(mode,), tables=static)
        found.append((f"static-{mode}", blob, static))
    return found


@pytest.mark.parametrize(
    ("name", "blob", "static"), samples(), ids=lambda x: x if isinstance(x, str) else ""
)
def test_damage_is_refused(name: str, blob: bytes, static: coder.Tables | None):
    expected = outcome(blob, static)
    assert expected is not None, name
    for size in range(len(blob)):
        assert outcome(blob[:size], static) is None
    assert outcome(blob + b"\0", static) is None
    values = range(256) if name.startswith("static") else [1 << bit for bit in range(8)]
    for at in range(len(blob)):
        for change in values:
            damaged = bytearray(blob)
            damaged[at] ^= change
            assert outcome(damaged, static) in (None, expected)


@given(st.sampled_from(CASES), st.data())
def test_arbitrary_blocks_give_what_the_twin_gives(case: Case, data: st.DataObject):
    """With the checksums repaired, so that the decoders behind them see the damage."""
    n = data.draw(st.integers(1, 30))
    good = case.encode(case.draw(n), modes=data.draw(st.sampled_from(SOME_MODES)))
    front = coder.read_header(good).header_bytes
    blocks = bytearray(good[front:])
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(blocks) - 1))
        blocks[at] = data.draw(st.integers(0, 255))
    blob = good[:front] + bytes(blocks)
    try:
        expected = container.decode(blob)[1]
    except StreamError:
        assert outcome(blob, None) is None
    else:
        assert outcome(blob, None) == expected


@given(st.sampled_from(CASES), st.data())
def test_arbitrary_headers_give_what_the_twin_gives(case: Case, data: st.DataObject):
    good = case.encode(case.draw(5))
    body = bytearray(good[: coder.read_header(good).header_bytes - 4])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(4, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))
    blob = bytes(body) + xxh32(bytes(body)).to_bytes(4, "little")
    try:
        expected = container.take_header(container.BitReader(blob))
    except StreamError:
        with pytest.raises(coder.CoderError):
            coder.read_header(blob)
    else:
        if len(blob) == coder.read_header(blob).header_bytes:
            found = coder.read_header(blob)
            assert found.quantizer == tuple(vars(expected.quantizer).values())
            assert found[:2] == (expected.dtype, expected.shape)


def test_damaged_tables_are_refused():
    blob = CASES[6].build_tables(CASES[6].draw(200))
    for size in range(len(blob)):
        with pytest.raises(coder.CoderError):
            coder.Tables(blob[:size])
    for at in range(len(blob)):
        with pytest.raises(coder.CoderError):
            coder.Tables(blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :])


def repaired(body: bytes) -> bytes:
    return body + xxh32(body).to_bytes(4, "little")


def test_the_size_of_a_hostile_tensor_is_known_before_it_is_allocated():
    dims = b"\xff\xff\xff\xff\x0f" + b"\xff\xff\xff\x7f"
    blob = repaired(b"JCT\x1a\x02\x02\x00\x02" + dims + b"\x00\x11" + bytes(4))
    assert coder.read_header(blob).n_bytes == (2**32 - 1) * (2**28 - 1)
    with pytest.raises(coder.CoderError, match="must be complete"):
        coder.scan(blob)
    with pytest.raises(ValueError, match="out must have"):
        coder.decode_into(blob, bytearray(10))


GOOD = CASES[2].encode(np.arange(40, dtype=np.uint8), modes=("raw",))
FRONT = coder.read_header(GOOD).header_bytes


@pytest.mark.parametrize(
    ("blob", "reason", "offset"),
    [
        (b"", "must be complete", 0),
        (b"JCX\x1a" + GOOD[4:], "must start with its magic number", 0),
        (b"JCT\x1a\x03" + GOOD[5:], "version must be 2", 0),
        (GOOD[:5] + b"\x03" + GOOD[6:], "checksum must be that of what it covers", 0),
        (repaired(GOOD[:5] + b"\x05" + GOOD[6 : FRONT - 4]), "header must be in its range", 0),
        (GOOD[:FRONT], "must be complete", FRONT),
        (GOOD + b"\0", "must end with its last block", len(GOOD)),
        (GOOD[:FRONT] + b"\x80" + GOOD[FRONT + 1 :], "block mode must be one", FRONT),
        (GOOD[:FRONT] + b"\x42" + GOOD[FRONT + 1 :], "block mode must be one", FRONT),
        (GOOD[:FRONT] + b"\x10" + GOOD[FRONT + 1 :], "block mode must be one", FRONT),
        (GOOD[:FRONT] + b"\x01" + GOOD[FRONT + 1 :], "codes must end where", FRONT),
        (GOOD[:-1] + b"\xff", "checksum must be that of what it covers", FRONT),
        (GOOD[:FRONT] + b"\x02" + GOOD[FRONT + 1 :], "must be that of a complete code", FRONT),
    ],
)
def test_each_defect_is_named(blob: bytes, reason: str, offset: int):
    with pytest.raises(coder.CoderError, match=reason) as caught:
        decoded(blob)
    assert caught.value.offset == offset
    assert str(caught.value) == f"{caught.value.reason} (offset {offset})"


def test_tables_that_are_named_must_be_given():
    case = CASES[6]
    static = coder.Tables(case.build_tables(case.draw(200)))
    other = coder.Tables(case.build_tables(case.draw(300)))
    blob = case.encode(case.draw(60), modes=("huffman",), tables=static)
    assert coder.read_header(blob).tables_sum == static.sum
    assert static.modes == coder.MODES[2:]
    for wrong in (None, other):
        with pytest.raises(coder.CoderError, match="static tables that the tensor names"):
            decoded(blob, wrong)


# ---- arguments ----


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("case", [c for c in CASES if c.dtype == "float32"][1:], ids=str)
def test_values_must_be_finite(case: Case, bad: float):
    array = np.zeros(2000, np.float32)
    array[1500] = bad
    with pytest.raises(coder.CoderError, match="every value must be finite"):
        case.encode(array)


def test_integers_must_have_a_symbol():
    with pytest.raises(coder.CoderError, match="must have a symbol of the width"):
        coder.encode(np.array([0, 8], np.uint8), "uint8", (2,), Q("integers", 3))
    with pytest.raises(coder.CoderError, match="must have a symbol of the width"):
        coder.values_into(
            np.array([256], np.uint16), "uint8", Q("uniform", 8), np.empty(1, np.uint8)
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "int16"}, "dtype must be one of int8, uint8, int32, float32, not 'int16'"),
        ({"shape": (41,)}, "data must have 41 bytes, not 40"),
        ({"shape": (1,) * 9}, "number of dimensions must be 0 to 8, not 9"),
        ({"shape": (-1,)}, "dimension must be 0 to 4294967295, not -1"),
        ({"quantizer": Q("sq")}, "quantizer kind must be one of bytes, .*, not 'sq'"),
        ({"quantizer": Q("integers", 17)}, "width must be 1 to 16, not 17"),
        ({"quantizer": Q("uniform", 9)}, "quantizer must be one for uint8"),
        ({"quantizer": Q("uniform", 2, step=0.0)}, "quantizer must be one for uint8"),
        ({"quantizer": Q("trellis", 2, True, 4)}, "quantizer must be one for uint8"),
        ({"quantizer": Q("codebook", 2, book=(1.0,))}, "book must have 4 values, not 1"),
        ({"block_log2": 9}, "block_log2 must be 10 to 20, not 9"),
        ({"row": 1 << 24}, "row must be 0 to 16777215, not 16777216"),
        ({"modes": ("zip",)}, "mode must be one of raw, .*, not 'zip'"),
        ({"rates": coder.Rates(((0,),), 0, 0)}, "bits_q4 must have rows of 16, not 1"),
        ({"data": np.zeros((9, 9))[:, 1]}, "data must be C-contiguous; copy it first"),
    ],
)
def test_errors_name_the_argument(changes: dict[str, Any], message: str):
    arguments: dict[str, Any] = {
        "data": bytes(40),
        "dtype": "uint8",
        "shape": (40,),
        "quantizer": Q("bytes"),
    }
    with pytest.raises(ValueError, match=message):
        coder.encode(**(arguments | changes))


def test_buffers_are_checked():
    with pytest.raises(ValueError, match="out must have 40 bytes, not 39"):
        coder.decode_into(GOOD, bytearray(39))
    with pytest.raises(ValueError, match="out must be writable"):
        coder.decode_into(GOOD, bytes(40))
    with pytest.raises(ValueError, match="threads must be 1 to 256, not 0"):
        coder.decode_into(GOOD, bytearray(40), threads=0)
    odd = memoryview(bytearray(9))[1:]
    with pytest.raises(ValueError, match="data must lie at a multiple of 4 bytes"):
        coder.encode(odd, "float32", (2,), Q("bytes"))
    with pytest.raises(ValueError, match="quantizer must have symbols, not 'bytes'"):
        coder.symbols_into(b"", "uint8", Q("bytes"), bytearray())


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([0, 5], "uint8", Q("integers", 3, offset=0)),
        ([7, 7], "int32", Q("integers", 1, offset=7)),
        ([-3, 3], "int8", Q("integers", 3, fold=True, offset=0)),
        ([-1, 100], "int8", Q("integers", 7, offset=-1)),
        ([-9, -2], "int32", Q("integers", 3, offset=-9)),
        ([-32768, 32767], "int32", Q("integers", 16, fold=True, offset=0)),
        ([0, 65536], "int32", Q("bytes")),
        ([-(2**31), 2**31 - 1], "int32", Q("bytes")),
        ([], "int8", Q("integers", 1, offset=0)),
        ([1.0], "float32", Q("bytes")),
    ],
)
def test_the_lossless_quantizer(values: list[int], dtype: str, expected: coder.Quantizer):
    array = np.array(values, dtype)
    assert coder.lossless_quantizer(array, dtype) == expected
    assert same(decoded(coder.encode(array, dtype, array.shape, expected)), array)


@given(st.binary(max_size=200))
def test_checksum(data: bytes):
    assert coder.xxh32(data) == xxh32(data)


def test_checksum_of_the_specification():
    assert coder.xxh32(b"") == 0x02CC5D05
    assert coder.xxh32(b"abc") == 0x32D153FF


def test_frame_header():
    head = coder.write_frame_header([3, 2**32 - 1])
    assert head == repaired(b"JCF\x1a\x02\x00\x02\x00\x03\x00\x00\x00\xff\xff\xff\xff")
    assert len(coder.write_frame_header([0] * 4096)) == 12 + 4 * 4096
    with pytest.raises(ValueError, match="number of tensors must be 0 to 4096, not 4097"):
        coder.write_frame_header([0] * 4097)


@pytest.mark.parametrize("width", range(1, 9))
def test_single_blocks(width: int):
    rng = np.random.default_rng(width)
    for n in (1, 4096, 5000):
        symbols = np.minimum(rng.geometric(0.4, n) - 1, (1 << width) - 1).astype(np.uint8)
        for modes in SOME_MODES:
            block = coder.block_encode(symbols, width, row=50, modes=modes)
            out = np.empty_like(symbols)
            coder.block_decode(block, out, width, row=50)
            assert same(out, symbols)
            with pytest.raises(coder.CoderError, match="must end with its last block"):
                coder.block_decode(block + b"\0", out, width, row=50)
    if width < 8:
        with pytest.raises(coder.CoderError, match="must have a symbol of the width"):
            coder.block_encode(b"\xff", width)


def test_counts_and_lengths():
    assert coder.histogram(b"aab")[97:99] == [2, 1]
    assert coder.code_lengths([3, 2, 1] + [0] * 253)[:3] == [1, 2, 2]
    with pytest.raises(ValueError, match="counts must be 256 numbers"):
        coder.code_lengths([1])


def test_features_are_named():
    assert set(coder.cpu_features()) <= {"bmi2", "avx2", "neon"}
    assert sys.byteorder == "little"
