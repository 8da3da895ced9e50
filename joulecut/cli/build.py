"""`joulecut build`: compile both parts of a cut and write the bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from joulecut.cli.output import emit, errors, verb
from joulecut.cli.tune import trials_line
from joulecut.compiler.config import BuildConfig, parse_config
from joulecut.compiler.errors import ConfigError


@verb
def build(
    config: Annotated[
        Path, typer.Argument(help="A build configuration (.yaml) or a model (.onnx).")
    ],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value over the configuration.")
    ] = None,
    cut: Annotated[
        list[str] | None,
        typer.Option(help="For a model: a tensor to cut at (again for more), or auto."),
    ] = None,
    edge: Annotated[str | None, typer.Option(help="For a model: the edge's target.")] = None,
    cloud: Annotated[str | None, typer.Option(help="For a model: the cloud's target.")] = None,
    quantizer: Annotated[
        str | None, typer.Option(help="For a model: none, sq, lloyd, rdo or tcq.")
    ] = None,
    bits: Annotated[
        int | None, typer.Option(help="For a model: bits of the quantizer.")
    ] = None,
    assign: Annotated[
        str | None,
        typer.Option(help="For a model and a target with an accelerator: all, time or energy."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="For a model: the bundle to write.")] = None,
    require_integer: Annotated[
        bool, typer.Option(help="Make a node that stays in float an error.")
    ] = False,
    tune: Annotated[
        float | None,
        typer.Option(metavar="MINUTES", help="First search better tiles for so long."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Import, lower, cut, compile and bundle; the same input gives the same bytes."""
    from joulecut.targets.build import build as build_bundle

    overrides = tuple(settings or ())
    if config.suffix == ".onnx":
        if overrides:
            raise ConfigError("--set goes with a configuration (.yaml), not with a model")
        fields: dict[str, Any] = {
            "model": config,
            "out": out or config.with_suffix(".bundle"),
            "require_integer": require_integer,
        }
        fields |= {} if cut in (None, ["auto"]) else {"cut": cut}
        places = {"edge": edge, "cloud": cloud, "assign": assign}
        fields |= {key: value for key, value in places.items() if value}
        codec = {"quantizer": quantizer, "bits": bits}
        fields["codec"] = {key: value for key, value in codec.items() if value is not None}
        chosen = parse_config(fields, where="command line")
    else:
        given = {
            "--cut": cut, "--edge": edge, "--cloud": cloud, "--assign": assign, "--out": out,
            "--bits": bits,
        }  # fmt: skip
        extra = [name for name, value in given.items() if value]
        if extra:
            raise ConfigError(
                f"{', '.join(extra)} must go with a model (.onnx), not with a configuration; "
                "use --set key=value"
            )
        chosen = BuildConfig.from_yaml(config, overrides)
        if require_integer:
            chosen = chosen.model_copy(update={"require_integer": True})

    def say(step: str) -> None:
        if not as_json:
            errors.print(f"[dim]>[/] {step}")

    with trials_line() as tried:
        bundle = build_bundle(chosen, tune_minutes=tune, progress=say, tried=tried)
    if as_json:
        emit(
            {
                "bundle": str(bundle.path),
                "digest": bundle.digest,
                "bytes": sum(record.nbytes for record in bundle.files.values()),
                "cut": bundle.manifest["cut"],
                "parts": {
                    side: part["target"] for side, part in bundle.manifest["parts"].items()
                },
            }
        )
    else:
        crossing = " + ".join(bundle.manifest["cut"]["tensors"])
        errors.print(f"wrote {bundle.path} (cut at {crossing}, digest {bundle.digest[:16]})")
