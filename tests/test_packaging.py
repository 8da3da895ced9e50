"""A wheel has every file that an installed joulecut reads: package-data lists them by hand."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("compiler", "hw", "kernels", "targets", "zoo")
ONLY_BUILDS = {"kernels/coder.c", "kernels/coder.pyx", "kernels/stubtest_allowlist.txt"}


def packaged() -> set[str]:
    """Files that package-data names, from the root of the repository."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    return {
        str(path.relative_to(ROOT))
        for package, patterns in settings["package-data"].items()
        if package != "joulecut"
        for pattern in patterns
        for path in (ROOT / package.removeprefix("joulecut.")).glob(pattern)
    }


def test_package_data_names_every_file_that_is_not_python() -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc", ".so", ".o")
    }
    assert {
        "targets/cpu/tuning/trial.c",
        "kernels/c/bits.h",
        "hw/tables/horowitz_45nm.toml",
    } <= found
    assert sorted(found - packaged()) == sorted(found & ONLY_BUILDS)
