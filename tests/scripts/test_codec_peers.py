from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
BLOCK = 128 << 10


@pytest.fixture(scope="module")
def modules() -> Any:
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    for name in ("codec_peers", "huff0"):
        sys.modules.pop(name, None)
    yield importlib.import_module("huff0"), importlib.import_module("codec_peers")
    patch.undo()


@pytest.fixture(scope="module")
def coder(modules: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    huff0, _ = modules
    try:
        return huff0.Huff0.build(tmp_path_factory.mktemp("huff0"))
    except huff0.MissingPeerError as missing:
        pytest.skip(str(missing))


def sparse(count: int, last: int) -> NDArray[np.uint8]:
    """Half zeros, the rest decaying: what a ReLU leaves."""
    drawn = np.random.default_rng(count).normal(0, last / 4, count)
    return np.clip(np.rint(drawn), 0, last).astype(np.uint8)


@pytest.mark.tool
@pytest.mark.parametrize("which", ["auto", "X1", "X2"])
@pytest.mark.parametrize("last", [0, 1, 3, 15, 255])
@pytest.mark.parametrize(
    "count", [1, 2, 11, 12, 13, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 300_001]
)
def test_huff0_gives_back_the_symbols(coder: Any, count: int, last: int, which: str):
    symbols = sparse(count, last)
    coded = coder.encode(symbols)
    assert np.array_equal(coder.decode(coded, count, which), symbols)


@pytest.mark.tool
@pytest.mark.parametrize("block", [1, 100, 4096, BLOCK])
def test_huff0_takes_any_block(coder: Any, block: int):
    blocks = type(coder)(coder.library, block)
    symbols = sparse(20_000, 15)
    for raw in (symbols, np.random.default_rng(1).integers(0, 256, 20_000, np.uint8)):
        coded = blocks.encode(raw)
        assert coded.size <= raw.size + 3 * (-(-raw.size // block))
        assert np.array_equal(blocks.decode(coded, raw.size), raw)


@pytest.mark.tool
def test_huff0_refuses_what_it_did_not_write(coder: Any):
    coded = coder.encode(sparse(5000, 15))
    for cut in (0, 2, 3, 10, coded.size - 1):
        with pytest.raises(ValueError, match="must be a Huff0 stream of 5000 symbols"):
            coder.decode(coded[:cut], 5000)
    with pytest.raises(ValueError, match="must be a Huff0 stream of 5000 symbols"):
        coder.decode(np.append(coded, np.uint8(0)), 5000)
    with pytest.raises(ValueError, match="symbols must be contiguous uint8, not int64"):
        coder.encode(np.zeros(9, np.int64))


@pytest.mark.tool
def test_huff0_measures_itself(coder: Any):
    symbols = sparse(100_000, 15)
    coded = coder.encode(symbols)
    assert coder.encode_s(symbols, 2) > 0
    assert coder.decode_s(coded, symbols.size, "X1", 2) > 0
    assert coder.decode_s(coded, symbols.size, "X2", 2) > 0


def test_a_block_too_long_is_refused(modules: Any, tmp_path: Path):
    with pytest.raises(ValueError, match="block must be 1 to 131072 bytes, not 131073"):
        modules[0].Huff0.build(tmp_path, BLOCK + 1)


def test_a_missing_compiler_is_a_reason(
    modules: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    found, absent = modules[1].peers(tmp_path)
    assert "Huff0 is left out: no gcc; run: sudo apt-get install gcc" in absent
    assert "zlib huffman" in {peer.name for peer in found}


def test_every_peer_here_gives_back_the_symbols(modules: Any, tmp_path: Path):
    found, absent = modules[1].peers(tmp_path)
    assert all("is left out" in reason for reason in absent)
    for symbols in (sparse(1, 3), sparse(1000, 0), sparse(5000, 3), sparse(20_000, 255)):
        for peer in found:
            blob = peer.encode(symbols.tobytes())
            assert isinstance(blob, bytes)
            assert peer.decode(blob) == symbols.tobytes(), (peer.name, symbols.size)


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=256), st.binary(max_size=3))
def test_counts_come_back(modules: Any, counts: list[int], rest: bytes):
    packed = modules[1].pack_counts(np.array(counts, np.int64))
    found, used = modules[1].unpack_counts(packed + rest)
    assert found.tolist() == counts
    assert used == len(packed)
