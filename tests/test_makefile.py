"""Whatever tells people to run `make X` names a target of the Makefile that `make help` lists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMED = re.compile(r"(?:`|run:? |\n)make ([a-z]+(?:-[a-z]+)*)")
PLACES = (
    "compiler",
    "kernels",
    "targets",
    "hw",
    "zoo",
    "joulecut/cli",
    "scripts",
    "tests",
    "docs",
)


def targets() -> set[str]:
    text = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))


def texts() -> list[Path]:
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "pyproject.toml"]
    for place in PLACES:
        found += (
            path for suffix in ("py", "md") for path in (ROOT / place).rglob(f"*.{suffix}")
        )
    return found


def test_every_target_that_a_text_names_is_there() -> None:
    known = targets()
    named = {
        (name, str(path.relative_to(ROOT)))
        for path in texts()
        for name in NAMED.findall(path.read_text())
    }
    assert {"demo", "bench-cpu", "arm-sysroot"} <= {name for name, _ in named}
    assert [each for each in sorted(named) if each[0] not in known] == []


def test_no_target_is_taken_for_a_file() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert sorted(" ".join(phony).split()) == sorted(targets())
