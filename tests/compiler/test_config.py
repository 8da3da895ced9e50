from __future__ import annotations

from pathlib import Path

import pytest

from joulecut.compiler.config import BuildConfig, CodecConfig, parse_config
from joulecut.compiler.errors import ConfigError

GOOD = """
schema_version: 1
model: digits.onnx
cut: [pool2]
edge: cortex_a72
codec: {quantizer: sq, bits: 4}
out: digits.bundle
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "split.yaml"
    path.write_text(text)
    return path


def test_reads_all_fields_with_paths_beside_the_file(tmp_path: Path):
    config = BuildConfig.from_yaml(write(tmp_path, GOOD))
    assert config.model == tmp_path / "digits.onnx"
    assert config.out == tmp_path / "digits.bundle"
    assert config.cut == ["pool2"]
    assert config.codec == CodecConfig(quantizer="sq", bits=4)
    assert (config.edge, config.cloud) == ("cortex_a72", "x86_64")


def test_overrides_reach_nested_keys(tmp_path: Path):
    config = BuildConfig.from_yaml(
        write(tmp_path, GOOD), ("codec.bits=2", "cut=auto", "out=other.bundle")
    )
    assert (config.codec.bits, config.cut) == (2, "auto")
    assert config.out == tmp_path / "other.bundle"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "cutt: 3\n", r"cutt: Extra inputs are not permitted"),
        (GOOD + "edge: b\n", r"key 'edge' must stand once"),
        (GOOD.replace("bits: 4", "bits: 9"), r"codec.bits: .*less than or equal to 8"),
        (GOOD.replace("schema_version: 1", "schema_version: 2"), r"schema_version: .*1"),
        ("- 1\n", r"must hold keys and values, not list"),
        ("a: [", r"must be YAML, not this"),
    ],
)
def test_refuses_what_does_not_fit(tmp_path: Path, text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        BuildConfig.from_yaml(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"must be a readable file, not '.*none.yaml'"):
        BuildConfig.from_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("override", "message"),
    [("bits", r"--set must be key=value, not 'bits'"), ("edge.x=1", r"'edge' must hold keys")],
)
def test_overrides_are_checked(tmp_path: Path, override: str, message: str):
    with pytest.raises(ConfigError, match=message):
        BuildConfig.from_yaml(write(tmp_path, GOOD), (override,))


def test_every_problem_is_listed_at_once():
    with pytest.raises(ConfigError) as caught:
        parse_config({"edge": 3, "unknown": 1}, where="test")
    for field in ("model", "out", "edge", "unknown"):
        assert f"{field}:" in str(caught.value)
