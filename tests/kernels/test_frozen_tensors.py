"""Coded tensors that must decode for ever: golden samples and the examples of the format's pages."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coder_samples import decoded
from numpy.typing import NDArray

from joulecut.kernels import coder, version1
from joulecut.kernels.twin import container, tables
from joulecut.kernels.twin.blocks import NO_TABLES
from joulecut.kernels.twin.checksum import xxh32

ROOT = Path(__file__).resolve().parents[2]

Sample = dict[str, Any]


def golden(version: int) -> list[Sample]:
    """The samples of a version."""
    return json.loads((ROOT / f"tests/golden/coded_tensors_v{version}.json").read_text())


def by_name(sample: Sample) -> str:
    return sample["name"]


def worked_example(page: str) -> tuple[bytes, NDArray[np.uint8]]:
    """The coded tensor on a page of docs/, and its values."""
    text = (ROOT / "docs" / page).read_text()
    values = re.search(r"```values\n(.*?)```", text, re.DOTALL)
    listing = re.search(r"```hex\n(.*?)```", text, re.DOTALL)
    assert values
    assert listing
    rows = [list(map(int, line.split())) for line in values[1].splitlines()]
    columns = [line.split("  ")[0] for line in listing[1].splitlines()]
    return bytes.fromhex("".join(columns)), np.array(rows, np.uint8)


# ---- version 2 ----


@pytest.mark.parametrize("sample", golden(2), ids=by_name)
def test_version_2(sample: Sample):
    blob, tables_blob = bytes.fromhex(sample["blob"]), bytes.fromhex(sample["tables"])
    static = coder.Tables(tables_blob) if tables_blob else None
    array = decoded(blob, static)
    assert array.dtype == sample["dtype"]
    assert list(array.shape) == sample["shape"]
    assert xxh32(array.tobytes()) == sample["xxh32"]
    counts = zip(coder.MODES, coder.scan(blob), strict=True)
    assert [mode for mode, count in counts if count] == sample["modes"]
    twin_static = tables.read_tables(tables_blob) if tables_blob else NO_TABLES
    assert container.decode(blob, twin_static)[1] == array.tobytes()


def test_the_samples_use_everything():
    headers = [coder.read_header(bytes.fromhex(sample["blob"])) for sample in golden(2)]
    assert {header.dtype for header in headers} == set(coder.DTYPES)
    pairs = {
        (header.quantizer.kind, mode)
        for header, sample in zip(headers, golden(2), strict=True)
        for mode in sample["modes"]
    }
    every = {(kind, mode) for kind in coder.QUANTIZERS for mode in coder.MODES}
    assert pairs == every - {("bytes", "packed")}
    assert {mode for s in golden(2) if s["tables"] for mode in s["modes"]} == set(
        coder.MODES[2:]
    )


def test_the_worked_example():
    blob, array = worked_example("bitstream.md")
    assert decoded(blob).tolist() == array.tolist()
    quantizer = coder.lossless_quantizer(array, "uint8")
    assert coder.encode(array, "uint8", array.shape, quantizer) == blob
    assert container.decode(blob)[1] == array.tobytes()


# ---- version 1 ----


def decoded_v1(blob: bytes) -> NDArray[Any]:
    header = version1.read_header(memoryview(blob))
    out = np.empty(header.shape, header.dtype)
    version1.decode_into(memoryview(blob), out)
    return out


@pytest.mark.parametrize("sample", golden(1), ids=by_name)
def test_version_1(sample: Sample):
    blob = bytes.fromhex(sample["blob"])
    expected = np.array(sample["values"], sample["dtype"]).reshape(sample["shape"])
    array = decoded_v1(blob)
    assert array.tobytes() == expected.tobytes()
    assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
    counts = zip(version1.MODES, version1.scan(memoryview(blob)), strict=True)
    assert [mode for mode, count in counts if count] == sample["modes"]


@pytest.mark.parametrize("sample", golden(1), ids=by_name)
def test_damage_to_version_1_is_refused(sample: Sample):
    blob = bytes.fromhex(sample["blob"])
    damaged = [blob[:size] for size in range(len(blob))] + [blob + b"\0"]
    for at in range(len(blob)):
        flipped = bytearray(blob)
        flipped[at] ^= 1 << at % 8
        damaged.append(bytes(flipped))
    for bad in damaged:
        with pytest.raises(coder.CoderError):
            decoded_v1(bad)


def test_the_worked_example_of_version_1():
    blob, array = worked_example("bitstream_v1.md")
    assert decoded_v1(blob).tolist() == array.tolist()


def test_frames_of_version_1():
    tensors = [bytes.fromhex(sample["blob"]) for sample in golden(1)[:3]]
    head = b"JCF\x1a\x01\x00\x03\x00" + b"".join(len(t).to_bytes(4, "little") for t in tensors)
    frame = head + version1.crc32(head).to_bytes(4, "little") + b"".join(tensors)
    found = version1.split_frame(memoryview(frame))
    assert [bytes(tensor) for _, tensor in found] == tensors
    assert found[1][0] == len(head) + 4 + len(tensors[0])
    for bad in (frame[:9], frame + b"\0", frame[:-1], b"JCX" + frame[3:], frame[:5]):
        with pytest.raises(coder.CoderError):
            version1.split_frame(memoryview(bad))


def test_out_of_version_1_must_fit():
    blob = bytes.fromhex(golden(1)[-1]["blob"])
    with pytest.raises(ValueError, match="out must be"):
        version1.decode_into(memoryview(blob), np.empty(1, np.float64))
