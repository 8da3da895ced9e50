"""Coded tensors: what goes in comes out, at the promised rate and size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from joulecut.compiler import codec
from joulecut.compiler.quantizers.grid import Array
from joulecut.kernels import coder, version1

ROOT = Path(__file__).resolve().parents[2]
DTYPES = ("int8", "uint8", "int32", "float32")
ENTROPIES = ("best", "fast", "huffman", "raw")
SMALL = 10  # log2 of the smallest block
BLOCK = 1 << SMALL
CORNERS = (0, 1, 2, 3, 7, 8, 9, 63, 64, 65, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5)

arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0))
)


def activations(n: int, dtype: str, seed: int = 0) -> Array:
    """Like a layer after ReLU: half zeros, then half a bell."""
    bell = np.random.default_rng(seed).normal(0, 20, n)
    return np.clip(bell, 0, 127).astype(dtype)


def same(a: Array, b: Array) -> bool:
    """Equal bytes, so that NaN equals NaN and -0.0 does not equal 0.0."""
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@given(array=arrays, entropy=st.sampled_from(ENTROPIES))
def test_any_tensor_crosses_losslessly(array: Array, entropy: Any):
    blob = codec.encode(array, entropy=entropy)
    assert same(codec.decode(blob), array)
    assert len(blob) <= codec.bound(array.nbytes)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", CORNERS)
def test_sizes_around_the_block(n: int, dtype: str):
    array = activations(n, dtype)
    blob = codec.encode(array, block_log2=SMALL)
    assert same(codec.decode(blob), array)
    assert same(codec.decode(blob, threads=3), array)
    assert len(blob) <= codec.bound(array.nbytes)
    planes = codec.stat(blob).n_symbols // max(n, 1)
    assert sum(codec.stat(blob).blocks.values()) == planes * -(-n // BLOCK)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("entropy", ENTROPIES)
def test_noise_costs_at_most_the_bound(dtype: str, entropy: Any):
    noise = np.frombuffer(np.random.default_rng(0).bytes(4 * (BLOCK + 1)), dtype)
    blob = codec.encode(noise, entropy=entropy, block_log2=SMALL)
    assert same(codec.decode(blob), noise)
    stat = codec.stat(blob)
    assert len(blob) - stat.header_bytes <= noise.nbytes + 10 * sum(stat.blocks.values())


@pytest.mark.parametrize("bits", range(1, 5))
@pytest.mark.parametrize("low", [-8, 0, 100])
def test_integers_of_few_bits_are_packed_without_loss(bits: int, low: int):
    n = 5000
    array = (low + np.random.default_rng(0).integers(0, 1 << bits, n)).astype(np.int8)
    stat = codec.stat(codec.encode(array))
    assert same(codec.decode(codec.encode(array)), array)
    assert (stat.quantizer.kind, stat.quantizer.width) == ("integers", bits)
    assert stat.bits_per_sample <= bits + 8 * (stat.header_bytes + 10) / n


def test_narrow_int32_crosses_as_integers_and_wide_ones_as_bytes():
    narrow = np.random.default_rng(0).integers(-100, 100, 20_000).astype(np.int32)
    stat = codec.stat(codec.encode(narrow))
    assert (stat.quantizer.kind, stat.n_symbols) == ("integers", narrow.size)
    assert stat.bits_per_sample < 8.1
    wide = narrow * (1 << 20)
    assert codec.stat(codec.encode(wide)).n_symbols == 4 * wide.size
    assert same(codec.decode(codec.encode(wide)), wide)


def test_what_is_smooth_costs_less_than_its_entropy():
    rows, columns = np.mgrid[:200, :200]
    smooth = (100 * np.exp(-((rows - 90) ** 2 + (columns - 70) ** 2) / 3000)).astype(np.uint8)
    stat = codec.stat(codec.encode(smooth))
    assert stat.blocks["context_ans"] == 1
    assert stat.bits_per_sample < 0.7 * codec.entropy_bits(smooth)
    fast = codec.stat(codec.encode(smooth, entropy="fast"))
    assert codec.entropy_bits(smooth) < fast.bits_per_sample < 1.1 * codec.entropy_bits(smooth)


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_rate_is_near_the_entropy_of_the_indices(bits: int):
    n = 1 << 17
    x = activations(n, "float32")
    blob = codec.encode(x, "sq", bits=bits)
    stat = codec.stat(blob)
    entropy = codec.entropy_bits(codec.decode(blob))  # values and indices correspond
    assert entropy - 0.01 < stat.bits_per_sample < entropy * 1.01 + 0.01
    raw = codec.stat(codec.encode(x, "sq", bits=bits, entropy="raw"))
    assert bits < raw.bits_per_sample <= bits + 8 * (raw.header_bytes + 10) / n


def test_sparse_tensors_go_below_one_bit():
    x = (np.random.default_rng(0).random(1 << 16) < 0.03).astype(np.uint8) * 3
    entropy = codec.entropy_bits(x)
    best, fast = (codec.stat(codec.encode(x, entropy=name)) for name in ("best", "fast"))
    assert 0.18 < entropy < best.bits_per_sample < entropy + 0.02
    assert fast.blocks["packed"] == 1
    assert fast.bits_per_sample < 0.4


def test_best_is_never_larger_than_fast_nor_fast_than_raw():
    for dtype in DTYPES:
        x = activations(20_000, dtype)
        best, fast, raw = (
            len(codec.encode(x, entropy=name)) for name in ("best", "fast", "raw")
        )
        assert best <= fast <= raw
        assert codec.encode(x, entropy="huffman") == codec.encode(x, entropy="fast")


def test_entropy():
    assert codec.entropy_bits(np.array([], np.int8)) == 0
    assert codec.entropy_bits(np.zeros(9, np.int8)) == 0
    assert codec.entropy_bits(np.array([1, 2, 3, 3])) == 1.5


def test_stat_of_a_blob():
    x = np.arange(100, 120, dtype=np.uint8).reshape(4, 5)
    blob = codec.encode(x, "sq", bits=2)
    stat = codec.stat(blob)
    assert (stat.version, stat.dtype, stat.shape, stat.n_symbols) == (2, "uint8", (4, 5), 20)
    step = float(np.float32(19 / 3))
    assert stat.quantizer == coder.Quantizer("uniform", 2, step=step, offset=100.0)
    assert stat.coded_bytes == len(blob)
    assert stat.blocks == {mode: int(mode == "raw") for mode in coder.MODES}
    assert stat.bits_per_sample == 8 * len(blob) / 20
    assert codec.stat(codec.encode(x[:0])).bits_per_sample == 0


def test_large_tensors_are_cut_into_blocks_for_threads():
    for n, blocks in ((1 << 17, 1), (1 << 19, 2), (1 << 21, 8)):
        blob = codec.encode(np.zeros(n, np.int8))
        assert sum(codec.stat(blob).blocks.values()) == blocks


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


def test_other_buffers_are_tensors_too():
    assert codec.decode(codec.encode(b"joule")).tobytes() == b"joule"
    floats = memoryview(np.arange(6, dtype=np.float32).tobytes()).cast("f", (2, 3))
    assert same(
        codec.decode(codec.encode(floats)), np.arange(6, dtype=np.float32).reshape(2, 3)
    )
    frozen = activations(100, "int8")
    frozen.setflags(write=False)
    assert same(codec.decode(codec.encode(frozen)), frozen)


@given(st.lists(arrays, max_size=4))
def test_several_tensors_cross_in_a_frame(tensors: list[Array]):
    back = codec.unpack(codec.pack(tensors))
    assert len(back) == len(tensors)
    assert all(map(same, back, tensors))


class TestStaticTables:
    TENSORS = tuple(activations(400, "int8", seed) for seed in range(8))

    def test_make_small_tensors_smaller(self):
        tables = codec.TableSet.train(self.TENSORS)
        other = activations(400, "int8", seed=99)
        blob = codec.encode(other, tables=tables)
        assert len(blob) < len(codec.encode(other))
        assert same(codec.decode(blob, tables=tables), other)
        assert codec.stat(blob).tables_sum == tables.sum != 0

    def test_survive_being_written(self):
        tables = codec.TableSet.train(self.TENSORS)
        again = codec.TableSet.from_bytes(bytearray(tables.to_bytes()))
        assert again == tables
        assert "context_ans" in again.modes
        assert codec.TableSet.train(self.TENSORS, entropy="fast").modes == ("huffman",)

    @pytest.mark.parametrize("name", ["sq", "lloyd", "rdo", "tcq"])
    def test_go_with_a_calibrated_quantizer(self, name: Any):
        tensors = [activations(300, "float32", seed) for seed in range(9)]
        quantizer = codec.named(name, bits=4).calibrate(tensors)
        tables = codec.TableSet.train(tensors, quantizer)
        other = activations(300, "float32", seed=99)
        blob = codec.encode(other, quantizer, tables=tables)
        assert len(blob) < len(codec.encode(other, quantizer))
        assert same(
            codec.decode(blob, tables=tables), codec.decode(codec.encode(other, quantizer))
        )

    def test_cross_in_frames(self):
        tables = codec.TableSet.train(self.TENSORS)
        frame = codec.pack(self.TENSORS, tables=tables)
        assert all(map(same, codec.unpack(frame, tables=tables), self.TENSORS))


def golden() -> list[dict[str, Any]]:
    return json.loads((ROOT / "tests/golden/coded_tensors_v1.json").read_text())


@pytest.mark.parametrize("sample", golden(), ids=lambda sample: sample["name"])
def test_version_1_is_decoded_forever(sample: dict[str, Any]):
    blob = bytes.fromhex(sample["blob"])
    expected = np.array(sample["values"], sample["dtype"]).reshape(sample["shape"])
    assert same(codec.decode(blob), expected)
    stat = codec.stat(blob)
    assert (stat.version, stat.dtype, stat.shape) == (1, sample["dtype"], expected.shape)
    assert [mode for mode, count in stat.blocks.items() if count] == sample["modes"]


def test_the_samples_use_every_mode_and_type():
    assert {mode for sample in golden() for mode in sample["modes"]} == set(version1.MODES)
    assert {sample["dtype"] for sample in golden()} == set(DTYPES)
