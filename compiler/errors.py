"""Every error a user can meet, with the exit code of the command line that it maps to.

Messages say "X must be Y, not Z", name the node, tensor, file or offset, and then what to do.
"""

from __future__ import annotations

from dataclasses import dataclass


class JoulecutError(Exception):
    """Root of all errors that joulecut raises on purpose."""

    exit_code = 2


class VerificationError(JoulecutError):
    """Two engines disagree, or an accuracy fell below its baseline."""

    exit_code = 1


class ConfigError(JoulecutError, ValueError):
    """A configuration, an option or an argument is not usable."""

    exit_code = 2


class CutError(ConfigError):
    """The requested tensors do not sever the graph."""


@dataclass(frozen=True)
class Finding:
    """One thing that joulecut cannot do with a model, and the nearest way out."""

    node: str
    op_type: str
    reason: str
    fix: str

    def __str__(self) -> str:
        return f"{self.op_type} '{self.node}': {self.reason}; {self.fix}"


class UnsupportedError(JoulecutError):
    """A model or a target is outside what joulecut supports; lists every finding at once."""

    exit_code = 3

    def __init__(self, message: str, findings: tuple[Finding, ...] = ()):
        self.findings = findings
        super().__init__("\n  ".join([message, *map(str, findings)]))


class DeviceError(JoulecutError):
    """A device, an emulator, a tool chain or a transport did not do its part."""

    exit_code = 4


class UntrustedInputError(JoulecutError, ValueError):
    """A file is corrupt or hostile: a model, a bundle or a coded tensor."""

    exit_code = 5
