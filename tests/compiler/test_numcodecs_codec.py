"""The codec as numcodecs and zarr see it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from joulecut.compiler import codec
from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.numcodecs_codec import Codec, HuffmanCodec, JoulecutCodec

OPTIONS: list[dict[str, Any]] = [
    {},
    {"entropy": "fast"},
    {"quantizer": "sq", "bits": 3},
    {"quantizer": "tcq", "rate": 2.0, "entropy": "best"},
]


@pytest.mark.parametrize("one", [JoulecutCodec(), HuffmanCodec()], ids=repr)
def test_is_found_by_its_entry_point(one: JoulecutCodec):
    registry = pytest.importorskip("numcodecs.registry")
    found = registry.get_codec({"id": one.codec_id})
    assert found == one
    assert type(found) is type(one)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_configuration_round_trips(options: dict[str, Any]):
    one = JoulecutCodec(**options)
    config = one.get_config()
    assert config == {"id": "joulecut", "entropy": "best", **options}
    assert JoulecutCodec.from_config(json.loads(json.dumps(config))) == one


def test_stored_configurations_of_version_1_stay_valid():
    one = HuffmanCodec.from_config({"id": "joulecut.huffman"})
    assert one.entropy == "fast"
    with pytest.raises(ConfigError, match=r"joulecut.huffman must have .* not \['level'\]"):
        HuffmanCodec.from_config({"id": "joulecut.huffman", "level": 3})


def test_is_a_codec():
    one: Codec = JoulecutCodec("sq", bits=4)
    assert repr(one) == "JoulecutCodec(quantizer='sq', bits=4, entropy='best')"
    assert len({one, JoulecutCodec("sq", bits=4), JoulecutCodec("sq", bits=5)}) == 2
    assert JoulecutCodec(entropy="fast") != HuffmanCodec()


@pytest.mark.parametrize("kind", [JoulecutCodec, HuffmanCodec])
@pytest.mark.parametrize("dtype", ["int8", "float32", "float64", ">i4", "int16"])
def test_buffers_keep_their_bytes(kind: type[JoulecutCodec], dtype: str):
    array = np.arange(300).reshape(20, 15).astype(dtype)
    coded = kind().encode(array)
    assert kind().decode(coded).tobytes() == array.tobytes()
    out = np.empty_like(array)
    kind().decode(coded, out=out)
    assert out.tobytes() == array.tobytes()


def test_a_quantizer_is_for_types_that_have_one():
    floats = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    one = JoulecutCodec("sq", bits=4)
    assert one.encode(floats) == codec.encode(floats, "sq", bits=4)
    wide = floats.astype(np.float64)
    assert one.decode(one.encode(wide)).tobytes() == wide.tobytes()


def test_out_must_fit():
    coded = JoulecutCodec().encode(bytes(10))
    with pytest.raises(ConfigError, match="out must have 10 bytes, not 11"):
        JoulecutCodec().decode(coded, out=bytearray(11))
    with pytest.raises(UntrustedInputError, match="at most 9 bytes, not 10"):
        JoulecutCodec().decode(coded, out=bytearray(9))
    with pytest.raises(ConfigError, match="must be C-contiguous"):
        JoulecutCodec().encode(np.zeros((4, 4), np.float32)[:, ::2])
