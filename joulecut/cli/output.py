"""How verbs speak: tables and progress for people, one JSON document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, NoReturn, ParamSpec

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from joulecut.compiler.errors import ConfigError, JoulecutError
from joulecut.hw.energy_table import EnergyTableError
from joulecut.hw.radio import RadioError

P = ParamSpec("P")

errors = Console(stderr=True, highlight=False, soft_wrap=True)


def console() -> Console:
    """Standard output, wide enough in a pipe that no table is cut."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def verb(function: Callable[P, None]) -> Callable[P, None]:
    """Map the errors that joulecut raises on purpose to messages and exit codes."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except (EnergyTableError, RadioError) as error:  # hw/ knows no exit codes
            _fail(str(error), ConfigError.exit_code)
        except JoulecutError as error:
            _fail(str(error), error.exit_code)

    return run


def emit(document: Mapping[str, Any]) -> None:
    """Print the one JSON document of a verb called with --json."""
    sys.stdout.write(json.dumps(document, indent=2, sort_keys=False) + "\n")


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], left: int = 1
) -> None:
    """Print a table; the first `left` columns hold words, the others numbers."""
    shown = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for index, column in enumerate(columns):
        shown.add_column(column, justify="left" if index < left else "right", overflow="fold")
    for row in rows:
        shown.add_row(*(_escape(str(cell)) for cell in row))
    console().print(shown)


@contextmanager
def progress(label: str) -> Generator[Callable[[int, int], None]]:
    """A progress bar on a terminal; silence in a pipe. Yields `advance(done, total)`."""
    bar = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with bar:
        task = bar.add_task(label, total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


def _fail(text: str, exit_code: int) -> NoReturn:
    errors.print(f"[bold red]joulecut:[/] {_escape(text)}")
    raise typer.Exit(exit_code)


def _escape(text: str) -> str:
    """Keep rich from reading tensor names in brackets as markup."""
    return text.replace("[", r"\[")
