"""What the CPU bench knows of one network, and the document that it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench_networks import BenchNetwork
from interleaved import Timing
from peers.onnxrt_int8 import FORMS

OURS, PASSES, MULTIPLY, CLOCK = "joulecut", "identity", "peak", "clock"
OURS_ON_ONE, THEIRS_ON_ONE = "joulecut on one", "onnxruntime on one"  # beside two threads


@dataclass(frozen=True)
class Row:
    """What is known of one network; times are of one call in seconds.

    Attributes:
        network: that was timed.
        times: by engine: joulecut, onnxruntime's forms, identity, peak, clock.
        times2: likewise on two threads, and on one in the same rounds; empty if the library
            has no threads.
        peak: products a second at most; None if it could not be measured.
        clock_hz: of the core in the fastest block.
        build: facts of our build; None if it was not built.
        model_bytes: of the smallest of onnxruntime's forms.
        layers: of our build, with nanoseconds; empty if it was not built.
    """

    network: BenchNetwork
    times: dict[str, Timing]
    times2: dict[str, Timing]
    peak: float | None
    clock_hz: float | None
    build: dict[str, Any] | None
    model_bytes: int
    layers: list[dict[str, Any]]

    def best_form(self, times: dict[str, Timing] | None = None) -> str:
        """The form in which onnxruntime had the fastest block."""
        found = self.times if times is None else times
        return min(FORMS, key=lambda form: found[form].minimum)


def document(row: Row) -> dict[str, Any]:
    """All numbers of a row, for the tables and for the file."""
    form = row.best_form()
    found: dict[str, Any] = {
        "name": row.network.name,
        "macs": row.network.macs,
        "input": [row.network.dtype, *row.network.shape],
        "weights": row.network.weights,
        "times": _times(row.times),
        "best_form": form,
        "peak_products_per_s": row.peak,
        "clock_hz": row.clock_hz,
        "build": row.build,
        "model_bytes": row.model_bytes,
        "layers": row.layers,
    }
    if OURS in row.times:
        found["ratio"] = _ratio(row.times, form)
    if row.times2:
        form2 = row.best_form(row.times2)
        found["two_threads"] = {
            "times": _times(row.times2),
            "best_form": form2,
            "ratio": _ratio(row.times2, form2),
            "speedup": {
                OURS: _speedup(row.times2[OURS_ON_ONE], row.times2[OURS]),
                "onnxruntime": _speedup(row.times2[THEIRS_ON_ONE], row.times2[form2]),
            },
        }
    return found


def _times(times: dict[str, Timing]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "us_min": 1e6 * timing.minimum,
            "us_median": 1e6 * timing.median,
            "blocks": len(timing.blocks),
            "calls_per_block": timing.calls,
        }
        for name, timing in times.items()
    }


def _ratio(times: dict[str, Timing], form: str) -> dict[str, float]:
    """Ours over theirs; the median beside the form of the least median."""
    steadiest = min(times[each].median for each in FORMS)
    return {
        "min": times[OURS].minimum / times[form].minimum,
        "median": times[OURS].median / steadiest,
    }


def _speedup(one: Timing, two: Timing) -> dict[str, float]:
    return {"min": one.minimum / two.minimum, "median": one.median / two.median}
