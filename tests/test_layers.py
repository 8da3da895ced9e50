"""Folders are layers: every import must follow the arrows and use the doors of the design."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT: dict[str, set[str]] = {
    "kernels": set(),
    "hw": set(),
    "compiler": {"kernels"},
    "targets": {"compiler", "kernels", "hw"},
    "zoo": {"compiler", "hw"},
    "joulecut": {"compiler", "kernels", "targets", "hw", "zoo"},
}
JOULECUT = (
    "joulecut/repro",
    "joulecut/sweep",
)  # folders of joulecut/ beside cli/ that use several layers (ADR 0007)
DOORS: dict[str, tuple[str, ...]] = {
    "onnx": ("compiler/",),
    "onnx_ir": ("compiler/",),
    "onnxruntime": ("compiler/",),
    "joulecut.kernels": (
        "compiler/blob_stat.py",
        "compiler/buffers.py",
        "compiler/codec.py",
        "compiler/frame.py",
        "compiler/quantizers/",
        "compiler/selection_table.py",
        "compiler/table_set.py",
        "kernels/",
    ),
    "tvm": ("targets/cpu/",),
    "torch": ("zoo/",),
    "brevitas": ("zoo/",),
    "pynq": ("targets/fpga/driver.py", "targets/fpga/simulated_device.py"),
    "grpc": ("targets/fpga/remote_board.py",),
    "optuna": ("joulecut/sweep/",),
    "distributed": ("joulecut/sweep/",),
    "dask": ("joulecut/sweep/",),
    "sqlalchemy": ("joulecut/sweep/",),
    "typer": ("joulecut/",),
    "rich": ("joulecut/",),
}


def sources() -> list[Path]:
    found: list[Path] = []
    for folder in ("kernels", "hw", "compiler", "targets", "zoo", "joulecut/cli", *JOULECUT):
        found += sorted((ROOT / folder).rglob("*.py"))
    return [*found, ROOT / "joulecut/__init__.py"]


def type_checking_only(tree: ast.Module) -> set[ast.AST]:
    """Nodes under `if TYPE_CHECKING:`, which never run."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }


def imports(path: Path) -> set[str]:
    """Every module that the file imports, with the names it takes from joulecut's packages."""
    tree = ast.parse(path.read_text())
    skipped = type_checking_only(tree)
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports must be absolute"
            module = node.module or ""
            found.add(module)
            if module == "joulecut":
                found |= {f"joulecut.{alias.name}" for alias in node.names}
    return found


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path):
    folder = path.relative_to(ROOT).parts[0]
    for module in imports(path):
        parts = module.split(".")
        assert parts[0] not in MAY_IMPORT or parts[0] == "joulecut", (
            f"{path.name} must import joulecut.{module}, not the bare folder {module}"
        )
        if parts[0] == "joulecut":
            assert len(parts) > 1 or folder == "joulecut", (
                f"{path.name} imports the public face"
            )
            if len(parts) > 1 and parts[1] != folder:
                assert parts[1] in MAY_IMPORT[folder] or (
                    folder == "joulecut"
                    and f"joulecut/{parts[1]}" in ("joulecut/cli", *JOULECUT)
                ), f"{folder}/ must not import {module}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_each_dependency_has_one_door(path: Path):
    relative = str(path.relative_to(ROOT))
    for module in imports(path):
        for package, doors in DOORS.items():
            if is_within(module, package):
                assert relative.startswith(doors), f"{relative} must not import {module}"


def test_a_planted_import_is_seen(tmp_path: Path):
    planted = tmp_path / "planted.py"
    planted.write_text("def f():\n    import tvm.te\n    from joulecut import zoo\n")
    assert imports(planted) >= {"tvm.te", "joulecut.zoo"}


def test_importing_joulecut_is_light():
    code = (
        "import sys, joulecut; joulecut.__version__;"
        "heavy = {'tvm', 'torch', 'onnx', 'onnxruntime', 'brevitas'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, cwd=ROOT.parent)
