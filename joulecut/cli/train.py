"""`joulecut train`: train the digit network with Brevitas and export it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from joulecut.cli.output import emit, errors, verb
from joulecut.compiler.errors import ConfigError


@verb
def train(
    out: Annotated[Path, typer.Option("--out", help="The ONNX file to write.")],
    dataset: Annotated[str, typer.Option(help="mnist or fashion-mnist.")] = "mnist",
    weight_bits: Annotated[int, typer.Option(help="2 to 8.")] = 8,
    activation_bits: Annotated[int, typer.Option(help="2 to 8.")] = 8,
    float_epochs: Annotated[int, typer.Option(help="Epochs before quantization.")] = 8,
    quantized_epochs: Annotated[int, typer.Option(help="Epochs with quantizers.")] = 2,
    train_count: Annotated[
        int | None, typer.Option(help="Learn from the first so many images only.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and shifts.")] = 0,
    dialect: Annotated[str, typer.Option(help="qcdq or qonnx.")] = "qcdq",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train the digit network of four convolutions and five dense layers, and export it.

    A training that was stopped goes on from its checkpoint beside the ONNX file.
    """
    if dialect not in ("qcdq", "qonnx"):
        raise ConfigError(f"dialect must be qcdq or qonnx, not '{dialect}'")
    try:
        from joulecut.zoo.export import export_qcdq, export_qonnx
        from joulecut.zoo.train import (
            DATASETS,
            Epoch,
            TrainConfig,
            load_trained,
        )
        from joulecut.zoo.train import train as train_network
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"training must have the package {missing.name}, which is not installed; "
            "run: pip install torch==2.13.0, then pip install 'joulecut[train]'"
        ) from missing

    def show(epoch: Epoch) -> None:
        errors.print(
            f"epoch {epoch.index}/{epoch.count} {epoch.phase}: loss {epoch.loss:.4f}, "
            f"held-out accuracy {epoch.accuracy:.4f}, {epoch.seconds:.1f} s"
        )

    config = TrainConfig(
        directory=out.parent / f"{out.stem}.training",
        dataset=cast("Literal['mnist', 'fashion-mnist']", dataset),
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        seed=seed,
        float_epochs=float_epochs,
        quantized_epochs=quantized_epochs,
        train_count=train_count,
    )
    result = train_network(config, (lambda _epoch: None) if as_json else show)
    example = DATASETS[config.dataset]().held_out.images[:1]
    export = export_qcdq if dialect == "qcdq" else export_qonnx
    export(load_trained(result.path), example, out)
    if as_json:
        emit({"model": str(out), "accuracy": result.accuracy, "seconds": result.seconds})
    else:
        errors.print(f"wrote {out}: held-out accuracy {result.accuracy:.4f} (measured)")
