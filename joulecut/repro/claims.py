"""What a paper says beside what we find, and whether the two are the same.

A verdict is computed from the two figures and a tolerance that was fixed before, never written
down: a claim outside its tolerance is missed, unless its reason was known and is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.profile import Quantity

Verdict = Literal["reproduced", "approximated", "not reproducible", "missed"]


@dataclass(frozen=True)
class Claim:
    """One entry of a paper's table or figure, or one sentence of its text.

    Attributes:
        entry: where it stands: "Table III, 15 kHz, PS, E".
        paper: what the paper says, as it is printed, with its unit.
        ours: what we find, with its unit.
        provenance: of ours: measured, simulated, modelled or assumed.
        verdict: reproduced; approximated or not reproducible, both with a reason; or missed.
        reason: why ours differs; "" if it does not.
    """

    entry: str
    paper: str
    ours: str
    provenance: str
    verdict: Verdict
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def figure(
    entry: str,
    paper: float,
    ours: Quantity,
    *,
    tolerance: float,
    reason: str = "",
    reproducible: bool = True,
) -> Claim:
    """A claim about a number.

    Args:
        entry: where it stands.
        paper: what is printed, in the unit of `ours`.
        ours: what we find.
        tolerance: how far ours may be from the paper's, as a fraction of the paper's.
        reason: why ours may differ by more; makes such a difference an approximation.
        reproducible: False: the paper contradicts itself or leaves out what decides the number;
            then there must be a reason.

    Raises:
        ConfigError: something that is not reproducible has no reason.
    """
    near = abs(ours.value - paper) <= tolerance * abs(paper)
    return Claim(
        entry,
        f"{paper:.4g} {ours.unit}".removesuffix(" 1"),
        f"{ours.value:.4g} {ours.unit}".removesuffix(" 1"),
        ours.provenance,
        *_verdict(near, reason, reproducible, entry),
    )


def statement(
    entry: str,
    paper: str,
    ours: str,
    *,
    holds: bool,
    provenance: str = "measured",
    reason: str = "",
    reproducible: bool = True,
) -> Claim:
    """A claim in words.

    Args:
        entry: where it stands.
        paper: what it says.
        ours: what we find.
        holds: whether what we find bears it out.
        provenance: of what we find.
        reason: why it need not hold here; makes that an approximation.
        reproducible: as for `figure`.

    Raises:
        ConfigError: something that is not reproducible has no reason.
    """
    return Claim(entry, paper, ours, provenance, *_verdict(holds, reason, reproducible, entry))


def missed(claims: Sequence[Claim]) -> list[Claim]:
    """Those that should hold and do not."""
    return [claim for claim in claims if claim.verdict == "missed"]


def _verdict(holds: bool, reason: str, reproducible: bool, entry: str) -> tuple[Verdict, str]:
    if not reproducible:
        if not reason:
            raise ConfigError(f"'{entry}' must have a reason why it is not reproducible")
        return "not reproducible", reason
    if holds:
        return "reproduced", ""
    return ("approximated", reason) if reason else ("missed", "")
