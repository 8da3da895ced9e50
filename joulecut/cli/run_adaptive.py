"""`joulecut run` of an adaptive bundle: which cut each sample took, and what it sent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from joulecut.cli.output import emit, errors, table
from joulecut.compiler.errors import ConfigError

if TYPE_CHECKING:
    from joulecut.compiler.bundle import Bundle


def run_adaptive(
    bundle: Bundle,
    feeds: Mapping[str, np.ndarray] | None,
    rate: float | None,
    trajectory: Path | None,
    edge_device: str | None,
    cloud_device: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Run samples, each over its channel, and print a row for each cut that was taken.

    Raises:
        ConfigError: neither a rate nor a trajectory is given, or both; or they do not fit.
    """
    from joulecut.targets.adaptive.session import AdaptiveSession

    if out is not None and not out.parent.is_dir():
        raise ConfigError(f"folder '{out.parent}' must exist; make it, then run again")
    with AdaptiveSession(bundle, edge_device=edge_device, cloud_device=cloud_device) as session:
        given = session.adaptive.inputs() if feeds is None else dict(feeds)
        count = len(next(iter(given.values())))
        channels = [_seconds_per_bit(each) for each in _rates(rate, trajectory, count)]
        result = session.run(given, channels)
        names = session.adaptive.names
    if out is not None:
        with out.open("wb") as file:
            np.savez(file, allow_pickle=False, **result.outputs)
    rows: list[dict[str, Any]] = []
    for cut, name in [*enumerate(names), (None, "none keeps the bounds")]:
        sizes = [
            len(blob)
            for chosen, blob in zip(result.cuts, result.messages, strict=True)
            if chosen == cut
        ]
        if sizes:
            mean = {"value": sum(sizes) / len(sizes), "provenance": "measured"}
            rows.append({"cut": cut, "name": name, "samples": len(sizes), "bytes": mean})
    if as_json:
        emit({"samples": count, "chosen": list(result.cuts), "cuts": rows})
        return
    table(
        f"{bundle.path}: {count} samples",
        ("cut", "samples", "bytes a sample (measured)"),
        [(row["name"], row["samples"], f"{row['bytes']['value']:,.1f}") for row in rows],
    )
    if out is not None:
        errors.print(f"wrote {out}")


def _rates(rate: float | None, trajectory: Path | None, count: int) -> Sequence[float]:
    """Bits per second of each sample."""
    if (rate is None) == (trajectory is None):
        raise ConfigError(
            "--rate or --trajectory must say what the channel of an adaptive bundle carries, "
            "one of them"
        )
    if trajectory is None:
        assert rate is not None
        return [rate] * count
    try:
        rates = [float(line) for line in trajectory.read_text().split()]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"trajectory must be a file with a number a line, not '{trajectory}': {error}"
        ) from error
    if len(rates) != count:
        raise ConfigError(
            f"trajectory must have a rate for each of {count} samples, not {len(rates)}"
        )
    return rates


def _seconds_per_bit(rate: float) -> float:
    if not rate >= 0:
        raise ConfigError(f"rate must be 0 or more bit/s, not {rate}")
    return 1 / rate if rate else math.inf
