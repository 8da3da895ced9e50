"""The comparison names the first layer that differs, and nothing slips through it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecut.compiler.errors import UntrustedInputError, VerificationError
from joulecut.compiler.verify import (
    AccuracyBaseline,
    Divergence,
    EngineResult,
    Report,
    compare,
    compare_arrays,
    fraction_differing,
)

ORDER = ("a", "b", "c")


def three_layers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {name: rng.integers(-128, 128, (3, 2, 4)).astype(np.int8) for name in ORDER}


def test_equal_layers_do_not_diverge():
    assert compare(three_layers(), three_layers(), ORDER) is None


@given(
    layer=st.sampled_from(ORDER),
    places=st.sets(st.integers(0, 23), min_size=1),
    later=st.booleans(),
)
def test_first_divergent_layer_is_named_with_count_and_place(
    layer: str, places: set[int], later: bool
):
    expected, actual = three_layers(), three_layers()
    for place in places:
        actual[layer].flat[place] ^= 1  # always changes the integer by one
    if later:
        for after in ORDER[ORDER.index(layer) + 1 :]:
            actual[after] += 1
    found = compare(expected, actual, ORDER)
    assert found is not None
    first = min(places)
    assert (found.layer, found.differing, found.total) == (layer, len(places), 24)
    assert found.max_difference == 1
    assert found.index == tuple(int(i) for i in np.unravel_index(first, (3, 2, 4)))
    assert found.expected == expected[layer].flat[first]
    assert found.got == actual[layer].flat[first]


def test_extreme_integers_do_not_wrap_around():
    found = compare_arrays("a", np.array([-128], np.int8), np.array([127], np.int8))
    assert found is not None
    assert found.max_difference == 255
    assert str(found) == (
        "layer 'a': 1 of 1 elements differ, by 255 at most; the first, at [0], "
        "must be -128, not 127"
    )


def test_integers_have_no_tolerance():
    assert compare_arrays("a", np.array([1]), np.array([2]), tolerance=5) is not None


def test_a_missing_layer_diverges():
    actual = three_layers()
    del actual["b"]
    assert str(compare(three_layers(), actual, ORDER)) == (
        "layer 'b': the engine did not deliver it"
    )


def test_shape_and_type_must_match():
    zeros = np.zeros((2, 3), np.int8)
    assert str(compare_arrays("a", zeros, zeros.T)) == (
        "layer 'a': shape must be (2, 3), not (3, 2)"
    )
    assert str(compare_arrays("a", zeros, zeros.astype(np.uint8))) == (
        "layer 'a': type must be int8, not uint8"
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_compared_by_their_bits(dtype: type[np.floating]):
    special = np.array([0.0, math.nan, math.inf, 1.0], dtype)
    assert compare_arrays("a", special, special.copy()) is None
    negative_zero = np.array([-0.0, math.nan, math.inf, 1.0], dtype)
    found = compare_arrays("a", special, negative_zero)
    assert found is not None
    assert (found.differing, found.index) == (1, (0,))
    next_up = np.nextafter(special, dtype(2))
    assert compare_arrays("a", special[3:], next_up[3:]) is not None


def test_float_tolerance_is_absolute_and_never_covers_nan():
    one = np.array([1.0, 2.0], np.float32)
    assert compare_arrays("a", one, one + np.float32(0.25), tolerance=0.25) is None
    assert compare_arrays("a", one, one + np.float32(0.5), tolerance=0.25) is not None
    nan = np.array([1.0, math.nan], np.float32)
    found = compare_arrays("a", one, nan, tolerance=100)
    assert found is not None
    assert found.index == (1,)


def test_scalars_and_transposed_floats_compare():
    assert compare_arrays("a", np.array(1.0), np.array(1.0)) is None
    grid = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert compare_arrays("a", grid.T, grid.T.copy()) is None


def test_fraction_counts_elements_and_whole_misshapen_arrays():
    zeros = np.zeros(4, np.int8)
    assert fraction_differing({"a": zeros}, {"a": zeros}) == 0
    assert fraction_differing({"a": zeros}, {"a": np.array([0, 1, 0, 0], np.int8)}) == 0.25
    assert fraction_differing({"a": zeros, "b": zeros}, {"a": zeros}) == 0.5
    assert fraction_differing({}, {}) == 0


def engine(divergence: Divergence | None, *, obeyed: bool = True) -> EngineResult:
    return EngineResult("tvm", "edge", 3, 8, divergence, obeyed=obeyed)


def test_report_is_ok_when_only_engines_that_are_not_obeyed_differ():
    fault = Divergence("b", "1 of 2 elements differ")
    report = Report("m.bundle", (engine(None), engine(fault, obeyed=False)))
    assert report.ok
    assert report.first_divergence is None
    report.require()
    assert [row["verdict"] for row in report.rows()] == ["equal", "differs (allowed)"]


def test_report_names_engine_part_and_layer():
    fault = Divergence("b", "1 of 2 elements differ")
    report = Report("m.bundle", (engine(None), engine(fault)))
    assert not report.ok
    assert report.first_divergence == fault
    with pytest.raises(
        VerificationError,
        match=r"tvm must equal the reference on edge of m.bundle: layer 'b': 1 of 2",
    ) as caught:
        report.require()
    assert caught.value.exit_code == 1
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["ok"] is False


def test_an_empty_report_proves_nothing():
    assert not Report("m.bundle", ()).ok
    with pytest.raises(VerificationError, match="compared with an engine, not with none"):
        Report("m.bundle", ()).require()


def test_baseline_allows_its_tolerance_and_no_more():
    baseline = AccuracyBaseline("top1", 0.9, 0.01)
    baseline.require(0.95)
    baseline.require(0.9 - 0.01)
    with pytest.raises(
        VerificationError, match=r"top1 must be at least 0.89 .*, not 0.88"
    ) as caught:
        baseline.require(0.88)
    assert caught.value.exit_code == 1
    with pytest.raises(VerificationError, match="not nan"):
        baseline.require(math.nan)


def test_baseline_of_an_error_guards_the_other_side():
    baseline = AccuracyBaseline("nmse_db", -12.0, 0.5, larger_is_better=False)
    baseline.require(-14.0)
    with pytest.raises(VerificationError, match=r"nmse_db must be at most -11.5 .*, not -11"):
        baseline.require(-11.0)


def test_baseline_round_trip_and_refusal(tmp_path: Path):
    path = tmp_path / "baseline.json"
    baseline = AccuracyBaseline("top1", 0.9, 0.01)
    baseline.save(path)
    assert AccuracyBaseline.load(path) == baseline
    path.write_text('{"metric": "top1"}')
    with pytest.raises(
        UntrustedInputError, match=r"baseline.json must be an accuracy baseline"
    ):
        AccuracyBaseline.load(path)


@pytest.mark.parametrize(
    ("value", "tolerance", "text"),
    [(math.nan, 0.1, "must be finite, not nan"), (0.5, -0.1, "must not be negative, not -0.1")],
)
def test_baseline_refuses_what_guards_nothing(value: float, tolerance: float, text: str):
    with pytest.raises(ValueError, match=text):
        AccuracyBaseline("top1", value, tolerance)
