"""`joulecut build`: compile both parts of a cut and write the bundle."""

from __future__ import annotations

from collections.abc import Mapping
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
    adaptive: Annotated[
        bool,
        typer.Option(
            help="For a model: hold several cuts; the edge chooses for each inference."
        ),
    ] = False,
    link: Annotated[
        str | None, typer.Option(help="With --adaptive: the radio link, such as wifi.")
    ] = None,
    objective: Annotated[
        str | None, typer.Option(help="With --adaptive: energy (default) or latency.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Import, lower, cut, compile and bundle; the same input gives the same bytes."""
    from joulecut.targets.build import build as build_bundle
    from joulecut.targets.layout import is_adaptive

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
        selection = _selection(adaptive, link, objective)
        fields |= {} if selection is None else {"selection": selection}
        fields["codec"] = {key: value for key, value in codec.items() if value is not None}
        chosen = parse_config(fields, where="command line")
    else:
        given = {
            "--cut": cut, "--edge": edge, "--cloud": cloud, "--assign": assign, "--out": out,
            "--bits": bits, "--adaptive": adaptive, "--link": link, "--objective": objective,
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
    cuts = _cuts(bundle.manifest)
    if as_json:
        emit(
            {
                "bundle": str(bundle.path),
                "digest": bundle.digest,
                "bytes": sum(record.nbytes for record in bundle.files.values()),
                **({"cuts": cuts} if is_adaptive(bundle) else {"cut": bundle.manifest["cut"]}),
                "parts": {
                    side: part["target"] for side, part in bundle.manifest["parts"].items()
                },
            }
        )
    else:
        said = f"{len(cuts)} cuts" if is_adaptive(bundle) else f"cut at {cuts[0]}"
        errors.print(f"wrote {bundle.path} ({said}, digest {bundle.digest[:16]})")


def _selection(
    adaptive: bool, link: str | None, objective: str | None
) -> dict[str, Any] | None:
    """The section `selection` of a configuration, from options; None without --adaptive."""
    if not adaptive:
        given = {"--link": link, "--objective": objective}
        if extra := [name for name, value in given.items() if value]:
            raise ConfigError(f"{extra[0]} must go with --adaptive")
        return None
    weights = {"energy": (1.0, 0.0), "latency": (0.0, 1.0)}
    if (objective or "energy") not in weights:
        raise ConfigError(f"--objective must be energy or latency, not '{objective}'")
    energy, latency = weights[objective or "energy"]
    fields: dict[str, Any] = {"energy_weight": energy, "latency_weight": latency}
    return fields | ({} if link is None else {"link": link})


def _cuts(manifest: Mapping[str, Any]) -> list[str]:
    """What crosses at each cut of a bundle."""
    if "cut" in manifest:
        return [" + ".join(manifest["cut"]["tensors"])]
    return [" + ".join(spec["name"] for spec in cut["tensors"]) for cut in manifest["cuts"]]
