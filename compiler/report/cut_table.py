"""One row per cut: what crosses, what it costs at the edge, and what accuracy is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ArrayRow:
    """What the same edge does with an accelerator beside its processor.

    Attributes:
        target: what that edge was built for.
        layers: that run on the accelerator.
        cycles: of the accelerator for one inference, by the simulated RTL's counters.
        clock_hz: that the design aims at, assumed.
        energy_pj: modelled energy of the accelerator and of the memory behind it.
        inferences: how many inputs ran on the simulated RTL.
        identical: how many of them gave the unsplit integer output bit for bit.
    """

    target: str
    layers: int
    cycles: int
    clock_hz: float
    energy_pj: float
    inferences: int
    identical: int


@dataclass(frozen=True)
class CutRow:
    """A cut as it was built and run.

    Attributes:
        cut: the tensors, joined by " + ".
        raw_bytes: what crosses for one inference, uncompressed.
        coded_bits: bits per element after coding, measured over the whole data set.
        entropy_bits: empirical order-0 entropy of the elements, bits per element, measured.
        coded_bytes: coded bytes for one inference, the mean over the data set, measured.
        edge_macs: multiply-accumulates before the cut.
        compute_pj: modelled energy of the edge's arithmetic for one inference.
        memory_pj: modelled energy of the edge's weight fetches for one inference.
        radio_pj: modelled energy to send the coded bytes of one inference.
        inferences: how many inputs ran through the built parts.
        identical: how many of them gave the unsplit integer output bit for bit.
        accuracy: of the split network, measured; None without labels.
        whole_accuracy: of the unsplit integer network, measured; None without labels.
        trained_accuracy: of the network as the training framework runs it; None if unknown.
        array: the same cut with an accelerator at the edge; None if there was none.
    """

    cut: str
    raw_bytes: int
    coded_bits: float
    entropy_bits: float
    coded_bytes: float
    edge_macs: int
    compute_pj: float
    memory_pj: float
    radio_pj: float
    inferences: int
    identical: int
    accuracy: float | None = None
    whole_accuracy: float | None = None
    trained_accuracy: float | None = None
    array: ArrayRow | None = None

    @property
    def total_pj(self) -> float:
        """Modelled energy of the edge for one inference."""
        return self.compute_pj + self.memory_pj + self.radio_pj

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the total included."""
        return {**asdict(self), "total_pj": self.total_pj}

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> CutRow:
        """Inverse of `dataclasses.asdict`."""
        given = dict(fields)
        array = given.pop("array", None)
        return CutRow(**given, array=None if array is None else ArrayRow(**array))


def cheapest(rows: list[CutRow]) -> CutRow:
    """The row of least modelled energy at the edge; the first of equals."""
    if not rows:
        raise ValueError("rows must hold at least one cut, not none")
    return min(rows, key=lambda row: row.total_pj)


COLUMNS = (
    "cut",
    "raw B",
    "coded b/elem",
    "entropy b/elem",
    "coded B",
    "edge MACs",
    "energy uJ",
    "compute/memory/radio %",
    "identical",
    "split acc %",
    "whole acc %",
    "Brevitas acc %",
    "array cycles",
    "array uJ",
    "on RTL",
)


def cells(row: CutRow) -> tuple[str, ...]:
    """The row as text, in the order of `COLUMNS`."""
    parts = (row.compute_pj, row.memory_pj, row.radio_pj)
    total = row.total_pj
    shares = "/".join(f"{100 * part / total:.0f}" for part in parts) if total else "-"
    return (
        row.cut,
        f"{row.raw_bytes:,}",
        f"{row.coded_bits:.3f}",
        f"{row.entropy_bits:.3f}",
        f"{row.coded_bytes:,.1f}",
        f"{row.edge_macs:,}",
        f"{row.total_pj / 1e6:.2f}",
        shares,
        f"{row.identical}/{row.inferences}",
        *(
            _percent(value)
            for value in (row.accuracy, row.whole_accuracy, row.trained_accuracy)
        ),
        *array_cells(row.array),
    )


def array_cells(array: ArrayRow | None) -> tuple[str, str, str]:
    """The last three columns."""
    if array is None:
        return "-", "-", "-"
    identical = f"{array.identical}/{array.inferences}"
    return f"{array.cycles:,}", f"{array.energy_pj / 1e6:.2f}", identical


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
