"""Bits are those of the frames that a link would send, and what was measured is kept."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from integer_graphs import NETWORKS

from joulecut.compiler import calibration as module
from joulecut.compiler.calibration import Calibration, calibrate, crossing
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cut import Cut, cuts
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph, input_specs
from joulecut.compiler.link_code import frozen
from joulecut.compiler.reference import trace

SETTINGS = (
    CodecConfig(),
    CodecConfig(quantizer="sq", bits=3),
    CodecConfig(quantizer="tcq", bits=2, entropy="fast"),
)


def samples(graph: Graph, count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        spec.name: rng.standard_normal((count, *spec.shape[1:])).astype(np.float32)
        for spec in input_specs(graph)
    }


def calibrated(
    name: str, count: int = 4, directory: Path | None = None
) -> tuple[Graph, list[Cut], Calibration]:
    graph = NETWORKS[name]()
    found = list(cuts(graph, limit=30))
    feeds = samples(graph, count)
    return (
        graph,
        found,
        calibrate(graph, feeds, SETTINGS, crossing(found), directory=directory),
    )


def test_bits_of_one_tensor_are_those_of_its_frames():
    graph, found, known = calibrated("dense_block")
    values = trace(graph, samples(graph, 4))
    for cut in (each for each in found if len(each.tensors) == 1):
        (name,) = cut.tensors
        for number, setting in enumerate(SETTINGS):
            if setting.quantizer != "none" and values[name].dtype == np.int32:
                assert known.bits(cut, number) is None
                continue
            code = frozen(cut.specs, {name: values[name][:2]}, setting)
            frames = [code.pack([values[name][i : i + 1]]) for i in (2, 3)]
            bits = known.bits(cut, number)
            assert bits is not None
            assert bits.provenance == "measured"
            assert bits.value == 8 * (len(frames[0]) + len(frames[1])) / 2


def test_bits_of_several_tensors_are_those_of_a_frame_without_tables():
    graph, found, known = calibrated("two_inputs")
    values = trace(graph, samples(graph, 4))
    several = [each for each in found if len(each.tensors) > 1]
    assert several
    for cut in several:
        fit = {name: values[name][:2] for name in cut.tensors}
        code = frozen(cut.specs, fit, SETTINGS[0])
        lengths = [len(code.pack([values[n][i : i + 1] for n in cut.tensors])) for i in (2, 3)]
        bits = known.bits(cut, 0)
        assert bits is not None
        assert bits.provenance == "modelled"
        # Apart each tensor has the tables that suit it best, together they share one set.
        assert bits.value / 8 <= sum(lengths) / 2 <= bits.value / 8 * 1.5 + 64


def test_distortion_is_none_without_loss_and_falls_with_bits():
    graph = NETWORKS["digits"]()
    found = cuts(graph)
    settings = [CodecConfig(), *(CodecConfig(quantizer="sq", bits=b) for b in (2, 4, 6))]
    known = calibrate(graph, samples(graph, 2), settings, crossing(found))
    for cut in found:
        decibels = [known.sqnr_db(cut, number) for number in range(len(settings))]
        assert decibels[0] == math.inf
        if known.sqnr_db(cut, 1) is None:
            assert cut.specs[0].dtype == "int32"
            continue
        lossy = [each for each in decibels[1:] if each is not None]
        assert lossy == sorted(lossy)


def test_random_inputs_are_marked_as_assumed():
    graph = NETWORKS["digits"]()
    found = cuts(graph)
    known = calibrate(graph, samples(graph, 1), SETTINGS[:1], crossing(found), real=False)
    bits = known.bits(found[0], 0)
    assert bits is not None
    assert bits.provenance == "assumed"
    assert (known.samples, known.fitted) == (1, 1)


def test_what_was_measured_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _, found, first = calibrated("digits", directory=tmp_path)

    def refuse(*_args: object) -> None:
        raise AssertionError("traced again")

    with monkeypatch.context() as patch:
        patch.setattr(module, "trace", refuse)
        assert calibrated("digits", directory=tmp_path)[2] == first
        kept = sorted(tmp_path.rglob("*.json"))
        assert len(kept) == len(crossing(found))
        kept[3].unlink()
        with pytest.raises(AssertionError, match="traced again"):
            calibrated("digits", directory=tmp_path)
    assert calibrated("digits", directory=tmp_path)[2] == first


def test_what_was_kept_belongs_to_its_samples(tmp_path: Path):
    calibrated("digits", count=4, directory=tmp_path)
    before = len(list(tmp_path.rglob("*.json")))
    calibrated("digits", count=3, directory=tmp_path)
    assert len(list(tmp_path.rglob("*.json"))) == 2 * before


def test_a_damaged_file_is_measured_again(tmp_path: Path):
    _, _, first = calibrated("digits", directory=tmp_path)
    kept = sorted(tmp_path.rglob("*.json"))
    kept[0].write_text("[{")
    kept[1].write_text(json.dumps([{"nbytes": 1.0}]))
    kept[2].write_text(json.dumps([]))
    assert calibrated("digits", directory=tmp_path)[2] == first


def test_there_must_be_samples_and_settings():
    graph = NETWORKS["digits"]()
    with pytest.raises(ConfigError, match="must have a sample and a setting, not 0 and 3"):
        calibrate(graph, samples(graph, 0), SETTINGS, [])
    with pytest.raises(ConfigError, match="must have a sample and a setting, not 1 and 0"):
        calibrate(graph, samples(graph, 1), [], [])
