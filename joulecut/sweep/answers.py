"""What the ledger says to whoever asks to run a content hash, and what a worker says after."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Claimed:
    """The caller has the lease and must run it now, for the `attempt`-th time."""

    attempt: int


@dataclass(frozen=True)
class Busy:
    """Somebody else is at it; their lease ends in so many seconds unless they renew it."""

    seconds: float
    holder: str


@dataclass(frozen=True)
class Done:
    """There is a result."""


@dataclass(frozen=True)
class Failed:
    """It was given up."""

    reason: str


@dataclass(frozen=True)
class Again:
    """It did not come to an end and may be run again."""

    reason: str
