"""A part and a target => better tiles for its convolutions, in a database."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph
from joulecut.targets.base import Target
from joulecut.targets.cpu.build import kernels_of, tiling_of
from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.kernels import Choice, Kernels
from joulecut.targets.cpu.nhwc.signature import signature
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.part import lower_part
from joulecut.targets.cpu.tuning.candidates import candidates
from joulecut.targets.cpu.tuning.costs import Scale, scale_of
from joulecut.targets.cpu.tuning.database import (
    Database,
    key_of,
    known,
    read,
    store,
    user_path,
)
from joulecut.targets.cpu.tuning.search import Subject, Trials, search
from joulecut.targets.cpu.tuning.trial import trial

OTHER_BYTES = 8 << 20  # at most so much of a network is read between two runs of a kernel


def tune(
    graph: Graph,
    place: Target,
    minutes: float,
    *,
    db: Path | None = None,
    by: str | None = None,
    progress: Callable[[Trials], None] = lambda _: None,
) -> Database:
    """Search tiles for the convolutions of a part; results are stored as they come.

    Args:
        graph: integer Graph.
        place: what it is built for.
        minutes: when to stop; 0 tries nothing.
        db: the database that is read and written; None: the user's.
        by: "time" or "counts"; see `scale_of`.
        progress: is told after each trial.

    Returns:
        What is known now of the part's convolutions, by signature.

    Raises:
        ConfigError: the target has no tiles, or an argument does not fit.
        VerificationError: a kernel computes something else than the default.
        DeviceError: a tool is missing or a kernel does not run.
    """
    require_minutes(minutes)
    key_of(place)  # refuses a target without tiles
    kernels, scale = kernels_of(place), scale_of(place, by)
    assert kernels is not None
    path = user_path(place) if db is None else db
    before = known(place) if db is None else read(path)
    works = convolutions(graph, place, kernels)
    chosen = subjects(works, kernels, before)
    defaults = {subject.signature: subject.default for subject in chosen}
    going_on = {
        name: found
        for name, found in before.items()
        if found.how == scale.how and found.default == defaults.get(name)
    }
    other = min(OTHER_BYTES, sum(work.weights.size for work in works))
    with tempfile.TemporaryDirectory(prefix="joulecut-tune-") as scratch:
        return search(
            chosen,
            _costs(Path(scratch), kernels, place, scale, other),
            going_on,
            lambda name, found: store(path, name, found),
            60 * minutes,
            unit=scale.unit,
            how=scale.how,
            progress=progress,
        )


def require_minutes(minutes: float) -> None:
    """Refuse what is no length of time; raises ConfigError."""
    if not 0 <= minutes < float("inf"):
        raise ConfigError(f"minutes of tuning must be 0 or more, not {minutes:g}")


def convolutions(graph: Graph, place: Target, kernels: Kernels) -> list[Conv]:
    """What a part computes with tiles, in order; the same shape may come again."""
    found: list[Conv] = []

    def note(work: Conv) -> Tile:
        found.append(work)
        return kernels.tile_of(work)

    lower_part(graph, tiling_of(place), replace(kernels, tile_of=note, tuned={}))
    return found


def subjects(works: Sequence[Conv], kernels: Kernels, before: Database) -> list[Subject]:
    """Convolutions by signature; what other searches found best is tried first."""
    kinds: dict[str, list[Conv]] = {}
    for work in works:
        kinds.setdefault(signature(work), []).append(work)
    found: list[Subject] = []
    for name, (work, *more) in kinds.items():
        default, some = kernels.default_of(work), candidates(work, kernels)
        first = before[name].best if name in before and before[name].best != default else None
        if first is not None:
            some.setdefault(first, 1.0)
        found.append(Subject(name, work, 1 + len(more), default, some, first))
    return found


def _costs(
    folder: Path, kernels: Kernels, place: Target, scale: Scale, other_bytes: int
) -> Callable[[Conv, Sequence[Choice]], tuple[float, ...]]:
    def costs(work: Conv, choices: Sequence[Choice]) -> tuple[float, ...]:
        made = trial(work, choices, kernels, place, folder / "trial", other_bytes)
        return scale.costs(made)

    return costs
