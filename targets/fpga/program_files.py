"""A Program <-> a folder of files that a board without joulecut can load.

`program.json` says what the program is for, what goes in and out, and how that lies in memory;
`image.bin` and `descriptors.bin` are bytes as the accelerator reads them, addresses from 0. A copy
of the driver lies beside them, so the folder is all that a board needs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from joulecut.compiler.errors import ConfigError
from joulecut.hw.config import MacArrayConfig
from joulecut.hw.descriptors import pack, unpack
from joulecut.hw.regs import VERSION
from joulecut.targets.fpga.program import Program, Value
from joulecut.targets.fpga.tensors import PackedTensor, Tensor

FORMAT = 1  # of program.json
DRIVER = Path(__file__).with_name("driver.py")

_LAYOUTS: Mapping[str, type[Tensor | PackedTensor]] = {
    "planes": Tensor,
    "packed": PackedTensor,
}


def write_program(program: Program, folder: Path, *, with_driver: bool = True) -> None:
    """Writes the files of a program, and the driver, into a folder that is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "image.bin": program.image.tobytes(),
        "descriptors.bin": pack(program.descriptors),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    described = {
        "format": FORMAT,
        "registers": VERSION,
        "config": asdict(program.config),
        "size": program.size,
        "macs": program.macs,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
        "inputs": _described(program.inputs),
        "outputs": _described(program.outputs),
        "layers": _described(program.layers),
        "labels": list(program.labels),
    }
    text = json.dumps(described, indent=1)
    (folder / "program.json").write_text(text + "\n", encoding="utf-8")
    if with_driver:
        shutil.copyfile(DRIVER, folder / DRIVER.name)


def read_program(folder: Path) -> Program:
    """The program that was written.

    Raises:
        ConfigError: a file of another format, or not the one that was written.
    """
    described = json.loads((folder / "program.json").read_text(encoding="utf-8"))
    if (described["format"], described["registers"]) != (FORMAT, VERSION):
        raise ConfigError(
            f"{folder / 'program.json'} must have format {FORMAT} and registers {VERSION}, not "
            f"{described['format']} and {described['registers']}; compile the network again"
        )
    contents = {name: (folder / name).read_bytes() for name in described["sha256"]}
    for name, data in contents.items():
        if hashlib.sha256(data).hexdigest() != described["sha256"][name]:
            raise ConfigError(
                f"{folder / name} must be what program.json was written with, and is not; "
                "copy the folder again"
            )
    return Program(
        config=MacArrayConfig(**described["config"]),
        descriptors=tuple(unpack(contents["descriptors.bin"])),
        labels=tuple(described["labels"]),
        image=np.frombuffer(contents["image.bin"], np.uint8),
        size=described["size"],
        inputs=_values(described["inputs"]),
        outputs=_values(described["outputs"]),
        layers=_values(described["layers"]),
        macs=described["macs"],
    )


def _described(values: Sequence[Value]) -> list[dict[str, object]]:
    names = {kind: layout for layout, kind in _LAYOUTS.items()}
    return [
        {
            "name": value.name,
            "dtype": value.dtype.name,
            "shape": list(value.shape),
            "places": [
                {"layout": names[type(place)], **asdict(place)} for place in value.places
            ],
        }
        for value in values
    ]


def _values(described: Sequence[Mapping[str, Any]]) -> tuple[Value, ...]:
    return tuple(
        Value(
            each["name"],
            tuple(each["shape"]),
            tuple(_place(place) for place in each["places"]),
        )
        for each in described
    )


def _place(described: Mapping[str, Any]) -> Tensor | PackedTensor:
    kind = _LAYOUTS[described["layout"]]
    given = {field.name: described[field.name] for field in fields(kind)}
    if "pads" in given:
        given["pads"] = tuple(given["pads"])
    return kind(**given)
