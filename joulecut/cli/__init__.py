"""The command line: one file per verb, each a thin layer over the public Python calls.

Every verb takes `--json`, shows progress on a terminal and none in a pipe, and ends with an exit
code of the contract: 0 ok, 1 a check failed, 2 usage, 3 unsupported, 4 device, 5 corrupt input.
"""

from __future__ import annotations

from joulecut.cli.app import main

__all__ = ["main"]
