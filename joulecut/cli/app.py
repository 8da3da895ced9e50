"""The application that gathers the verbs."""

from __future__ import annotations

from typing import Annotated

import typer

from joulecut.cli import (
    analyze,
    build,
    codec,
    doctor,
    profile,
    quantize,
    repro,
    run,
    sweep,
    train,
    tune,
    verify,
)

app = typer.Typer(
    name="joulecut",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("analyze")(analyze.analyze)
app.command("quantize")(quantize.quantize)
app.command("build")(build.build)
app.command("tune")(tune.tune)
app.command("verify")(verify.verify)
app.command("profile")(profile.profile)
app.command("run")(run.run)
app.command("train")(train.train)
app.command("repro")(repro.repro)
app.command("sweep")(sweep.sweep)
app.add_typer(codec.app, name="codec")
app.command("doctor")(doctor.doctor)


def _version(value: bool) -> None:
    if value:
        import joulecut

        typer.echo(f"joulecut {joulecut.__version__}")
        raise typer.Exit


@app.callback()
def joulecut_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Cut a quantized network in two, compress what crosses, build each half, know the cost."""


def main() -> None:
    """Entry point of the `joulecut` command."""
    app()
