"""What goes wrong around the accelerator's source."""

from __future__ import annotations


class RtlToolError(RuntimeError):
    """A tool that reads the accelerator's source is missing, or refuses the source."""
