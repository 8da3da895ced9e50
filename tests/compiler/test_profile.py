"""Profiles: units and provenance survive, sums add, files read back."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.profile import PROVENANCES, LayerProfile, Profile, Quantity, sums

NS = st.integers(0, 10**12).map(float)
QUANTITIES = st.builds(Quantity, NS, st.just("ns"), st.sampled_from(PROVENANCES))


def two_layers() -> Profile:
    first = LayerProfile("a", "Conv+Requantize", {"time_min": Quantity(1500, "ns", "measured")})
    second = LayerProfile(
        "b",
        "Add",
        {"time_min": Quantity(500, "ns", "measured"), "energy": Quantity(3, "pJ", "assumed")},
    )
    return Profile("local", (first, second), "a processor", ("clock: CLOCK_MONOTONIC",))


@given(st.lists(QUANTITIES, min_size=1, max_size=8))
def test_a_sum_adds_values_and_takes_the_weakest_provenance(terms: list[Quantity]):
    total = sums({"time": term} for term in terms)["time"]
    assert total.value == sum(term.value for term in terms)
    assert PROVENANCES.index(total.provenance) == max(
        PROVENANCES.index(term.provenance) for term in terms
    )


def test_total_leaves_out_what_a_layer_lacks():
    assert two_layers().total() == {"time_min": Quantity(2000, "ns", "measured")}


def test_total_of_no_layers_is_empty():
    assert Profile("local", (), "m").total() == {}


def test_units_do_not_mix():
    with pytest.raises(ConfigError, match=r"unit must be 'ns' to be added, not 'pJ'"):
        _ = Quantity(1, "ns", "measured") + Quantity(1, "pJ", "measured")


def test_provenance_is_one_of_four():
    with pytest.raises(
        ConfigError, match=r"measured, simulated, modelled, assumed, not 'felt'"
    ):
        Quantity(1, "ns", "felt")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_value_is_finite(value: float):
    with pytest.raises(ConfigError, match=r"value must be finite, not (nan|inf)"):
        Quantity(value, "ns", "measured")


def test_round_trip_through_json():
    profile = two_layers()
    assert Profile.from_dict(json.loads(json.dumps(profile.to_dict()))) == profile


def test_from_dict_names_what_is_missing():
    fields = two_layers().to_dict()
    del fields["layers"]
    with pytest.raises(
        UntrustedInputError, match=r"Profile.to_dict returns; KeyError\('layers'"
    ):
        Profile.from_dict(fields)


def test_rows_name_unit_and_provenance_and_end_with_the_total():
    rows = two_layers().to_rows()
    assert rows[0] == {
        "layer": "a",
        "kind": "Conv+Requantize",
        "time_min [ns, measured]": 1500,
    }
    assert rows[-1] == {"layer": "total", "kind": "", "time_min [ns, measured]": 2000}


def test_dataframe_has_a_row_per_layer_and_the_total():
    pytest.importorskip("pandas")
    frame = two_layers().to_dataframe()
    assert list(frame["layer"]) == ["a", "b", "total"]


def test_dataframe_without_pandas_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"pandas must be installed .* or use to_rows\(\)"):
        two_layers().to_dataframe()


def test_trace_places_the_layers_end_to_end_in_microseconds(tmp_path: Path):
    path = tmp_path / "t.json"
    two_layers().to_trace(path)
    document = json.loads(path.read_text())
    spans = [e for e in document["traceEvents"] if e["ph"] == "X"]
    assert [(e["name"], e["ts"], e["dur"]) for e in spans] == [("a", 0.0, 1.5), ("b", 1.5, 0.5)]
    assert spans[1]["args"]["energy"] == "3 pJ (assumed)"
    assert document["otherData"]["axis"] == "time_min, measured; 1 ns drawn = 1 ns"


def check_event(event: dict[str, Any]) -> None:
    """The rules of the JSON trace format that Chrome and Perfetto hold an event to."""
    assert isinstance(event["name"], str)
    assert type(event["pid"]) is type(event["tid"]) is int
    match event["ph"]:
        case "X":
            assert isinstance(event["cat"], str)
            assert event["dur"] >= 0 <= event["ts"]
            assert all(isinstance(said, str) for said in event["args"].values())
        case "C":
            assert event["ts"] >= 0
            assert event["args"]
            assert all(type(value) in (int, float) for value in event["args"].values())
        case "M":
            assert event["name"] in ("process_name", "thread_name")
            assert isinstance(event["args"]["name"], str)
        case other:
            pytest.fail(f"unknown phase {other}")


def test_trace_keeps_the_rules_of_its_format(tmp_path: Path):
    layers = [
        LayerProfile(
            name,
            "Conv",
            {
                "time_min": Quantity(ns, "ns", "measured"),
                "energy": Quantity(pj, "pJ", "modelled"),
            },
        )
        for name, ns, pj in (("a", 1500, 7), ("b", 500, 3))
    ]
    Profile("local", tuple(layers), "m").to_trace(tmp_path / "t.json")
    document = json.loads((tmp_path / "t.json").read_text())
    assert set(document) == {"traceEvents", "otherData"}
    for event in document["traceEvents"]:
        check_event(event)
    named = {e["name"]: e["args"]["name"] for e in document["traceEvents"] if e["ph"] == "M"}
    assert named == {"process_name": "local", "thread_name": "time_min"}
    counted = [
        (e["name"], e["ts"], e["args"]) for e in document["traceEvents"] if e["ph"] == "C"
    ]
    name = "energy of the layer [pJ, modelled]"
    assert counted == [
        (name, 0.0, {"pJ": 7}),
        (name, 1.5, {"pJ": 3}),
        (name, 2.0, {"pJ": 0.0}),
    ]


def test_trace_of_counts_says_that_its_axis_is_no_time(tmp_path: Path):
    layer = LayerProfile("a", "", {"instructions": Quantity(7, "instruction", "simulated")})
    Profile("qemu:arm", (layer,), "m").to_trace(tmp_path / "t.json")
    document = json.loads((tmp_path / "t.json").read_text())
    assert document["otherData"]["axis"].endswith("1 ns drawn = 1 instruction")


def test_trace_needs_an_axis(tmp_path: Path):
    layer = LayerProfile("a", "", {"energy": Quantity(7, "pJ", "modelled")})
    with pytest.raises(ConfigError, match=r"must hold one of time_min, .* not only energy"):
        Profile("x", (layer,), "m").to_trace(tmp_path / "t.json")
