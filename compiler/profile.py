"""What a part costs layer by layer, each number with its unit and where it comes from.

A table that mixes a stopwatch with a guess is worse than no table: a Quantity knows whether it
was measured, simulated, modelled or assumed, and a sum is as weak as its weakest term.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from joulecut.compiler.errors import ConfigError, UntrustedInputError

Provenance = Literal["measured", "simulated", "modelled", "assumed"]
PROVENANCES: tuple[Provenance, ...] = get_args(Provenance)  # strongest first

TIME_AXES = (
    "time_min",
    "time_median",
    "cycles",
    "instructions",
)  # what a trace may be drawn in


@dataclass(frozen=True)
class Quantity:
    """A number that says what it counts and how it is known.

    Attributes:
        value: finite.
        unit: "ns", "B", "pJ", "1" for a plain count.
        provenance: "measured" (clock or meter), "simulated" (an emulator executed it),
            "modelled" (an equation) or "assumed" (a person wrote it down).
    """

    value: float
    unit: str
    provenance: Provenance

    def __post_init__(self) -> None:
        if self.provenance not in PROVENANCES:
            raise ConfigError(
                f"provenance must be one of {', '.join(PROVENANCES)}, not '{self.provenance}'"
            )
        if not math.isfinite(self.value):
            raise ConfigError(f"value must be finite, not {self.value}")

    def __add__(self, other: Quantity) -> Quantity:
        """Add two quantities of one unit; the sum has the weaker provenance."""
        if self.unit != other.unit:
            raise ConfigError(f"unit must be '{self.unit}' to be added, not '{other.unit}'")
        weaker = self.provenance
        if PROVENANCES.index(other.provenance) > PROVENANCES.index(weaker):
            weaker = other.provenance
        return Quantity(self.value + other.value, self.unit, weaker)


@dataclass(frozen=True)
class LayerProfile:
    """What one layer costs.

    Attributes:
        name: the layer's name, that is, the name of what it makes.
        kind: its operators (`Conv+Requantize`), or "" if unknown.
        quantities: by name: "time_min", "instructions", "energy", ...
    """

    name: str
    kind: str
    quantities: Mapping[str, Quantity]


@dataclass(frozen=True)
class Profile:
    """What a part costs on a device.

    Attributes:
        device: the device's address (`local`, `qemu:aarch64`).
        layers: in the order in which they run.
        machine: one line: the processor and system that gave the numbers.
        notes: what a reader must know: the clock, repeats, what a simulator leaves out.
    """

    device: str
    layers: tuple[LayerProfile, ...]
    machine: str
    notes: tuple[str, ...] = ()

    def total(self) -> dict[str, Quantity]:
        """Sum of each quantity over the layers.

        A quantity that some layer lacks has no total: half a sum looks like a whole one.
        """
        return sums(layer.quantities for layer in self.layers)

    def to_dict(self) -> dict[str, object]:
        """Plain values that `json` can write; `from_dict` reads them back."""
        return {
            "device": self.device,
            "machine": self.machine,
            "notes": list(self.notes),
            "layers": [
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "quantities": {
                        name: [q.value, q.unit, q.provenance]
                        for name, q in layer.quantities.items()
                    },
                }
                for layer in self.layers
            ],
        }

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> Profile:
        """Inverse of `to_dict`.

        Raises:
            UntrustedInputError: if the values are not a profile.
        """
        try:
            layers = tuple(
                LayerProfile(
                    str(layer["name"]),
                    str(layer["kind"]),
                    {name: Quantity(*q) for name, q in layer["quantities"].items()},
                )
                for layer in fields["layers"]
            )
            notes = tuple(str(note) for note in fields["notes"])
            return Profile(str(fields["device"]), layers, str(fields["machine"]), notes)
        except (KeyError, TypeError, AttributeError, ConfigError) as error:
            raise UntrustedInputError(
                f"profile must be what Profile.to_dict returns; {error!r} in the way"
            ) from error

    def to_rows(self) -> list[dict[str, str | float]]:
        """One flat row per layer and a last row `total`: name, kind, then value per quantity.

        The key of a quantity says its unit and provenance: `time_min [ns, measured]`.
        """
        rows = [_row(layer.name, layer.kind, layer.quantities) for layer in self.layers]
        return [*rows, _row("total", "", self.total())]

    def to_dataframe(self) -> Any:
        """The rows as a pandas DataFrame.

        Raises:
            ConfigError: if pandas is not installed.
        """
        try:
            pandas: Any = import_module("pandas")
        except ImportError as error:
            raise ConfigError(
                "pandas must be installed for to_dataframe; `pip install pandas` or use to_rows()"
            ) from error
        return pandas.DataFrame(self.to_rows())

    def to_trace(self, path: str | Path) -> None:
        """Write a Chrome trace (chrome://tracing, Perfetto): the layers end to end.

        A profile without times is drawn in cycles or instructions, one per displayed
        nanosecond, and `otherData` says so.

        Raises:
            ConfigError: if no quantity that all layers have can serve as a time axis.
        """
        axis = next((name for name in TIME_AXES if name in self.total()), None)
        if axis is None:
            raise ConfigError(
                f"profile must hold one of {', '.join(TIME_AXES)} for every layer to be drawn, "
                f"not only {', '.join(self.total()) or 'nothing'}"
            )
        document = {"traceEvents": self._events(axis), "otherData": self._legend(axis)}
        Path(path).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def _events(self, axis: str) -> list[dict[str, object]]:
        """Names of the process and thread, then a complete event for each layer.

        Energy, where every layer has it, is a counter too: each layer's from its start on.
        """
        events: list[dict[str, object]] = [
            _event("M", "process_name", args={"name": self.device}),
            _event("M", "thread_name", args={"name": axis}),
        ]
        energy = self.total().get("energy")
        start = 0.0
        for layer in self.layers:
            length = layer.quantities[axis].value
            at = {"ts": start / 1000}  # the format counts microseconds
            said = {
                name: f"{q.value:g} {q.unit} ({q.provenance})"
                for name, q in layer.quantities.items()
            }
            events.append(
                _event("X", layer.name, cat=layer.kind, **at, dur=length / 1000, args=said)
            )
            if energy is not None:
                events.append(_counter(energy, layer.quantities["energy"].value, **at))
            start += length
        if energy is not None:
            events.append(_counter(energy, 0.0, ts=start / 1000))
        return events

    def _legend(self, axis: str) -> dict[str, object]:
        quantity = self.total()[axis]
        return {
            "device": self.device,
            "machine": self.machine,
            "axis": f"{axis}, {quantity.provenance}; 1 ns drawn = 1 {quantity.unit}",
            "notes": list(self.notes),
        }


def _event(phase: str, name: str, **fields: object) -> dict[str, object]:
    return {"name": name, "ph": phase, "pid": 1, "tid": 1, **fields}


def _counter(energy: Quantity, value: float, ts: float) -> dict[str, object]:
    name = f"energy of the layer [{energy.unit}, {energy.provenance}]"
    return _event("C", name, ts=ts, args={energy.unit: value})


def sums(terms: Iterable[Mapping[str, Quantity]]) -> dict[str, Quantity]:
    """Add quantities by name; only the names that every term has are summed."""
    every = list(terms)
    if not every:
        return {}
    total = dict(every[0])
    for term in every[1:]:
        total = {name: total[name] + term[name] for name in total if name in term}
    return total


def _row(name: str, kind: str, quantities: Mapping[str, Quantity]) -> dict[str, str | float]:
    values = {f"{key} [{q.unit}, {q.provenance}]": q.value for key, q in quantities.items()}
    return {"layer": name, "kind": kind, **values}
