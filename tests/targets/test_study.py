"""A study builds and runs for real; its rows are checked against the reference and the codec."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from built_bundles import need_target, samples
from integer_graphs import NETWORKS
from rtl_design import require

from joulecut.compiler.bundle import read_bundle
from joulecut.compiler.cost import cost
from joulecut.compiler.cut import Cut, cuts
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.plan import partition
from joulecut.compiler.reference import run_reference
from joulecut.compiler.report.cut_table import CutRow
from joulecut.hw.energy_table import load_table
from joulecut.hw.radio import RadioLink
from joulecut.targets.price import price
from joulecut.targets.profile import profile
from joulecut.targets.report import study_page
from joulecut.targets.study import Study, run_study
from joulecut.targets.verify import verify

COUNT = 12


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    need_target("x86_64")
    graph = NETWORKS["conv1d"]()
    feeds = samples(graph, COUNT)
    outputs = run_reference(graph, feeds)[0].reshape(COUNT, -1)
    labels = outputs.argmax(axis=1)
    labels[0] += 1  # one of them is wrong
    return Study(
        graph=graph,
        feeds=feeds,
        labels=labels,
        trained_accuracy=0.5,
        table=load_table("horowitz_45nm"),
        radio=RadioLink(),
        directory=tmp_path_factory.mktemp("study"),
        edge="x86_64",
        edge_device="local",
        batch=5,
    )


@pytest.fixture(scope="module")
def rows(study: Study) -> list[CutRow]:
    found = cuts(study.graph)
    return run_study(study, [found[0], found[-1]])


def test_every_sample_is_identical_and_counted(rows: list[CutRow]):
    for row in rows:
        assert (row.identical, row.inferences) == (COUNT, COUNT)
        assert row.accuracy == row.whole_accuracy == pytest.approx(1 - 1 / COUNT)
        assert row.trained_accuracy == 0.5


def test_prices_are_those_of_the_part_and_of_the_coded_bits(study: Study, rows: list[CutRow]):
    found = cuts(study.graph)
    for cut, row in zip([found[0], found[-1]], rows, strict=True):
        edge = cost(partition(study.graph, cut).edge.graph)
        energy = price(edge, 8 * row.coded_bytes, study.table, study.radio)
        assert row.total_pj == pytest.approx(energy.total_pj)
        assert row.coded_bits == pytest.approx(8 * row.coded_bytes / (cut.nbytes // _item(cut)))


def _item(cut: Cut) -> int:
    (dtype,) = {spec.dtype for spec in cut.specs}
    return np.dtype(dtype).itemsize


def test_bundles_hold_the_samples_and_verify(study: Study, rows: list[CutRow]):
    del rows
    bundle = read_bundle(study.bundle_path(cuts(study.graph)[0]))
    assert verify(bundle, ["reference", "tvm"]).ok


def test_a_finished_row_is_not_run_again(study: Study, rows: list[CutRow]):
    kept = next(study.directory.glob("*.json"))
    fields = json.loads(kept.read_text())
    kept.write_text(json.dumps(fields | {"coded_bytes": -1.0}))
    again = run_study(study, [cuts(study.graph)[0], cuts(study.graph)[-1]])
    kept.write_text(json.dumps(fields))
    assert sum(row.coded_bytes == -1.0 for row in again) == 1
    assert len(rows) == len(again)


def test_other_samples_are_another_row(study: Study):
    other = replace(study, feeds={name: feed[::-1] for name, feed in study.feeds.items()})
    assert other.digest("x") != study.digest("x")


def test_a_study_needs_samples(study: Study):
    none = replace(study, feeds={name: feed[:0] for name, feed in study.feeds.items()})
    with pytest.raises(ConfigError, match="study must have at least one sample, not none"):
        run_study(none, [])


def test_an_accelerator_at_the_edge_of_every_cut(study: Study):
    require("verilator")
    with_array = replace(study, array_edge="x86_64+z7020", array_samples=3)
    assert with_array.digest("x") != study.digest("x")
    first, last = run_study(with_array, [cuts(study.graph)[0], cuts(study.graph)[-1]])
    assert first.array is not None
    assert last.array is not None
    assert (first.array.layers, first.array.cycles) == (0, 0)  # only a quantizer
    assert last.array.layers > 5
    assert last.array.energy_pj > last.array.cycles > 1000
    assert (last.array.identical, last.array.inferences) == (3, 3)
    bundle = with_array.array_path(cuts(study.graph)[-1])
    profiles = {"array": profile(bundle, device="fpga-sim", repeats=2)}
    page = study_page(study, [first, last], verify(bundle, ["rtl"]), profiles, "a machine")
    assert "The edge with an accelerator" in page
    assert f"{last.array.cycles:,}" in page
    assert "hand over: " in page


def test_the_page_shows_every_cut_and_layer(study: Study, rows: list[CutRow]):
    bundle = study.bundle_path(cuts(study.graph)[-1])
    report = verify(bundle, ["reference"])
    profiles = {"edge": profile(bundle, part="edge", device="local", repeats=2)}
    page = study_page(study, rows, report, profiles, "a machine")
    for name in [row.cut for row in rows] + [layer.name for layer in profiles["edge"].layers]:
        assert name in page
    for origin in ("measured", "modelled", "assumed"):
        assert origin in page
