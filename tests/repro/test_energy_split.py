"""The energy paper again: its numbers follow from its equations, and ours from our networks."""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytest.importorskip("mlxtend")
pytestmark = pytest.mark.train

from integer_graphs import NETWORKS  # noqa: E402

from joulecut.cli.repro import PAPERS  # noqa: E402
from joulecut.compiler import codec  # noqa: E402
from joulecut.compiler.graph import input_specs  # noqa: E402
from joulecut.compiler.reference import trace  # noqa: E402
from joulecut.hw.energy import load_table  # noqa: E402
from joulecut.hw.links import load_link  # noqa: E402
from joulecut.repro import energy_figures as figures  # noqa: E402
from joulecut.repro import energy_int8 as int8  # noqa: E402
from joulecut.repro import energy_printed as printed  # noqa: E402
from joulecut.repro import energy_split  # noqa: E402
from joulecut.repro.claims import missed  # noqa: E402
from joulecut.repro.digit_counts import (  # noqa: E402
    LAYERS,
    Array,
    cut_costs,
    layer_counts,
    live_units,
    removed,
)
from joulecut.repro.study import Reproduction  # noqa: E402
from joulecut.repro.write import write  # noqa: E402
from joulecut.zoo import sparsify  # noqa: E402
from joulecut.zoo.data import mnist  # noqa: E402
from joulecut.zoo.digits import float_digits  # noqa: E402

TABLE = load_table("horowitz_45nm")
LINK = load_link("paper-5mhz").link


def network(seed: int = 0) -> dict[str, Array]:
    """Random parameters of the digit network, none of them 0."""
    module = float_digits(seed)
    found = {name: value.detach().numpy().copy() for name, value in module.named_parameters()}
    rng = np.random.default_rng(seed)
    for name, value in found.items():
        if name.endswith("bias"):
            value[:] = rng.uniform(0.01, 0.1, value.shape)
    return found


def thinned(found: dict[str, Array], seed: int) -> dict[str, Array]:
    """Some weights, whole neurons and biases made 0 or negative."""
    rng = np.random.default_rng(seed)
    made = {name: value.copy() for name, value in found.items()}
    for layer in LAYERS:
        weights, bias = made[f"{layer}.weight"], made[f"{layer}.bias"]
        weights[rng.random(weights.shape) < rng.uniform(0, 1)] = 0
        weights[rng.random(len(weights)) < 0.3] = 0
        bias[rng.random(len(bias)) < 0.5] = 0
        bias[rng.random(len(bias)) < 0.3] *= -1
    return made


def logits(found: dict[str, Array]) -> np.ndarray:
    module = float_digits()
    module.load_state_dict({name: torch.from_numpy(value) for name, value in found.items()})
    images = np.random.default_rng(0).random((4, 1, 28, 28), np.float32)
    with torch.no_grad():
        return module(torch.from_numpy(images)).numpy()


def test_the_original_has_the_paper_s_counts():
    counts = {each.name: each for each in layer_counts(network())}
    assert sum(each.parameters for each in counts.values()) == 433_274
    assert sum(each.products for each in counts.values()) == 6_236_544
    assert [counts[name].products for name in ("conv1", "conv2", "conv3", "conv4", "fc1")] == [
        *(313_600, 2_508_800, 1_881_600, 1_228_800, 131_072),
    ]
    assert [counts[f"pool{n}"].outputs for n in (1, 2, 3, 4)] == [3136, 1568, 768, 256]
    assert (counts["conv1"].outputs, counts["fc1"].outputs, counts["softmax"].outputs) == (
        *(12_544, 512, 10),
    )


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ("low", (0.017, 0.216, 0.552, 1.109, 1.970, 3.103)),
        ("middle", (0.018, 0.259, 0.720, 1.526, 2.815, 4.511)),
        ("high", (0.020, 0.302, 0.888, 1.944, 3.661, 5.919)),
    ],
)
def test_the_original_costs_what_docs_energy_md_says(price: str, expected: tuple[float, ...]):
    counts = layer_counts(network())
    fetch_pj = printed.fetch_prices(TABLE)[price]
    energies = accumulate(each.processing_pj(TABLE, fetch_pj) / 1e8 for each in counts)
    found = dict(zip([each.name for each in counts], energies, strict=True))
    names = ("pool1", "pool2", "pool3", "pool4", "fc1", "softmax")
    assert [found[name] for name in names] == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize("seed", range(8))
def test_what_is_not_live_changes_no_output(seed: int):
    found = thinned(network(seed), seed)
    live = live_units(found)
    dead = {name: value.copy() for name, value in found.items()}
    for layer in LAYERS:
        for kind in ("weight", "bias"):
            dead[f"{layer}.{kind}"][~live[layer]] = 0
    assert any(not mask.all() for mask in live.values())
    np.testing.assert_array_equal(logits(found), logits(dead))


def test_dead_neurons_die_in_both_directions():
    found = network()
    found["fc1.weight"][3] = 0
    found["fc1.bias"][3] = -1  # never positive
    found["fc1.weight"][4] = 0  # its bias is: it is a constant, and stays
    found["fc3.weight"][:, 7] = 0  # nobody reads neuron 7 of fc2
    live = live_units(found)
    assert np.flatnonzero(~live["fc1"]).tolist() == [3]
    assert np.flatnonzero(~live["fc2"]).tolist() == [7]
    before, after = ({c.name: c for c in layer_counts(n)} for n in (network(), found))
    assert after["fc2"].products == before["fc2"].products - 512 - 256 + 1
    assert after["fc1"].outputs == 511
    assert removed(found, "fc1") == 2 / 512


def test_misprints_are_found_and_nothing_else():
    verdicts = {
        claim.entry: claim.verdict for claim in (*printed.sums(), *printed.carbon(TABLE))
    }
    assert len(verdicts) == 16
    assert [entry for entry, verdict in verdicts.items() if verdict != "reproduced"] == [
        "Table III, 15 kHz, pool1: E = Ep + Etr",
        "Table III, 15 MHz, softmax, CO2 of the printed E",
    ]
    assert "misprint" in printed.uploading().reason
    assert {claim.verdict for claim in printed.constants(TABLE)} == {"reproduced"}
    assert len(printed.constants(TABLE)) == 13


def test_the_original_s_rows_of_table_iii():
    dense = cut_costs(layer_counts(network()), TABLE, printed.FITTED_PJ, LINK.power_w)
    claims = {claim.entry.split(" (")[0]: claim for claim in printed.table_iii(dense, dense)}
    assert len(claims) == 24
    for quantity in ("E", "Ep", "Etr"):
        assert claims[f"Table III, 15 MHz, PSNC, {quantity}"].verdict == "reproduced"
        assert claims[f"Table III, 15 kHz, PSNC, {quantity}"].verdict == "approximated"
    assert claims["Table III, 15 kHz, pool1, Ep"].verdict == "not reproducible"
    assert printed.printed_cut(dense).verdict == "reproduced"
    assert {claim.provenance for claim in claims.values()} == {"modelled"}
    thin = cut_costs(layer_counts(thinned(network(), 1)), TABLE, 880.0, LINK.power_w)
    assert {each.energy_provenance for each in thin} == {"assumed"}


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["paper-15khz", "paper-5mhz", "paper-15mhz"]))
def test_ps_is_never_worse_than_any_baseline(seed: int, name: str):
    link = load_link(name).link
    whole = network(seed % 100)
    dense, sparse = (
        cut_costs(layer_counts(each), TABLE, printed.FITTED_PJ, link.power_w)
        for each in (whole, thinned(whole, seed))
    )
    followed = figures.walk(sparse, dense, link)
    assert set(followed) == {"PS", "PSNC", "pool1", "softmax"}
    for baseline in ("PSNC", "pool1", "softmax"):
        for ours, theirs in zip(followed["PS"], followed[baseline], strict=True):
            assert all(a.energy_j <= b.energy_j for a, b in zip(ours, theirs, strict=True))
    assert figures.never_worse(followed).verdict == "reproduced"


def test_a_worse_ps_is_noticed():
    whole = network()
    dense, sparse = (
        cut_costs(layer_counts(each), TABLE, printed.FITTED_PJ, LINK.power_w)
        for each in (whole, thinned(whole, 1))
    )
    claim = figures.never_worse(figures.walk(dense, sparse, LINK))
    assert claim.verdict == "missed"
    assert "not against PSNC at P1" in claim.ours


def test_coded_bits_are_those_of_the_samples():
    graph = NETWORKS["two_inputs"]()
    assert all(cut.edge_macs for cut in int8.inner_cuts(graph))
    graph = NETWORKS["conv1d"]()
    found = int8.inner_cuts(graph)[:3]
    images = np.random.default_rng(0).normal(size=(3, 2, 128)).astype(np.float32)
    bits = int8.coded_bits(graph, found, images)
    (spec,) = input_specs(graph)
    for cut in found:
        sizes = [
            len(codec.pack([trace(graph, {spec.name: image[None]})[cut.tensors[0]][0]]))
            for image in images
        ]
        assert bits[cut.tensors].value == pytest.approx(8 * np.mean(sizes))
        assert bits[cut.tensors].provenance == "measured"


@pytest.fixture(scope="module", autouse=True)
def data_is_small() -> Iterator[None]:
    """Both data sets are MNIST, which is read once."""
    patch = pytest.MonkeyPatch()
    read = cache(mnist.load)
    for name in ("mnist", "fashion-mnist"):
        patch.setitem(sparsify.DATASETS, name, read)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Reproduction, list[str]]:
    folder, lines = tmp_path_factory.mktemp("repro"), list[str]()
    return folder, energy_split.reproduce(folder, True, lines.append), lines


def test_every_entry_of_the_paper_has_a_verdict(done: tuple[Path, Reproduction, list[str]]):
    entries = [claim.entry for claim in done[1].claims]
    assert len(set(entries)) == len(entries)
    for start, count in (
        ("Table I,", 8),
        ("Table II,", 5),
        ("Fig. 3", 4),
        ("Fig. 4", 8),
        ("Fig. 5", 4),
        ("Table III, 15 kHz", 12 + 1 + 4 + 4),
        ("Table III, 15 MHz", 12 + 4 + 4),
        ("Eq. 5", 1),
        ("Ours", 5),
    ):
        assert sum(entry.startswith(start) for entry in entries) == count, start
    assert missed(done[1].claims) == []  # a quick run excuses what training gives
    assert all(claim.reason for claim in done[1].claims if claim.verdict != "reproduced")


def test_a_run_that_was_done_only_reports(done: tuple[Path, Reproduction, list[str]]):
    folder, first, lines = done
    assert any("mnist, seed 0, pruned: epoch 1 of 1" in line for line in lines)
    again: list[str] = []
    assert energy_split.reproduce(folder, True, again.append).claims == first.claims
    assert again == ["int8 networks: quantize, prune, code"]


def test_tables_and_page_hold_the_numbers(
    done: tuple[Path, Reproduction, list[str]], tmp_path: Path
):
    tables = {table.name: table for table in done[1].tables}
    assert set(tables) == {
        *("networks", "table-iii", "ours", "figure-3", "figure-4"),
        *("figure-5-mnist", "figure-5-fashion-mnist"),
    }
    assert len(tables["table-iii"].rows) == 4 * 2 * 4
    assert len(tables["figure-4"].rows) == len(figures.PATH) * 4
    ways = [str(row[0]) for row in tables["ours"].rows]
    assert ways[0] == "float32, unpruned: PSNC"
    known = {str(row[0]): row[-1] for row in tables["ours"].rows}
    assert known["int8, pruned, coded"] == "modelled"
    assert known["int8, pruned, coded, hardware that skips zeros, no index"] == "assumed"
    page = write(done[1], tmp_path).read_text(encoding="utf-8")
    for text in (
        "Fig. 3: output size",
        "Fig. 4(d)",
        "Fig. 5 (fashion-mnist)",
        "not reproducible",
    ):
        assert text in page


def test_the_paper_is_registered():
    assert PAPERS["energy-split"] == energy_split.__name__
