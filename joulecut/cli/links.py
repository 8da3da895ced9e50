"""How verbs are told what link there is: a preset, and what shall be different of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from joulecut.compiler.errors import ConfigError

if TYPE_CHECKING:
    from joulecut.hw.fading import ErgodicLink
    from joulecut.hw.radio import RadioLink

FADINGS = ("none", "rayleigh", "rician")


def link_of(
    name: str,
    *,
    bandwidth_hz: float | None = None,
    power_w: float | None = None,
    gain: float = 1.0,
    fading: str = "none",
    k_factor: float | None = None,
    blocklength: int | None = None,
    error_probability: float | None = None,
) -> RadioLink | ErgodicLink:
    """The link.

    Args:
        name: of a preset, docs/energy.md.
        bandwidth_hz: in place of the preset's.
        power_w: likewise.
        gain: |h|^2, times the preset's.
        fading: "none", "rayleigh" or "rician".
        k_factor: of Rician fading, a ratio.
        blocklength: complex symbols of a code word; None: Shannon's rate.
        error_probability: of a word, with a blocklength.

    Raises:
        ConfigError: options do not fit each other.
        RadioError: the link is not physical, or has no such name.
    """
    from joulecut.hw.fading import ErgodicLink
    from joulecut.hw.links import load_link

    if fading not in FADINGS:
        raise ConfigError(f"--fading must be one of {', '.join(FADINGS)}, not '{fading}'")
    if (fading == "rician") != (k_factor is not None):
        raise ConfigError(
            f"--k-factor must come with --fading rician and only then, not with '{fading}'"
        )
    preset = load_link(name).link
    link = replace(
        preset,
        bandwidth_hz=preset.bandwidth_hz if bandwidth_hz is None else bandwidth_hz,
        power_w=preset.power_w if power_w is None else power_w,
        gain=preset.gain * gain,
        blocklength=blocklength,
        error_probability=error_probability,
    )
    return link if fading == "none" else ErgodicLink(link, k_factor or 0.0)
