"""`joulecut repro PAPER`: a paper's figures beside ours, each with a verdict."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from joulecut.cli.output import emit, errors, table, verb
from joulecut.compiler.errors import ConfigError, VerificationError

if TYPE_CHECKING:
    from joulecut.repro.study import Reproduction

    Run = Callable[[Path, bool, Callable[[str], None]], Reproduction]

# name: module with `reproduce(directory, quick, progress)`
PAPERS: dict[str, str] = {
    "energy-split": "joulecut.repro.energy_split",
    "split-vgg": "joulecut.repro.split_vgg",
}


@verb
def repro(
    paper: Annotated[str, typer.Argument(help=f"One of {', '.join(PAPERS)}.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the page, tables and what was trained.")
    ] = None,
    quick: Annotated[
        bool, typer.Option(help="Less data and less training: to see that it runs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Reproduce a paper: ours beside the paper's, reproduced or not, and why not.

    A run that was stopped goes on where it was. Exit code 1: a claim that should hold does not.
    """
    if paper not in PAPERS:
        raise ConfigError(f"paper must be one of {', '.join(PAPERS)}, not '{paper}'")
    try:
        run: Run = import_module(PAPERS[paper]).reproduce
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"reproducing a paper must have the package {missing.name}, which is not installed; "
            "run: pip install torch==2.13.0, then pip install 'joulecut[train]'"
        ) from missing
    from joulecut.repro.claims import missed
    from joulecut.repro.write import write

    directory = out or Path("out") / "repro" / paper
    done = run(directory, quick, lambda step: errors.print(f"[dim]>[/] {step}"))
    page = write(done, directory)
    if as_json:
        emit(
            {
                "paper": paper,
                "title": done.title,
                "page": str(page),
                "claims": [claim.to_dict() for claim in done.claims],
            }
        )
    else:
        table(
            done.title,
            ("entry", "paper", "ours", "how", "verdict", "reason"),
            [
                (c.entry, c.paper, c.ours, c.provenance, c.verdict, c.reason)
                for c in done.claims
            ],
            left=6,
        )
        errors.print(f"wrote {page}")
    short = missed(done.claims)
    if short:
        raise VerificationError(
            f"{len(short)} of {len(done.claims)} claims must hold and do not: "
            f"{', '.join(claim.entry for claim in short)}"
        )
