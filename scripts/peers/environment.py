"""Environments of their own under out/peers, for peers that need other packages than joulecut."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "out" / "peers"


def python(name: str, packages: tuple[str, ...]) -> Path:
    """The interpreter of an environment, which is made if it is not there."""
    folder = FOLDER / name
    program = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(program), "-m", "pip", "install", "-q", *packages], check=True)
        (folder / "complete").touch()
    return program
