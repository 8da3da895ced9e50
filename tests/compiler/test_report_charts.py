from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_gallery import HOSTILE, gallery, residual_boxes

from joulecut.compiler.errors import UntrustedInputError
from joulecut.compiler.profile import LayerProfile, Profile, Provenance, Quantity
from joulecut.compiler.report import charts
from joulecut.compiler.report.analysis import analysis_page
from joulecut.compiler.report.codec_page import codec_page
from joulecut.compiler.report.graph_drawing import Box, CutLine, draw
from joulecut.compiler.report.layered import BOX_WIDTH, SPACE, layout, spread
from joulecut.compiler.report.page import render
from joulecut.compiler.report.pareto import front, pareto_section
from joulecut.compiler.report.profile_page import profile_page
from joulecut.compiler.report.rate_distortion import Curve, rate_distortion
from joulecut.compiler.report.selection_bands import selection_bands
from joulecut.compiler.report.trajectory import Track, trajectory
from joulecut.compiler.report.verify_page import verify_page

NUMBERS = st.integers(0, 9).map(float)
POINTS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30)


@given(POINTS, st.booleans())
def test_no_point_beats_the_front_and_the_front_beats_all_others(
    points: list[tuple[float, float]], more: bool
):
    sign = -1 if more else 1
    cost = [(x, sign * y) for x, y in points]
    best = front(points, ("less", "more" if more else "less"))
    for i in best:
        assert not any(
            a <= cost[i][0] and b <= cost[i][1] and (a, b) != cost[i] for a, b in cost
        )
    for x, y in cost:
        assert any(cost[i][0] <= x and cost[i][1] <= y for i in best)
    assert len({points[i] for i in best}) == len(best)


def test_a_pareto_section_leaves_out_rows_without_both_numbers():
    rows = [
        {"name": "a", "e": 1, "b": 2},
        {"name": "b", "e": None, "b": 2},
        {"name": "c", "b": 1},
    ]
    section = pareto_section("Front", rows, ("e", "J (modelled)"), ("b", "B (counted)"))
    assert section.note == "1 of 1 points are on the front."
    assert "J (modelled)" in section.chart


@given(st.lists(st.tuples(st.floats(-500, 500), st.floats(1, 200)), min_size=1, max_size=12))
def test_places_keep_order_and_distance(wanted: list[tuple[float, float]]):
    wishes, widths = [w for w, _ in wanted], [w for _, w in wanted]
    centres = spread(wishes, widths)
    for (a, wide_a), (b, wide_b) in pairwise(zip(centres, widths, strict=True)):
        assert b - a >= (wide_a + wide_b) / 2 + SPACE - 1e-6
    assert abs(sum(centres) - sum(wishes)) < 1e-6 * len(wishes)


def test_places_that_fit_are_granted():
    assert spread([0.0, 300.0], [100.0, 100.0]) == [0.0, 300.0]


def test_branches_stand_side_by_side_and_no_line_crosses_a_box():
    placed = layout({"x": (), "a": ("x",), "b": ("x",), "c": ("a",), "y": ("c", "b", "x")})
    assert placed.rows == (("x",), placed.rows[1], ("c",), ("y",))
    assert set(placed.rows[1]) == {"a", "b"}
    for (source, target), path in placed.paths.items():
        assert len(path) == placed.row[target] - placed.row[source] + 1
        for row, x in enumerate(path[1:-1], placed.row[source] + 1):
            assert all(abs(x - placed.x[name]) > BOX_WIDTH / 2 for name in placed.rows[row])
    assert min(placed.x.values()) >= BOX_WIDTH / 2 - 1e-6
    assert max(placed.x.values()) <= placed.width - BOX_WIDTH / 2 + 1e-6


def test_a_cut_crosses_the_lines_that_leave_its_edge_part_and_no_others():
    boxes = [
        Box("a", "", ("x",)),
        Box("b", "", ("a",)),
        Box("c", "", ("a",)),
        Box("d", "", ("b", "c")),
    ]

    def crossings(*tensors: str) -> int:
        (cut,) = re.findall(r'<g class="cut">.*?</g>', draw(boxes, [CutLine("k", tensors)]))
        return cut.count("<circle")

    assert crossings("a") == 2
    assert crossings("a", "b") == 2  # a to c, b to d: a to b is inside the edge
    assert crossings("b", "c") == 2
    assert crossings("d") == 1


def test_a_deep_network_is_taken_apart_between_rows():
    drawn = draw(residual_boxes())
    heights = [float(h) for h in re.findall(r'<svg[^>]* height="(\d+)"', drawn)]
    assert len(heights) > 10
    assert max(heights) <= 1000
    assert all(drawn.count(f"<title>block{i}.add: Add</title>") == 1 for i in range(50))


def test_cuts_at_tensors_that_are_not_drawn_are_left_out():
    assert "with 0 cuts" in draw([Box("a")], [CutLine("k", ("absent",))])


def test_long_lists_of_layers_share_a_scale():
    names = [f"l{i}" for i in range(81)]
    drawn = charts.layer_charts(names, [float(i) for i in range(81)], "ms (measured)")
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", drawn)
    assert captions == [f"ms (measured), layers {i} to {i + 26}" for i in (1, 28, 55)]
    assert drawn.count('"range":[0,81.6]') == 3


def test_a_trajectory_has_gaps_where_nothing_can_be_sent():
    track = Track("PS", [1.0, 1.0], [1.0, float("inf")], [2.0, float("inf")], ["a", None])
    figure = trajectory("", [1e-6, float("inf")], "s/bit (modelled)", [track], "modelled")
    shown = [tuple(trace.y) for trace in figure.data]
    assert shown == [(1e-6, None), (2.0, None), (1.0, 1.0), (1.0, None), ("a", None)]


def test_bands_end_a_decade_beyond_their_limits():
    figure = selection_bands("", [0.0, 1e-7], ["a", None], "s/bit (modelled)")
    assert [tuple(trace.x) for trace in figure.data] == [(1e-8, 1e-7), (1e-7, 1e-6)]
    assert [tuple(trace.y) for trace in figure.data] == [("a", "a"), ("none", "none")]
    whole = selection_bands("", [0.0], ["a"], "s/bit (modelled)")
    assert [tuple(trace.x) for trace in whole.data] == [(0.1, 10.0)]


def test_curves_run_by_rate():
    figure = rate_distortion(
        "", [Curve("sq", [4, 2], [24.0, 12.0])], "dB", [Curve("h", [1], [6])]
    )
    assert list(figure.data[0].x) == [2, 4]
    assert list(figure.data[0].y) == [12.0, 24.0]
    assert figure.data[1].name == "h"


def test_names_are_text_in_figures_and_drawings():
    page = render(gallery())
    assert "<img" not in page
    figure = charts.layer_bars([HOSTILE], [1.0], "ms")
    (name,) = figure.data[0].y
    assert name == HOSTILE.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


ANALYSIS: dict[str, Any] = {
    "model": "m.onnx", "dialect": "QDQ", "macs": 10, "parameters": 5, "weight_bytes": 5,
    "float_nodes": ["Softmax 's'"], "cuts_complete": False, "energy_table": "t",
    "radio": {"link": "wifi", "description": "fast"}, "a key of tomorrow": 1,
    "layers": [
        {"name": n, "kind": "Conv", "inputs": [i], "shape": [1, 2], "dtype": "int8", "bits": 8,
         "macs": 5, "weight_bytes": 2, "output_bytes": 2}
        for n, i in (("a", "x"), ("b", "a"))
    ],
    "cuts": [
        {"tensors": [n], "bytes": b, "edge_macs": m, "cloud_macs": 10 - m, "compute_pj": 1e6,
         "memory_pj": 1e6, "radio_pj": b * 1e6, "total_pj": (2 + b) * 1e6, "pareto": True}
        for n, b, m in (("a", 2, 5), ("b", 1, 10))
    ],
}  # fmt: skip


def test_an_analysis_becomes_a_page():
    page = analysis_page(ANALYSIS)
    assert ("b", "cut of least energy at the edge") in {(c.value, c.label) for c in page.cards}
    assert "2 or more" in {card.value for card in page.cards}
    assert [section.name for section in page.sections[:3]] == [
        "graph", "pareto-bytes", "pareto-energy"
    ]  # fmt: skip
    cuts, layers = page.tables()
    assert cuts.rows[0] == ("a", True, 2, 5, 5, 1.0, 1.0, 2.0, 4.0)
    assert layers.rows[0] == ("a", "Conv", "1 x 2", "int8", 8, 5, 2, 2)
    assert page.sections[3].best == 1
    assert page.sections[4].note == "Stay in float: Softmax 's'."


def test_an_analysis_without_cuts_or_lines_is_still_a_page():
    layers = [
        {key: v for key, v in each.items() if key != "inputs"} for each in ANALYSIS["layers"]
    ]
    page = analysis_page({**ANALYSIS, "cuts": [], "cuts_complete": True, "layers": layers})
    assert [table.name for table in page.tables()] == ["cuts", "layers"]
    assert "<h2" in render(page)


HOW: dict[str, Provenance] = {"a": "measured", "b": "simulated"}


def test_a_profile_becomes_a_page():
    layers = tuple(
        LayerProfile(n, "Conv", {"time_min": Quantity(2e6, "ns", how), "energy": Quantity(3, "pJ", "modelled")})
        for n, how in HOW.items()
    )  # fmt: skip
    page = profile_page({**Profile("local", layers, "m", ("n",)).to_dict(), "part": "edge"})
    assert [(card.value, card.label) for card in page.cards] == [
        ("4 ms", "time min (simulated)"),
        ("6 pJ", "energy (modelled)"),
    ]
    assert [s.title for s in page.sections] == [
        "Time min of each layer", "Energy of each layer", "Layers"
    ]  # fmt: skip
    (table,) = page.tables()
    assert [row[0] for row in table.rows] == ["a", "b"]
    assert table.rows[0][table.columns.index("time_min [ns, simulated]")] is None


def test_what_is_no_profile_is_refused():
    with pytest.raises(
        UntrustedInputError, match=r"profile must be what Profile.to_dict returns"
    ):
        profile_page({"device": "local"})


def test_a_verification_becomes_a_page():
    result = {
        "engine": "tvm", "part": "edge", "layers": 3, "samples": 2, "ok": False,
        "fraction_differing": 0.5, "note": "",
        "divergence": {"layer": "a", "reason": "1 of 2 elements differ"},
    }  # fmt: skip
    document = {"bundle": "b", "ok": False, "results": [result]}
    page = verify_page({**document, "accuracy": {"value": 0.5, "provenance": "measured"}})
    assert [card.value for card in page.cards] == ["diverges", "0 / 1", "50.00 %"]
    (table,) = page.tables()
    assert table.rows[0][6] == "layer 'a': 1 of 2 elements differ"


def test_a_codec_bench_becomes_a_page():
    row = {"quantizer": "sq", "bits": 3, "entropy": "best", "bits_per_sample": 3.0, "sqnr_db": 17.0,
           "encode_mb_s": 1.0, "decode_mb_s": 2.0}  # fmt: skip
    exact = {**row, "quantizer": "none", "bits": None, "sqnr_db": None, "bits_per_sample": 8.0}
    document = {
        "tensor": "t.npy",
        "machine": "m",
        "provenance": "measured",
        "rows": [row, exact],
    }
    page = codec_page(document)
    assert [s.name for s in page.sections[:2]] == ["rate-distortion", "rate-speed"]
    assert page.cards[0].value == "3.000 bits"
    lossless = codec_page({**document, "rows": [exact]})
    assert [s.name for s in lossless.sections[:1]] == ["rate-speed"]


def test_pages_and_documents_agree(tmp_path: Path):
    path = tmp_path / "page.html"
    path.write_text(render(analysis_page(ANALYSIS)), encoding="utf-8")
    data = re.findall(r'<script type="application/json">(.*?)</script>', path.read_text())
    cuts = json.loads(data[0])
    assert [row[2] for row in cuts["rows"]] == [cut["bytes"] for cut in ANALYSIS["cuts"]]
