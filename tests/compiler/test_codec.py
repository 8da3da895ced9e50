"""Coded tensors: what goes in comes out, at the promised rate and size."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from joulecut.compiler import codec
from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.kernels import huffman

ROOT = Path(__file__).resolve().parents[2]
DTYPES = ("int8", "uint8", "int32", "float32")
BLOCK = huffman.BLOCK_SYMBOLS
CORNERS = (0, 1, 2, 3, 7, 8, 9, 63, 64, 65, BLOCK - 1, BLOCK, BLOCK + 1)

arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0))
)


def activations(n: int, dtype: str, seed: int = 0) -> codec.Array:
    """Like a layer after ReLU: half zeros, then half a bell."""
    bell = np.random.default_rng(seed).normal(0, 20, n)
    return np.clip(bell, 0, 127).astype(dtype)


def same(a: codec.Array, b: codec.Array) -> bool:
    """Equal bytes, so that NaN equals NaN and -0.0 does not equal 0.0."""
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@given(array=arrays, entropy=st.sampled_from(["huffman", "raw"]))
def test_any_tensor_crosses_losslessly(array: codec.Array, entropy: Any):
    blob = codec.encode(array, entropy=entropy)
    assert same(codec.decode(blob), array)
    assert len(blob) <= codec.bound(array.nbytes)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", CORNERS)
def test_sizes_around_the_block(n: int, dtype: str):
    array = activations(n, dtype)
    blob = codec.encode(array)
    assert same(codec.decode(blob), array)
    assert len(blob) <= codec.bound(array.nbytes)


@pytest.mark.parametrize("dtype", DTYPES)
def test_noise_costs_at_most_the_bound(dtype: str):
    noise = np.frombuffer(np.random.default_rng(0).bytes(4 * (BLOCK + 1)), dtype)
    blob = codec.encode(noise)
    assert same(codec.decode(blob), noise)
    assert len(blob) <= codec.bound(noise.nbytes)
    n_blocks = sum(codec.stat(blob).blocks.values())
    assert len(blob) - codec.stat(blob).header_bytes <= noise.nbytes + n_blocks


@pytest.mark.parametrize("bits", range(1, 5))
@pytest.mark.parametrize("low", [-8, 0, 100])
def test_integers_of_few_bits_are_packed_without_loss(bits: int, low: int):
    n = 5000
    array = (low + np.random.default_rng(0).integers(0, 1 << bits, n)).astype(np.int8)
    stat = codec.stat(codec.encode(array))
    assert same(codec.decode(codec.encode(array)), array)
    assert stat.grid == codec.UniformGrid(bits, 1.0, low)
    assert stat.bits_per_sample <= bits + 8 * (stat.header_bytes + 1) / n


@given(
    array=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_side=0),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
    ),
    bits=st.integers(1, 8),
)
def test_floats_land_within_half_a_step(array: codec.Array, bits: int):
    blob = codec.encode(array, quantizer="sq", bits=bits)
    back = codec.decode(blob)
    grid = codec.stat(blob).grid
    assert grid is not None
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    error = np.abs(back.astype(np.float64) - array)
    rounding = np.abs(array.astype(np.float64)) * 2.0**-23 + 2.0**-148  # to float32
    assert (error <= grid.step / 2 + rounding).all()
    assert same(codec.decode(codec.encode(array, quantizer="sq", bits=bits)), back)


@given(
    array=st.sampled_from([np.int8, np.uint8]).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_side=0))
    ),
    bits=st.integers(1, 8),
)
def test_integers_land_within_half_a_step(array: codec.Array, bits: int):
    blob = codec.encode(array, quantizer="sq", bits=bits)
    back = codec.decode(blob)
    grid = codec.stat(blob).grid
    assert grid is not None
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    error = np.abs(back.astype(int) - array)
    assert (error <= np.ceil(grid.step / 2)).all()
    if array.size and int(array.max()) - int(array.min()) < 1 << bits:
        assert same(back, array)  # bits enough for every integer of the range


def test_hand_worked_grid():
    x = np.array([-1.0, -0.6, 0.0, 0.24, 0.26, 0.75, 2.0, -9.0], np.float32)
    sq = codec.UniformQuantizer(bits=3, low=-1.0, high=0.75)  # -1, -0.75, .. 0.75
    blob = codec.encode(x, quantizer=sq)
    assert codec.stat(blob).grid == codec.UniformGrid(3, 0.25, -1.0)
    assert codec.decode(blob).tolist() == [-1.0, -0.5, 0.0, 0.25, 0.25, 0.75, 0.75, -1.0]


def test_ties_go_to_the_even_index():
    x = np.array([0.5, 1.5, 2.5], np.float32)
    sq = codec.UniformQuantizer(bits=2, low=0.0, high=3.0)
    assert codec.decode(codec.encode(x, quantizer=sq)).tolist() == [0.0, 2.0, 2.0]


def test_the_step_of_integers_is_at_least_one():
    assert codec.UniformQuantizer(8).fit(np.array([3, 9], np.int8)).step == 1.0
    assert codec.UniformQuantizer(2).fit(np.array([3, 9], np.int8)).step == 2.0


@pytest.mark.parametrize("bits", range(1, 9))
def test_the_last_value_is_not_below_the_maximum(bits: int):
    for high in np.linspace(0.01, 100, 500, dtype=np.float32):  # rounding down misses 55
        grid = codec.UniformQuantizer(bits).fit(np.array([0, high], np.float32))
        assert float(high) <= grid.step * (2**bits - 1) <= float(high) * (1 + 2**-22)


def test_zero_after_relu_stays_zero():
    x = activations(5000, "float32")
    back = codec.decode(codec.encode(x, quantizer="sq", bits=3))
    assert (back[x == 0] == 0).all()


def test_extreme_floats_stay_finite():
    top = np.finfo(np.float32).max
    for x in ([-top, 0, top], [top, top], [1e-45, 0, 3e-45]):
        array = np.array(x, np.float32)
        for bits in (2, 8):
            back = codec.decode(codec.encode(array, quantizer="sq", bits=bits))
            assert np.isfinite(back).all()
            assert abs(float(back[0]) - float(array[0])) <= abs(float(top) / 3)


@pytest.mark.parametrize("bits", range(4, 9))
def test_each_bit_gains_six_decibels(bits: int):
    x = np.random.default_rng(0).uniform(-1, 1, 20_000).astype(np.float32)
    error = codec.decode(codec.encode(x, quantizer="sq", bits=bits)) - x
    sqnr_db = 10 * np.log10(np.mean(x.astype(float) ** 2) / np.mean(error.astype(float) ** 2))
    # Steps of 2 / (2^b - 1) make an error of step^2 / 12 beside a power of 1/3.
    assert abs(sqnr_db - 20 * np.log10(2**bits - 1)) < 0.1


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_rate_is_near_the_entropy_of_the_indices(bits: int):
    n = 2 * BLOCK
    x = activations(n, "float32")
    blob = codec.encode(x, quantizer="sq", bits=bits)
    stat = codec.stat(blob)
    entropy = codec.entropy_bits(codec.decode(blob))  # values and indices correspond
    assert entropy - 0.01 < stat.bits_per_sample < entropy * 1.03 + 0.01
    raw = codec.stat(codec.encode(x, quantizer="sq", bits=bits, entropy="raw"))
    assert raw.bits_per_sample == 8 * (raw.header_bytes + 2 + n * bits // 8) / n


def test_groups_go_below_one_bit():
    x = (np.random.default_rng(0).random(BLOCK) < 0.03).astype(np.uint8) * 3
    stat = codec.stat(codec.encode(x))
    assert stat.blocks == {"raw": 0, "constant": 0, "huffman": 0, "grouped": 1}
    assert stat.bits_per_sample < 0.4
    assert 0.18 < codec.entropy_bits(x) < 0.21


def test_byte_planes_make_small_int32_cheap():
    x = np.random.default_rng(0).integers(0, 200, 20_000).astype(np.int32)
    stat = codec.stat(codec.encode(x))
    assert stat.n_symbols == 80_000
    assert stat.blocks["constant"] == 3
    assert stat.bits_per_sample < 8


def test_entropy():
    assert codec.entropy_bits(np.array([], np.int8)) == 0
    assert codec.entropy_bits(np.zeros(9, np.int8)) == 0
    assert codec.entropy_bits(np.array([1, 2, 3, 3])) == 1.5


def test_stat_of_a_blob():
    x = np.arange(100, 120, dtype=np.uint8).reshape(4, 5)
    blob = codec.encode(x, quantizer="sq", bits=2)
    stat = codec.stat(blob)
    assert (stat.dtype, stat.shape, stat.n_symbols) == ("uint8", (4, 5), 20)
    assert stat.grid == codec.UniformGrid(2, float(np.float32(19 / 3)), 100.0)
    assert stat.coded_bytes == len(blob) == stat.header_bytes + 1 + 5
    assert stat.blocks == {"raw": 1, "constant": 0, "huffman": 0, "grouped": 0}
    assert stat.bits_per_sample == 8 * len(blob) / 20
    assert codec.stat(codec.encode(x[:0])).bits_per_sample == 0


def test_decode_into_an_array():
    for x in (activations(500, "int8"), activations(500, "float32")):
        out = np.empty_like(x)
        assert codec.decode(codec.encode(x), out=out) is out
        assert same(out, x)


def test_layouts_and_byte_orders_are_accepted():
    x = np.arange(24, dtype=np.int32).reshape(4, 6)
    assert same(codec.decode(codec.encode(x.T)), np.ascontiguousarray(x.T))
    assert same(codec.decode(codec.encode(x[::2, ::-1])), np.ascontiguousarray(x[::2, ::-1]))
    assert same(codec.decode(codec.encode(x.astype(">i4"))), x)
    blob = codec.encode(x)
    for buffer in (bytearray(blob), memoryview(blob), np.frombuffer(blob, np.uint8)):
        assert same(codec.decode(buffer), x)


@given(st.lists(arrays, max_size=4))
def test_several_tensors_cross_in_a_frame(tensors: list[codec.Array]):
    back = codec.unpack(codec.pack(tensors))
    assert len(back) == len(tensors)
    assert all(map(same, back, tensors))


def test_the_worked_example_of_the_page():
    page = (ROOT / "docs/bitstream.md").read_text()
    values = re.search(r"```values\n(.*?)```", page, re.DOTALL)
    listing = re.search(r"```hex\n(.*?)```", page, re.DOTALL)
    assert values
    assert listing
    rows = [list(map(int, line.split())) for line in values[1].splitlines()]
    columns = [line.split("  ")[0] for line in listing[1].splitlines()]
    blob = bytes.fromhex("".join(columns))
    array = np.array(rows, np.uint8)
    assert same(codec.decode(blob), array)
    assert codec.encode(array) == blob


def golden() -> list[dict[str, Any]]:
    return json.loads((ROOT / "tests/golden/coded_tensors_v1.json").read_text())


@pytest.mark.parametrize("sample", golden(), ids=lambda sample: sample["name"])
def test_version_1_is_decoded_forever(sample: dict[str, Any]):
    blob = bytes.fromhex(sample["blob"])
    expected = np.array(sample["values"], sample["dtype"]).reshape(sample["shape"])
    assert same(codec.decode(blob), expected)
    modes = [mode for mode, count in codec.stat(blob).blocks.items() if count]
    assert modes == sample["modes"]


def test_the_samples_use_every_mode_and_type():
    assert {mode for sample in golden() for mode in sample["modes"]} == set(huffman.MODES)
    assert {sample["dtype"] for sample in golden()} == set(DTYPES)


class TestNumcodecs:
    def test_is_found_by_its_entry_point(self):
        registry = pytest.importorskip("numcodecs.registry")
        assert registry.get_codec({"id": "joulecut.huffman"}) == codec.HuffmanCodec()

    def test_configuration_round_trips(self):
        config = codec.HuffmanCodec().get_config()
        assert codec.HuffmanCodec.from_config(json.loads(json.dumps(config))).encode(b"a")
        with pytest.raises(ConfigError, match=r"must have no options, not \['level'\]"):
            codec.HuffmanCodec.from_config({"id": "joulecut.huffman", "level": 3})

    def test_is_a_codec(self):
        one: codec.Codec = codec.HuffmanCodec()
        assert repr(one) == "HuffmanCodec()"
        assert len({one, codec.HuffmanCodec()}) == 1

    @pytest.mark.parametrize("dtype", ["int8", "float32", "float64", ">i4", "int16"])
    def test_buffers_keep_their_bytes(self, dtype: str):
        array = np.arange(300).reshape(20, 15).astype(dtype)
        coded = codec.HuffmanCodec().encode(array)
        assert codec.HuffmanCodec().decode(coded).tobytes() == array.tobytes()
        out = np.empty_like(array)
        codec.HuffmanCodec().decode(coded, out=out)
        assert same(out, array)

    def test_out_must_fit(self):
        coded = codec.HuffmanCodec().encode(bytes(10))
        with pytest.raises(ConfigError, match="out must have 10 bytes, not 11"):
            codec.HuffmanCodec().decode(coded, out=bytearray(11))
        with pytest.raises(UntrustedInputError, match="at most 9 bytes, not 10"):
            codec.HuffmanCodec().decode(coded, out=bytearray(9))
