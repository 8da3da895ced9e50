"""Steps that Dask workers import in the tests of the engine: cheap, and killed on demand."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.sweep.job import Job, job
from joulecut.sweep.search import Point, Problem

Results = Sequence[Mapping[str, Any]]

GRID = Problem(
    "grid",
    {"x": ["0", "1", "2", "3"], "y": ["0", "1", "2"]},
    {"a": "minimize", "b": "maximize"},
)


def values(a: float, b: float) -> dict[str, Any]:
    """What a trial of the tests finds."""
    return {"quantities": {"a": [a, "1", "modelled"], "b": [b, "1", "measured"]}}


def plane(
    arguments: Mapping[str, Any], results: Results, boards: Sequence[str]
) -> dict[str, Any]:
    """Two objectives that pull apart, after a while, the calls counted in a file."""
    del results, boards
    x, y = int(arguments["x"]), int(arguments["y"])
    if "calls" in arguments:
        with Path(arguments["calls"]).open("a") as file:
            file.write(f"{x},{y}\n")
    time.sleep(arguments.get("seconds", 0.0))
    return values(x + y, x * (3 - y))


def plane_job(point: Point, **arguments: Any) -> Job:
    """The job of a point of `GRID`."""
    return job(plane, {**point, **arguments})


def stuck_once(
    arguments: Mapping[str, Any], results: Results, boards: Sequence[str]
) -> dict[str, Any]:
    """As `plane`, but who comes first to one point says so in a file and waits to be killed."""
    if arguments["stuck_at"] == [arguments["x"], arguments["y"]]:
        mark = Path(arguments["mark"])
        try:
            with mark.open("x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:
            pass  # the second time
        else:
            time.sleep(600)
    return plane(arguments, results, boards)


def deadly(
    arguments: Mapping[str, Any], results: Results, boards: Sequence[str]
) -> dict[str, Any]:
    """Ends the whole worker process at one point, every time."""
    if arguments["x"] == arguments["deadly_x"]:
        os._exit(1)
    return plane(arguments, results, boards)


def flaky(
    arguments: Mapping[str, Any], results: Results, boards: Sequence[str]
) -> dict[str, Any]:
    """Fails by a device so many times, counted in a folder, then works."""
    folder = Path(arguments["folder"])
    failures = len(list(folder.iterdir()))
    if failures < arguments["failures"]:
        (folder / str(failures)).touch()
        raise DeviceError(f"board is rebooting ({failures})")
    return plane({"x": 1, "y": 1}, results, boards)


def refusing(
    arguments: Mapping[str, Any], results: Results, boards: Sequence[str]
) -> dict[str, Any]:
    """Refuses one x for good."""
    if arguments["x"] == arguments["refused_x"]:
        raise ConfigError(f"x must not be {arguments['x']}")
    return plane(arguments, results, boards)


def summing(
    arguments: Mapping[str, Any], results: Results, boards: Sequence[str]
) -> dict[str, Any]:
    """The sum of what it needs."""
    del arguments, boards
    return values(sum(result["quantities"]["a"][0] for result in results), 0.0)


def on_board(
    arguments: Mapping[str, Any], results: Results, boards: Sequence[str]
) -> dict[str, Any]:
    """Uses a board for a while and says when."""
    started = time.monotonic()
    time.sleep(arguments["seconds"])
    notes = {"board": boards[0], "started": started, "ended": time.monotonic()}
    return {**plane(arguments, results, boards), "notes": notes}
