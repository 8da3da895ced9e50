"""Do two engines agree, and if not, at which layer do they part?

Once one layer differs every later one may, so only the first in graph order names the fault.
Integers must be equal; floats must have the same bits unless a tolerance is stated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from joulecut.compiler.errors import UntrustedInputError, VerificationError


@dataclass(frozen=True)
class Divergence:
    """Where two engines first differ.

    Attributes:
        layer: the name of what the layer makes.
        reason: one clause for people.
        differing: number of elements that differ.
        total: number of elements compared in this layer.
        max_difference: the largest absolute difference; NaN if a NaN or a shape is in the way.
        index: of the first element that differs, the sample first; None if shapes differ.
        expected: the element there.
        got: the element there.
    """

    layer: str
    reason: str
    differing: int = 0
    total: int = 0
    max_difference: float = math.nan
    index: tuple[int, ...] | None = None
    expected: float = math.nan
    got: float = math.nan

    def __str__(self) -> str:
        return f"layer '{self.layer}': {self.reason}"


def compare(
    expected: Mapping[str, np.ndarray],
    actual: Mapping[str, np.ndarray],
    order: Iterable[str],
    tolerance: float = 0.0,
) -> Divergence | None:
    """The first layer in `order` at which `actual` leaves `expected`, or None.

    Args:
        expected: name -> array [N, ...]; must hold every name in `order`.
        actual: name -> array of the same shapes and types.
        order: the names to compare, earliest first.
        tolerance: largest absolute difference that two floats may have; 0.0 compares bits,
            so that -0.0 is not 0.0 and a NaN equals itself. Integers are always exact.
    """
    for layer in order:
        if layer not in actual:
            return Divergence(layer, "the engine did not deliver it")
        found = compare_arrays(layer, expected[layer], actual[layer], tolerance)
        if found is not None:
            return found
    return None


def compare_arrays(
    layer: str, expected: np.ndarray, got: np.ndarray, tolerance: float = 0.0
) -> Divergence | None:
    """How two arrays of one layer differ, or None; see `compare`."""
    if expected.dtype != got.dtype:
        return Divergence(layer, f"type must be {expected.dtype}, not {got.dtype}")
    if expected.shape != got.shape:
        return Divergence(layer, f"shape must be {expected.shape}, not {got.shape}")
    wrong = _differs(expected, got, tolerance)
    differing = int(np.count_nonzero(wrong))
    if not differing:
        return None
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, which max_difference may be
        distance = np.abs(expected[wrong].astype(np.float64) - got[wrong].astype(np.float64))
    want, have = expected[index].item(), got[index].item()
    return Divergence(
        layer,
        f"{differing} of {expected.size} elements differ, by {distance.max():g} at most; "
        f"the first, at {list(index)}, must be {want}, not {have}",
        differing,
        expected.size,
        float(distance.max()),
        index,
        float(want),
        float(have),
    )


def _differs(expected: np.ndarray, got: np.ndarray, tolerance: float) -> np.ndarray:
    if expected.dtype.kind != "f":
        return expected != got
    bits = np.dtype(f"u{expected.dtype.itemsize}")
    unequal = np.ascontiguousarray(expected).view(bits) != np.ascontiguousarray(got).view(bits)
    if tolerance <= 0:
        return unequal.reshape(expected.shape)
    with np.errstate(invalid="ignore"):
        distance = np.abs(expected.astype(np.float64) - got.astype(np.float64))
    return unequal.reshape(expected.shape) & ~(distance <= tolerance)


@dataclass(frozen=True)
class EngineResult:
    """How one engine did on one part.

    Attributes:
        engine: "reference", "onnxrt", "tvm", "qemu:aarch64", "golden".
        part: "edge", "cloud", "whole" or "split".
        layers: number of layers (or outputs) compared.
        samples: number of inputs that were run.
        divergence: where it first left what was expected, or None.
        fraction_differing: of all final output elements.
        obeyed: a difference is a fault. False for engines that are compared, not obeyed.
        note: what a reader must know, or "".
    """

    engine: str
    part: str
    layers: int
    samples: int
    divergence: Divergence | None
    fraction_differing: float = 0.0
    obeyed: bool = True
    note: str = ""

    @property
    def ok(self) -> bool:
        """Nothing differs that must not."""
        return self.divergence is None or not self.obeyed


@dataclass(frozen=True)
class AccuracyBaseline:
    """The accuracy that a model once had and must keep.

    Attributes:
        metric: "top1", "nmse_db", ...
        value: what was measured when the baseline was stored.
        tolerance: how much worse it may get, in the unit of the metric; not negative.
        larger_is_better: false for error rates and distances.
    """

    metric: str
    value: float
    tolerance: float
    larger_is_better: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and math.isfinite(self.tolerance)):
            raise ValueError(f"baseline of {self.metric} must be finite, not {self.value}")
        if self.tolerance < 0:
            raise ValueError(f"tolerance must not be negative, not {self.tolerance}")

    def holds(self, measured: float) -> bool:
        """Is `measured` no worse than the baseline allows? A NaN never is."""
        if self.larger_is_better:
            return measured >= self.value - self.tolerance
        return measured <= self.value + self.tolerance

    def require(self, measured: float) -> None:
        """Refuse an accuracy that fell.

        Raises:
            VerificationError: if `measured` is worse than value and tolerance allow.
        """
        if not self.holds(measured):
            bound = "at least" if self.larger_is_better else "at most"
            limit = self.value + (-1 if self.larger_is_better else 1) * self.tolerance
            raise VerificationError(
                f"{self.metric} must be {bound} {limit:g} (baseline {self.value:g}, tolerance "
                f"{self.tolerance:g}), not {measured:g}; find the change that lowered it, or "
                "store a new baseline on purpose"
            )

    def save(self, path: str | Path) -> None:
        """Write the baseline as JSON."""
        Path(path).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: str | Path) -> AccuracyBaseline:
        """Read what `save` wrote.

        Raises:
            UntrustedInputError: if the file is not a baseline.
        """
        try:
            fields: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
            return AccuracyBaseline(
                str(fields["metric"]),
                float(fields["value"]),
                float(fields["tolerance"]),
                bool(fields.get("larger_is_better", True)),
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UntrustedInputError(
                f"{path} must be an accuracy baseline (JSON with metric, value, tolerance); "
                f"{error!r} in the way"
            ) from error


@dataclass(frozen=True)
class Report:
    """One table over all engines and parts.

    Attributes:
        bundle: what was verified.
        results: in the order in which they were made.
    """

    bundle: str
    results: tuple[EngineResult, ...]

    @property
    def ok(self) -> bool:
        """Every engine that must agree does, and there is at least one."""
        return bool(self.results) and all(result.ok for result in self.results)

    @property
    def first_divergence(self) -> Divergence | None:
        """Of the first engine that differs and must not."""
        return next((r.divergence for r in self.results if not r.ok), None)

    def rows(self) -> list[dict[str, str]]:
        """One row of text per result, for a table."""
        return [
            {
                "engine": result.engine,
                "part": result.part,
                "layers": str(result.layers),
                "samples": str(result.samples),
                "verdict": _verdict(result),
                "outputs differing": f"{result.fraction_differing:.3%}",
                "first divergence": str(result.divergence or ""),
                "note": result.note,
            }
            for result in self.results
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `json`; a NaN becomes None."""
        return {
            "bundle": self.bundle,
            "ok": self.ok,
            "results": [_plain(asdict(r) | {"ok": r.ok}) for r in self.results],
        }

    def require(self) -> None:
        """Refuse a report in which an engine differs that must not.

        Raises:
            VerificationError: naming engine, part and layer.
        """
        if self.ok:
            return
        if not self.results:
            raise VerificationError(
                f"{self.bundle} must be compared with an engine, not with none; name one"
            )
        worst = next(result for result in self.results if not result.ok)
        raise VerificationError(
            f"{worst.engine} must equal the reference on {worst.part} of {self.bundle}: "
            f"{worst.divergence}"
        )


def fraction_differing(
    expected: Mapping[str, np.ndarray], actual: Mapping[str, np.ndarray]
) -> float:
    """Part of all elements that differ; an array that is absent or misshapen differs whole."""
    total = differing = 0
    for name, array in expected.items():
        total += array.size
        other = actual.get(name)
        if other is None or other.shape != array.shape or other.dtype != array.dtype:
            differing += array.size
        else:
            differing += int(np.count_nonzero(_differs(array, other, 0.0)))
    return differing / total if total else 0.0


def _verdict(result: EngineResult) -> str:
    if result.divergence is None:
        return "equal"
    return "DIFFERS" if result.obeyed else "differs (allowed)"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}  # pyright: ignore
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]  # pyright: ignore
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
