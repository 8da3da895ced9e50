"""Generated frames: the same for a seed, of unit power, and what their names say."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from joulecut.zoo.data import modulations
from joulecut.zoo.data.modulations import SAMPLES, constellation, frames, frames_of


def test_frames_repeat_for_a_seed():
    (x, labels), (again, _), (other, _) = frames(3, 7), frames(3, 7), frames(3, 8)
    assert x.shape == (33, 2, SAMPLES)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(labels, np.repeat(np.arange(11), 3))
    np.testing.assert_array_equal(x, again)
    assert (np.abs(x - other).max(axis=(1, 2)) > 0.1).all()


def test_every_frame_has_unit_power():
    x, _ = frames(4, 0)
    np.testing.assert_allclose((x.astype(np.float64) ** 2).sum(1).mean(1), 1, rtol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 249, 250, 251])
def test_any_number_of_frames(count: int):
    assert frames_of("BPSK", count, np.random.default_rng(0), 30.0).shape == (count, 2, SAMPLES)


@pytest.mark.parametrize(
    ("name", "points"),
    [("BPSK", 2), ("QPSK", 4), ("8PSK", 8), ("16QAM", 16), ("64QAM", 64), ("PAM4", 4)],
)
def test_constellations_have_unit_power_and_no_mean(name: str, points: int):
    symbols = constellation(name)
    assert len(set(np.round(symbols, 9))) == points
    assert abs((np.abs(symbols) ** 2).mean() - 1) < 1e-12
    assert abs(symbols.mean()) < 1e-12


def test_pulses_have_their_areas():
    assert abs((modulations.root_raised_cosine() ** 2).sum() - 1) < 1e-12
    pulse = modulations.gaussian_pulse()
    assert abs(pulse.sum() - 0.5) < 1e-12
    np.testing.assert_allclose(pulse, pulse[::-1], atol=1e-15)


def test_root_raised_cosines_have_no_crosstalk():
    """Matched with itself, the pulse vanishes at the other symbols, but for its short span."""
    h = modulations.root_raised_cosine()
    twice = np.convolve(h, h)[::8]
    others = np.delete(twice, len(twice) // 2)
    assert abs(twice[len(twice) // 2] - 1) < 1e-12
    assert np.abs(others).max() < 0.05


def spread(name: str, snr_db: float) -> float:
    """Standard deviation of the magnitude within a frame, on average."""
    x = frames_of(name, 40, np.random.default_rng(0), snr_db)
    return float(np.hypot(x[:, 0], x[:, 1]).std(axis=1).mean())


def test_frequency_modulations_have_steadier_magnitudes():
    steady = max(spread(name, 30) for name in ("GFSK", "CPFSK", "B-FM"))
    assert steady < 0.8 * min(spread(name, 30) for name in ("16QAM", "64QAM", "PAM4"))


def test_noise_follows_the_ratio():
    """With 0 dB half of the power is noise, which has no preferred frequency."""

    def outside(snr_db: float) -> float:
        x = frames_of("QPSK", 40, np.random.default_rng(0), snr_db)
        power = np.abs(np.fft.fft(x[:, 0] + 1j * x[:, 1])) ** 2
        cycles = np.abs(np.fft.fftfreq(SAMPLES))
        return float(power[:, cycles > 0.2].sum() / power.sum())

    assert abs(outside(0) - 0.6 / 2) < 0.02
    assert outside(30) < 0.01


def test_generating_imports_no_torch():
    code = (
        "import sys; from joulecut.zoo.data.modulations import frames; frames(1, 0); "
        "print([name for name in ('torch', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"
