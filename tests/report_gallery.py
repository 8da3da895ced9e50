"""A page with every kind of chart and table, whose names attack whoever reads it."""

from __future__ import annotations

import math

from joulecut.compiler.report.charts import layer_charts, to_html
from joulecut.compiler.report.files import Table
from joulecut.compiler.report.graph_drawing import Box, CutLine, draw
from joulecut.compiler.report.page import Card, Page, Section
from joulecut.compiler.report.pareto import pareto_section
from joulecut.compiler.report.rate_distortion import Curve, rate_distortion
from joulecut.compiler.report.selection_bands import selection_bands
from joulecut.compiler.report.trajectory import Track, trajectory

HOSTILE = "</script><img src=x onerror=\"document.title='attacked'\"><b>&lt;x"
BLOCKS = 50  # of 4 layers: two in a row beside a line, then a join


def residual_boxes(blocks: int = BLOCKS) -> list[Box]:
    """A chain of residual blocks; the first layer has the name that attacks."""
    boxes = [Box(HOSTILE, "Conv+Requantize [1, 16, 32, 32]", ("image",))]
    for i in range(blocks):
        before = boxes[-1].name
        boxes += [
            Box(f"block{i}.conv1", "Conv+Requantize", (before,)),
            Box(f"block{i}.conv2.a_rather_long_name_of_a_tensor", "Conv", (f"block{i}.conv1",)),
            Box(f"block{i}.side", "Conv+Requantize", (before,)),
            Box(
                f"block{i}.add",
                "Add",
                (f"block{i}.conv2.a_rather_long_name_of_a_tensor", f"block{i}.side", before),
            ),
        ]
    return boxes


def gallery() -> Page:
    """Every chart from data that nothing was measured for."""
    boxes = residual_boxes()
    cuts = [
        CutLine("16,384 B: first", (HOSTILE,), best=True),
        CutLine("2 tensors", ("block3.conv1", "block3.side", "block2.add"), best=False),
        *(
            CutLine(f"{2**i:,} B: block{i}.add", (f"block{i}.add",), i % 3 == 0)
            for i in range(12)
        ),
    ]
    return Page(
        f"Gallery {HOSTILE}",
        "Made up, to be looked at. " * 3,
        [Card("8.12 uJ", "energy (modelled)"), Card(HOSTILE, "a name"), Card("12", "cuts")],
        [
            Section("Network", chart=draw(boxes, cuts), name="graph"),
            pareto_section(
                "Pareto front",
                [
                    {"name": f"{HOSTILE}{i}", "e": 1000 / (i + 1) + 60 * (i % 3), "a": i * i + 1}
                    for i in range(12)
                ],
                ("e", "energy, uJ (modelled)"),
                ("a", "latency, ms (modelled)"),
            ),
            Section("Layers", chart=layer_charts(
                [box.name for box in boxes], [float(i % 17) for i in range(len(boxes))],
                "time, ms (simulated)",
            )),
            Section("Rate and distortion", chart=to_html(rate_distortion("", [
                Curve(name, [b - k / 4 for b in range(2, 9)], [6.02 * b + k for b in range(2, 9)])
                for k, name in enumerate(["sq", "lloyd", "tcq", HOSTILE])
            ], "SQNR, dB (measured)", [Curve("entropy", [1, 8], [6.0, 50.0])]))),
            Section("Trajectory", chart=to_html(_trajectory())),
            Section("Selection", chart=to_html(selection_bands(
                "", [0.0, 1e-8, 1e-7, 3e-6], ["input", "pool1", HOSTILE, None],
                "s/bit (modelled)",
            ))),
            Section.of(_table(), best=1, note="Not measured."),
            Section("As text", ("cut", "raw B", "a share"), [("b", "1,000", "12 %"), ("a", "20", "3 %")]),
        ],
    )  # fmt: skip


def _trajectory():
    x = [1e-7 * (2 + math.sin(i / 9)) ** 3 for i in range(100)]
    tracks = [
        Track(
            name,
            [1e-5 * (k + 1)] * 100,
            [v * 400 / (k + 1) for v in x],
            [v * 400 / (k + 1) + 1e-5 * (k + 1) for v in x],
            [
                ("pool1" if v < 1e-6 else "softmax") if k else ("input", HOSTILE)[v < 5e-7]
                for v in x
            ],
        )
        for k, name in enumerate(["PS", "PSNC", "pool-1", "softmax"])
    ]
    return trajectory("", x, "channel, s/bit (modelled)", tracks, "modelled")


def _table() -> Table:
    rows = [
        (HOSTILE, 1234567, 0.5, True),
        ("conv10", 9, None, False),
        ("conv9", 20000, 1e-9, None),
        ("=1+1, \"x\"", -5, 12.25, True),
    ]  # fmt: skip
    return Table("values", "Values", ("name", "bytes", "energy uJ", "ok"), tuple(rows))
