"""How a rule says that it cannot take a node: it raises, the walk collects."""

from __future__ import annotations


class RefusedError(Exception):
    """A node is outside what a rule can do; becomes a Finding, never leaves the compiler.

    Attributes:
        reason: what is wrong, without the node's name.
        fix: what the user can do about it.
    """

    def __init__(self, reason: str, fix: str):
        self.reason, self.fix = reason, fix
        super().__init__(f"{reason}; {fix}")
