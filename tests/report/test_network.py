"""A drawing shows every layer, edge and cut once, and nothing that a name could smuggle in."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from integer_graphs import NETWORKS, random_graph

from joulecut.compiler.cut import cuts
from joulecut.compiler.graph import Graph, input_specs, name_of
from joulecut.compiler.layers import layers
from joulecut.compiler.report.network import BOX_HEIGHT, BOX_WIDTH, Box, CutMark, drawing

SVG = "{http://www.w3.org/2000/svg}"
ATTACK = "</svg><script>alert(1)</script>&'\""


def boxes_of(graph: Graph) -> list[Box]:
    found = [Box(spec.name, "input") for spec in input_specs(graph)]
    return found + [
        Box(layer.name, layer.kind, tuple(name_of(value) for value in layer.inputs))
        for layer in layers(graph)
    ]


def rectangles(svg: str) -> list[tuple[float, float]]:
    root = ElementTree.fromstring(svg)
    return [(float(r.attrib["x"]), float(r.attrib["y"])) for r in root.iter(f"{SVG}rect")]


@pytest.mark.parametrize("seed", range(12))
def test_every_box_is_drawn_inside_and_apart(seed: int):
    graph = random_graph(seed)
    svg = drawing(boxes_of(graph))
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    found = rectangles(svg)
    assert len(found) == len(boxes_of(graph))
    for at, (x, y) in enumerate(found):
        assert 0 <= x <= width - BOX_WIDTH
        assert 0 <= y <= height - BOX_HEIGHT
        for other_x, other_y in found[:at]:
            assert abs(x - other_x) >= BOX_WIDTH or abs(y - other_y) >= BOX_HEIGHT


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_what_is_read_stands_above(name: str):
    boxes = boxes_of(NETWORKS[name]())
    rows = dict(zip((box.name for box in boxes), rectangles(drawing(boxes)), strict=True))
    for box in boxes:
        for read in box.reads:
            assert rows[read][1] < rows[box.name][1]


def test_branches_stand_side_by_side():
    boxes = [
        Box("x", "input"),
        Box("a", "Conv", ("x",)),
        Box("b", "Conv", ("x",)),
        Box("sum", "Add", ("a", "b")),
    ]
    places = rectangles(drawing(boxes))
    assert places[1][1] == places[2][1]
    assert places[1][0] != places[2][0]


def test_an_edge_that_skips_rows_passes_no_box():
    boxes = [
        Box("x", "input"),
        Box("a", "Conv", ("x",)),
        Box("b", "Conv", ("a",)),
        Box("sum", "Add", ("b", "x")),
    ]
    root = ElementTree.fromstring(drawing(boxes))
    straight = [p.attrib["d"] for p in root.iter(f"{SVG}path") if " V" in p.attrib["d"]]
    assert len(straight) == 2
    lane = float(straight[0][1:].split(",")[0])
    for x, _ in rectangles(drawing(boxes))[1:3]:
        assert not x <= lane <= x + BOX_WIDTH


def test_a_cut_has_a_mark_at_each_of_its_tensors():
    graph = NETWORKS["two_inputs"]()
    found = cuts(graph, limit=40)
    marks = [CutMark(cut.tensors, str(i), i == 2) for i, cut in enumerate(found)]
    root = ElementTree.fromstring(drawing(boxes_of(graph), marks))
    drawn = [g for g in root.iter(f"{SVG}g") if g.attrib["class"].startswith("cut")]
    assert len(drawn) == sum(len(cut.tensors) for cut in found)
    strong = [g for g in drawn if "strong" in g.attrib["class"]]
    assert len(strong) == len(found[2].tensors)


def test_names_cannot_leave_their_text():
    svg = drawing([Box(ATTACK, ATTACK)], [CutMark((ATTACK,), ATTACK)], ATTACK)
    root = ElementTree.fromstring(svg)
    assert "<script" not in svg
    assert not list(root.iter(f"{SVG}script"))
    assert root.find(f"{SVG}title") is not None
    assert any(title.text == f"cut at {ATTACK}" for title in root.iter(f"{SVG}title"))


def test_two_hundred_layers_are_drawn():
    boxes = [Box("0", "input")]
    boxes += [Box(str(i), "Conv", (str(i - 1),)) for i in range(1, 200)]
    boxes += [Box("end", "Add", ("199", "0"))]
    assert len(rectangles(drawing(boxes))) == 201
