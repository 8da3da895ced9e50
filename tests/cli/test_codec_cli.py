"""`joulecut codec` as a user types it: files, JSON, exit codes and what errors say."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from joulecut.cli.app import app
from joulecut.compiler import codec

X = np.maximum(np.random.default_rng(0).normal(size=(20, 300)), 0).astype(np.float32)


def joulecut(*words: str | Path, expect: int = 0) -> Result:
    """Run the command; its exit code must be as expected."""
    done = CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(app, list(map(str, words)))
    assert done.exit_code == expect, done.output
    return done


def document(*words: str | Path) -> dict[str, Any]:
    return json.loads(joulecut(*words, "--json").stdout)


@pytest.fixture
def tensor(tmp_path: Path) -> Path:
    path = tmp_path / "x.npy"
    np.save(path, X)
    return path


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    path = tmp_path / "x.jct"
    path.write_bytes(codec.encode(X, "tcq", bits=5))
    return path


def test_a_tensor_crosses_without_loss(tensor: Path, tmp_path: Path):
    joulecut("codec", "encode", tensor, "-o", tmp_path / "y.jct")
    joulecut("codec", "decode", tmp_path / "y.jct", "-o", tmp_path / "y.npy")
    assert (tmp_path / "y.npy").read_bytes() == tensor.read_bytes()


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--entropy", "fast"], {"entropy": "fast"}),
        (["--quantizer", "sq", "--bits", "4"], {"quantizer": "sq", "bits": 4}),
        (["--quantizer", "auto", "--rate", "2"], {"quantizer": "auto", "rate": 2.0}),
    ],
)
def test_options_are_those_of_python(
    tensor: Path, tmp_path: Path, words: list[str], options: dict[str, Any]
):
    out = tmp_path / "y.jct"
    found = document("codec", "encode", tensor, "-o", out, *words)
    assert out.read_bytes() == codec.encode(X, **options)
    assert found["bits_per_sample"] == 8 * found["coded_bytes"] / X.size
    assert "rate" not in options or 1.9 < found["bits_per_sample"] <= 2


def test_stat_says_what_it_is(coded: Path):
    found = document("codec", "stat", coded)
    assert (found["version"], found["dtype"], found["shape"]) == (2, "float32", [20, 300])
    assert found["quantizer"]["kind"] == "trellis"
    assert found["quantizer"]["states"] == 8
    assert sum(found["blocks"].values()) == 1
    assert found["coded_bytes"] == coded.stat().st_size
    assert 0 < found["entropy_bits"] < 6
    shown = joulecut("codec", "stat", coded).stdout
    assert "trellis" in shown
    assert "bits a sample" in shown


def test_bench_measures_every_quantizer(tensor: Path):
    found = document("codec", "bench", tensor, "--repeats", "1", "--bits", "3")
    assert found["provenance"] == "measured"
    rows = {(row["quantizer"], row["entropy"]): row for row in found["rows"]}
    assert len(rows) == 14
    assert rows["none", "best"]["sqnr_db"] is None
    assert 5 < rows["sq", "best"]["sqnr_db"] < rows["lloyd", "best"]["sqnr_db"]
    for row in rows.values():
        assert row["bits_per_sample"] > 0
        assert min(row["encode_mb_s"], row["decode_mb_s"]) > 0
    shown = joulecut("codec", "bench", tensor, "--repeats", "1").stdout
    assert "measured" in shown
    assert "SQNR dB" in shown


def test_bench_of_integers_without_quantizers(tmp_path: Path):
    np.save(tmp_path / "i.npy", np.arange(1000, dtype=np.int32))
    rows = document("codec", "bench", tmp_path / "i.npy", "--repeats", "1")["rows"]
    assert [row["quantizer"] for row in rows] == ["none", "none"]


class TestRefusals:
    def test_damage_is_code_5_and_writes_nothing(self, coded: Path, tmp_path: Path):
        damaged = bytearray(coded.read_bytes())
        damaged[-3] ^= 4
        coded.write_bytes(damaged)
        out = tmp_path / "y.npy"
        said = joulecut("codec", "decode", coded, "-o", out, expect=5).stderr
        assert "get it from its sender again" in said
        assert not out.exists()
        joulecut("codec", "stat", coded, expect=5)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["x.jct"]

    def test_what_is_larger_than_allowed_is_code_5(self, coded: Path, tmp_path: Path):
        out = tmp_path / "y.npy"
        said = joulecut(
            "codec", "decode", coded, "-o", out, "--max-bytes", "100", expect=5
        ).stderr
        assert "must take at most 100 bytes, not 24000" in said

    def test_the_input_is_never_the_output(self, tensor: Path, coded: Path, tmp_path: Path):
        before = tensor.read_bytes()
        os.link(tensor, tmp_path / "other.npy")
        for out in (tensor, tmp_path / "." / "x.npy", tmp_path / "other.npy"):
            said = joulecut("codec", "encode", tensor, "-o", out, expect=2).stderr
            assert "must be another file than the input" in said
        joulecut("codec", "decode", coded, "-o", coded, expect=2)
        assert tensor.read_bytes() == before

    def test_pickles_are_not_run(self, tmp_path: Path):
        path = tmp_path / "p.npy"
        np.save(path, np.array([{}], object), allow_pickle=True)
        said = joulecut("codec", "encode", path, "-o", tmp_path / "p.jct", expect=2).stderr
        assert "must be a .npy array" in said

    def test_archives_and_other_files_are_not_tensors(self, tmp_path: Path, coded: Path):
        np.savez(tmp_path / "a.npz", x=X)
        for path in (tmp_path / "a.npz", coded, tmp_path / "none.npy"):
            said = joulecut("codec", "encode", path, "-o", tmp_path / "p.jct", expect=2).stderr
            assert "must be a .npy array" in said

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--quantizer", "sq"], "must come with bits or with rate"),
            (["--quantizer", "dct", "--bits", "3"], "quantizer must be one of sq"),
            (["--bits", "3"], "bits and rate must come with the name of a quantizer"),
            (["--entropy", "lzma"], "entropy must be one of best, fast"),
        ],
    )
    def test_misuse_is_code_2(
        self, tensor: Path, tmp_path: Path, words: list[str], message: str
    ):
        out = tmp_path / "y.jct"
        said = joulecut("codec", "encode", tensor, "-o", out, *words, expect=2).stderr
        assert message in said
        assert not out.exists()

    def test_a_place_that_cannot_be_written_is_code_2(self, tensor: Path, tmp_path: Path):
        for out in (tmp_path / "no" / "y.jct", tmp_path):
            said = joulecut("codec", "encode", tensor, "-o", out, expect=2).stderr
            assert "must be a file that can be written" in said
        assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy"]

    def test_a_missing_coded_tensor_is_code_2(self, tmp_path: Path):
        said = joulecut("codec", "stat", tmp_path / "no.jct", expect=2).stderr
        assert "must be a readable file" in said

    def test_other_tensors_are_named(self, tmp_path: Path):
        np.save(tmp_path / "d.npy", X.astype(np.float64))
        said = joulecut(
            "codec", "encode", tmp_path / "d.npy", "-o", tmp_path / "d.jct", expect=2
        ).stderr
        assert "not float64; convert it first" in said
