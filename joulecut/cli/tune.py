"""`joulecut tune`: search the tiles of a model's layers that are fastest on a target."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from joulecut.cli.output import emit, errors, table, verb

if TYPE_CHECKING:
    from joulecut.targets.cpu.tuning.search import Trials


@verb
def tune(
    model: Annotated[Path, typer.Argument(help="A quantized model (.onnx).")],
    target: Annotated[str, typer.Option(help="Where it will run.")],
    minutes: Annotated[float, typer.Option(help="How long to search at most.")],
    db: Annotated[
        Path | None,
        typer.Option(help="The database to read and write; default: the user's."),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="time (here) or counts (qemu); default: what fits.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Try tiles in the order of what they may save; the next build takes what was found."""
    from joulecut.compiler.load import load
    from joulecut.compiler.pipeline import pipeline
    from joulecut.targets.base import target as target_of
    from joulecut.targets.cpu.tuning.database import user_path
    from joulecut.targets.cpu.tuning.tune import tune as search

    place = target_of(target)
    graph = pipeline(load(model))
    with trials_line() as tried:
        found = search(graph, place, minutes, db=db, by=by, progress=tried)
    path = user_path(place) if db is None else db
    rows = [
        {
            "signature": name,
            "tile": str(one.best),
            "default": str(one.default),
            "cost": one.cost,
            "default_cost": one.default_cost,
            "unit": one.unit,
            "how": one.how,
            "tried": len(one.tried),
        }
        for name, one in found.items()
    ]
    if as_json:
        emit({"model": str(model), "target": place.name, "db": str(path), "found": rows})
        return
    for how in dict.fromkeys(one.how for one in found.values()):
        table(
            f"tiles for {place.name} ({how})",
            ["layer", "tile", "default", "gain", "cost", "tried"],
            [
                [
                    name,
                    one.best if one.is_better else "the default",
                    one.default,
                    f"{1 / one.ratio:.2f}x",
                    f"{one.cost:.0f} {one.unit}",
                    len(one.tried),
                ]
                for name, one in found.items()
                if one.how == how
            ],
            left=3,
        )
    errors.print(f"{len(found)} results are in {path}" if found else "nothing was tried")


@contextmanager
def trials_line() -> Generator[Callable[[Trials], None]]:
    """A line on a terminal that says where a search is; silence in a pipe."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with errors.status("") as line:

        def show(trials: Trials) -> None:
            found = trials.found
            line.update(
                f"{trials.signature}: {found.cost:.0f} {found.unit} with {found.best}, "
                f"{1 / found.ratio:.2f}x the default; {len(found.tried)} tried, "
                f"{trials.done} of {trials.subjects} layers done, {trials.left_s:.0f} s left"
            )

        yield show
