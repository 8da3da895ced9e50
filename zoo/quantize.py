"""`joulecut.quantize`: a float network, in an ONNX file or in torch, as an integer Graph."""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.post_training.arrays import UNNAMED, Source, held_arrays, open_arrays
from joulecut.compiler.post_training.ranges import Method
from joulecut.compiler.post_training.stage import Options, Quantized, Walk, quantized, silence

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from joulecut.compiler.graph import Graph

    FloatModel = str | os.PathLike[str] | nn.Module
    Data = str | os.PathLike[str] | np.ndarray | Mapping[str, np.ndarray]

_INPUT_NAME = "x"


def quantize(
    float_model: FloatModel,
    data: Data,
    *,
    out: str | os.PathLike[str] | None = None,
    report: str | os.PathLike[str] | None = None,
    check: Data | None = None,
    method: Method = Options.method,
    percentile: float = Options.percentile,
    samples: int | None = Options.samples,
    activations: Literal["int8", "uint8"] = Options.activations,
    bias_correction: bool = Options.bias_correction,
    shapes: Mapping[str, Sequence[int]] | None = None,
    require_integer: bool = False,
    walk: Walk = silence,
) -> Graph:
    """Quantize a float network after training.

    Args:
        float_model: an ONNX file, or a torch module, which stays as it is.
        data: samples to calibrate with, float32 [N, ...]: one array, one for each input by
            name, or a .npz or .npy file of such.
        out: where to write the quantized network, QDQ in standard ONNX.
        report: where to write what it cost, as JSON (docs/quantize.md).
        check: held-out samples for the report; an array `y` beside the inputs holds labels.
        method: how to choose ranges: minmax, percentile or mse.
        percentile: of the method of that name.
        samples: use at most so many, evenly spread; None uses all.
        activations: type of the codes.
        bias_correction: make up for shifted means.
        shapes: dimensions of inputs by name, instead of the file's.
        require_integer: refuse a network in which a node would stay in float.
        walk: opens a progress display for each walk over the samples.

    Returns:
        The integer Graph, as `pipeline(load(out))` gives it.

    Raises:
        ConfigError: data or options do not fit the model.
        UntrustedInputError: the file is damaged or contradicts itself.
        UnsupportedError: the model has nodes that joulecut cannot take, all at once.
    """
    options = Options(
        method=method,
        percentile=percentile,
        samples=samples,
        activations=activations,
        bias_correction=bias_correction,
        shapes=shapes or {},
        require_integer=require_integer,
    )
    calibration = _arrays(data)
    held_out = None if check is None else _arrays(check)
    for path in (out, report):
        if path is not None and not Path(path).absolute().parent.is_dir():
            raise ConfigError(
                f"folder '{Path(path).parent}' must exist; make it, then run again"
            )
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(float_model, str | os.PathLike):
            path = Path(float_model)
        else:
            path = _exported(float_model, calibration, Path(folder))
        found = quantized(path, calibration, options, check=held_out, walk=walk)
    _write(found, out, report)
    return found.graph


def _arrays(data: Data) -> dict[str, Source]:
    return open_arrays(Path(data)) if isinstance(data, str | os.PathLike) else held_arrays(data)


def _exported(module: Any, calibration: Mapping[str, Source], folder: Path) -> Path:
    """The module as a float ONNX file; inputs have the names of the arrays."""
    try:
        from torch import nn

        from joulecut.zoo.export import export_float
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"a torch module must be exported by torch and brevitas, and {missing.name} is not "
            "installed; run: pip install 'joulecut[train]'"
        ) from missing
    if not isinstance(module, nn.Module):
        raise ConfigError(
            f"float model must be an ONNX file or a torch module, not {type(module).__name__}"
        )
    names = {name: _INPUT_NAME if name == UNNAMED else name for name in calibration}
    empty = [name for name, source in calibration.items() if source.shape[0] < 1]
    if empty:
        raise ConfigError("calibration must have at least 1 sample, not none")
    example = {
        names[name]: next(source.rows(range(1))).copy() for name, source in calibration.items()
    }
    # A copy: the module keeps its mode, its type and its device.
    twin = copy.deepcopy(module).cpu().float()
    return export_float(twin, example, folder / f"{type(module).__name__}.onnx")


def _write(
    found: Quantized,
    out: str | os.PathLike[str] | None,
    report: str | os.PathLike[str] | None,
) -> None:
    if out is not None:
        Path(out).write_bytes(found.model.SerializeToString(deterministic=True))
    if report is not None:
        Path(report).write_text(json.dumps(found.report.to_dict(), indent=2) + "\n")
