"""`joulecut doctor`: what is here, what is missing, and how to get it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from joulecut.cli.output import emit, table, verb

CORE = (
    "numpy",
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "apache-tvm",
    "apache-tvm-ffi",
    "pydantic",
    "PyYAML",
    "typer",
    "rich",
    "jinja2",
    "plotly",
)
TRAIN = ("torch", "brevitas", "onnxscript", "onnxoptimizer", "safetensors", "mlxtend")
TOOLS = {  # program -> (Debian package, what it is for)
    "gcc": ("gcc", "builds for x86-64"),
    "aarch64-linux-gnu-gcc": ("gcc-aarch64-linux-gnu", "builds for aarch64"),
    "arm-linux-gnueabihf-gcc": ("gcc-arm-linux-gnueabihf", "builds for armv7"),
    "riscv64-linux-gnu-gcc": ("gcc-riscv64-linux-gnu", "builds for riscv64"),
    "qemu-aarch64": ("qemu-user", "runs aarch64 builds here"),
    "qemu-arm": ("qemu-user", "runs armv7 builds here"),
    "qemu-riscv64": ("qemu-user", "runs riscv64 builds here"),
}
DATA = {
    "/usr/share/datasets/fashion-mnist": ("dataset-fashion-mnist", "the second data set"),
}
FFI_PIN = "0.1.14.post1"


@dataclass(frozen=True)
class Check:
    """One thing that joulecut can use."""

    name: str
    found: str | None
    needed_for: str
    fix: str


@verb
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say what is installed, what is missing, and how to get it."""
    checks = [*_packages(), *_tools()]
    if as_json:
        emit({"machine": machine_line(), "checks": [asdict(check) for check in checks]})
        return
    table(
        machine_line(),
        ("what", "found", "for", "to do"),
        [
            (check.name, check.found or "missing", check.needed_for, check.fix)
            for check in checks
        ],
        left=4,
    )


def machine_line() -> str:
    """Processor, cores and system of this machine, in one line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    return f"{cpu}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def _packages() -> list[Check]:
    checks: list[Check] = []
    for name in (*CORE, *TRAIN):
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = None
        extra = "" if name in CORE else "[train]"
        fix = "" if found else f"pip install 'joulecut{extra}'"
        if name == "torch" and not found:
            fix = "pip install torch==2.13.0, then pip install 'joulecut[train]'"
        if name == "apache-tvm-ffi" and found not in (None, FFI_PIN):
            fix = f"must be {FFI_PIN} (later ones crash): pip install apache-tvm-ffi=={FFI_PIN}"
        checks.append(Check(name, found, "everything" if name in CORE else "train", fix))
    return checks


def _tools() -> list[Check]:
    tools = [
        Check(program, path, purpose, "" if path else f"sudo apt-get install {package}")
        for program, (package, purpose) in TOOLS.items()
        for path in [shutil.which(program)]
    ]
    data = [
        Check(
            folder,
            "yes" if Path(folder).is_dir() else None,
            purpose,
            "" if Path(folder).is_dir() else f"sudo apt-get install {package}",
        )
        for folder, (package, purpose) in DATA.items()
    ]
    return [*tools, *data]
