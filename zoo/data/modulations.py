"""Frames of eleven modulations through a fading channel, generated from a seed.

Transmitter and receiver follow the published example that the modulation networks were made for
(MathWorks, "Modulation Classification with Deep Learning"): 200 kHz, 8 samples a symbol, frames
of 1,024 samples and unit power; a Rician channel of three paths, a receiver whose clock is up to
5 ppm off, white noise. What the analog classes carry is noise with the spectrum of speech, where
the example has a recording. This is enough to train a network whose weights and activations are
real ones; it is not the published data set, whose accuracies it cannot reproduce.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]
Complex = NDArray[np.complexfloating[Any, Any]]

MODULATIONS = (
    *("BPSK", "QPSK", "8PSK", "16QAM", "64QAM", "PAM4", "GFSK", "CPFSK"),
    *("B-FM", "DSB-AM", "SSB-AM"),
)
SAMPLES = 1024

_RATE_HZ = 200e3
_PER_SYMBOL = 8
_TAKEN_FROM = 50  # the filters have settled by then
_LENGTH = _TAKEN_FROM + _PER_SYMBOL + SAMPLES + 30
_TOGETHER = 250  # frames computed at once; part of what a seed means

_ROLLOFF, _SPAN = 0.35, 4  # of the root raised cosine, in symbols
_GAUSS_BT = 0.35
_DIGITAL_CARRIER_HZ, _ANALOG_CARRIER_HZ = 902e6, 100e6
_ANALOG_TONE_HZ, _FM_DEVIATION_HZ = 50e3, 75e3

_DELAYS = (0.0, 1.8, 3.4)  # of the paths, in samples
_GAINS_DB = (0.0, -2.0, -10.0)
_K_FACTOR = 4.0
_DOPPLER_HZ = 4.0
_SCATTERERS = 8  # sinusoids that a fading path is the sum of
_CLOCK_PPM = 5.0


def frames(
    per_class: int, seed: int, snr_db: float = 30.0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Frames of every class, the classes one after the other.

    Args:
        per_class: frames of each.
        seed: equal seeds give equal frames; class and seed alone decide how a class begins.
        snr_db: power of what is received over that of the noise.

    Returns:
        I and Q, float32 [11 * per_class, 2, 1024], and the classes, int64.
    """
    parts = [
        frames_of(name, per_class, np.random.default_rng([seed, index]), snr_db)
        for index, name in enumerate(MODULATIONS)
    ]
    return np.concatenate(parts), np.repeat(np.arange(len(MODULATIONS)), per_class)


def frames_of(
    name: str, count: int, rng: np.random.Generator, snr_db: float
) -> NDArray[np.float32]:
    """Frames of one class: float32 [count, 2, 1024]."""
    parts = [
        _received(name, min(_TOGETHER, count - done), rng, snr_db)
        for done in range(0, count, _TOGETHER)
    ]
    return np.concatenate([np.empty((0, 2, SAMPLES), np.float32), *parts])


def _received(
    name: str, count: int, rng: np.random.Generator, snr_db: float
) -> NDArray[np.float32]:
    is_analog = name in ("B-FM", "DSB-AM", "SSB-AM")
    sent = _analog(name, count, rng) if is_analog else _digital(name, count, rng)
    carrier_hz = _ANALOG_CARRIER_HZ if is_analog else _DIGITAL_CARRIER_HZ
    y = _off_clock(_faded(sent, rng), carrier_hz, rng)
    deviation = np.sqrt(_power(y) / 10 ** (snr_db / 10) / 2)
    y = y + deviation * (rng.normal(size=y.shape) + 1j * rng.normal(size=y.shape))
    starts = _TAKEN_FROM + rng.integers(0, _PER_SYMBOL + 1, (count, 1))
    y = np.take_along_axis(y, starts + np.arange(SAMPLES), 1)
    y = y / np.sqrt(_power(y))
    return np.stack([y.real, y.imag], 1).astype(np.float32)


def _power(x: Complex) -> Real:
    return (np.abs(x) ** 2).mean(1, keepdims=True)


# What is sent: complex [count, _LENGTH]


def _digital(name: str, count: int, rng: np.random.Generator) -> Complex:
    if name == "GFSK":
        return _shift_keyed(count, rng, index=1.0, pulse=gaussian_pulse())
    if name == "CPFSK":
        pulse = np.full(_PER_SYMBOL, 0.5 / _PER_SYMBOL)
        return _shift_keyed(count, rng, index=0.5, pulse=pulse)
    symbols = rng.choice(constellation(name), (count, _LENGTH // _PER_SYMBOL))
    impulses = np.zeros((count, _LENGTH), complex)
    impulses[:, ::_PER_SYMBOL][:, : symbols.shape[1]] = symbols
    return _filtered(impulses, root_raised_cosine())


def _shift_keyed(count: int, rng: np.random.Generator, index: float, pulse: Real) -> Complex:
    """Continuous phase; `pulse` is of frequency and sums to one half."""
    settling = _PER_SYMBOL * 8
    impulses = np.zeros((count, _LENGTH + settling))
    bits = impulses[:, ::_PER_SYMBOL]
    bits[:] = rng.choice([-1.0, 1.0], bits.shape)
    phase = 2 * np.pi * index * np.cumsum(_filtered(impulses, pulse).real, 1)
    return np.exp(1j * phase)[:, settling:]


def _analog(name: str, count: int, rng: np.random.Generator) -> Complex:
    sound = _speech_like(count, rng)
    turns = _ANALOG_TONE_HZ * np.arange(_LENGTH) / _RATE_HZ
    if name == "B-FM":
        swing = 2 * np.pi * _FM_DEVIATION_HZ / _RATE_HZ
        return np.exp(1j * swing * np.cumsum(sound[:, :_LENGTH], 1))
    if name == "DSB-AM":
        return sound[:, :_LENGTH] * np.cos(2 * np.pi * turns) + 0j
    spectrum = np.fft.fft(sound)
    spectrum[:, sound.shape[1] // 2 + 1 :] = 0
    one_sided = 2 * np.fft.ifft(spectrum)[:, :_LENGTH]
    return (one_sided * np.exp(-2j * np.pi * turns)).real + 0j


def _speech_like(count: int, rng: np.random.Generator, length: int = 8192) -> Real:
    """Noise below 22 kHz: a falling slope and four formants, each frame with its own; |x| <= 1."""
    hz = np.fft.rfftfreq(length, 1 / _RATE_HZ)[None]
    corner, steepness = rng.uniform(300, 1500, (count, 1)), rng.uniform(0.5, 1, (count, 1))
    level = (hz > 50) / (1 + (hz / corner) ** 2) ** steepness
    for _ in range(4):
        centre, width = rng.uniform(150, 3500, (count, 1)), rng.uniform(30, 120, (count, 1))
        height = rng.uniform(0.2, 4, (count, 1))
        level = level + height * np.exp(-0.5 * ((hz - centre) / width) ** 2)
    phases = np.exp(2j * np.pi * rng.random(level.shape))
    sound = np.fft.irfft(level * (hz < 22e3) * phases)
    loudest = np.abs(sound).max(1, keepdims=True)
    return sound / loudest * rng.uniform(0.1, 1, (count, 1))


def constellation(name: str) -> Complex:
    """The symbols of a linear modulation, of unit mean power."""
    if name.endswith("QAM"):
        side = math.isqrt(int(name.removesuffix("QAM")))
        levels = np.arange(1 - side, side, 2)
        points = (levels[:, None] + 1j * levels).ravel()
    elif name == "PAM4":
        points = np.array([-3, -1, 1, 3], complex)
    else:
        order = {"BPSK": 2, "QPSK": 4, "8PSK": 8}[name]
        turn = np.pi / 4 if name == "QPSK" else 0
        points = np.exp(1j * (2 * np.pi * np.arange(order) / order + turn))
    return points / np.sqrt((np.abs(points) ** 2).mean())


def root_raised_cosine() -> Real:
    """Impulse response over `_SPAN` symbols, of unit energy."""
    b = _ROLLOFF
    t = np.arange(-_SPAN * _PER_SYMBOL / 2, _SPAN * _PER_SYMBOL / 2 + 1) / _PER_SYMBOL
    # At no sample is |t| = 1 / (4 b), where the quotient has a gap; at t = 0 it has one.
    with np.errstate(invalid="ignore"):
        above = np.sin(np.pi * t * (1 - b)) + 4 * b * t * np.cos(np.pi * t * (1 + b))
        h = above / (np.pi * t * (1 - (4 * b * t) ** 2))
    h[t == 0] = 1 + b * (4 / np.pi - 1)
    return h / np.sqrt((h**2).sum())


def gaussian_pulse() -> Real:
    """Frequency pulse of Gaussian shift keying over `_SPAN` symbols; sums to one half."""
    t = (np.arange(_SPAN * _PER_SYMBOL) + 0.5) / _PER_SYMBOL - _SPAN / 2
    k = 2 * np.pi * _GAUSS_BT / math.sqrt(math.log(2))
    upper = np.array([[math.erf(k * (s - d) / math.sqrt(2)) for s in t] for d in (0.5, -0.5)])
    pulse = upper[1] - upper[0]
    return pulse / pulse.sum() / 2


def _filtered(x: Complex | Real, taps: Real) -> Complex:
    """Linear convolution along the second axis, cut to the length of x."""
    length = x.shape[1] + len(taps)
    return np.fft.ifft(np.fft.fft(x, length) * np.fft.fft(taps, length))[:, : x.shape[1]]


# What the channel does


def _faded(x: Complex, rng: np.random.Generator) -> Complex:
    """Three paths: the first Rician, the others Rayleigh, by Jakes' sum of sinusoids."""
    count, length = x.shape
    spectrum, cycles = np.fft.fft(x), np.fft.fftfreq(length)
    gains = 10 ** (np.array(_GAINS_DB) / 10)
    y = np.zeros(x.shape, complex)
    for path, (delay, gain) in enumerate(zip(_DELAYS, gains / gains.sum(), strict=True)):
        scattered = _scattered(count, length, rng)
        if path == 0:
            scattered = (math.sqrt(_K_FACTOR) + scattered) / math.sqrt(_K_FACTOR + 1)
        late = np.fft.ifft(spectrum * np.exp(-2j * np.pi * cycles * delay))
        y += math.sqrt(gain) * scattered * late
    return y


def _scattered(count: int, length: int, rng: np.random.Generator) -> Complex:
    """A fading gain of unit mean power, worked out at six moments and interpolated."""
    seconds = np.linspace(0, (length - 1) / _RATE_HZ, 6)
    angles = rng.uniform(0, 2 * np.pi, (count, _SCATTERERS, 1))
    phases = rng.uniform(0, 2 * np.pi, (count, _SCATTERERS, 1))
    swing = 2 * np.pi * _DOPPLER_HZ * np.cos(angles) * seconds + phases
    moments = np.exp(1j * swing).sum(1) / math.sqrt(_SCATTERERS)
    return _at(moments, np.linspace(0, 5, length)[None])


def _off_clock(x: Complex, carrier_hz: float, rng: np.random.Generator) -> Complex:
    """A receiver whose oscillator and sampling clock are both off by the same share."""
    share = rng.uniform(-_CLOCK_PPM, _CLOCK_PPM, (len(x), 1)) * 1e-6
    n: Real = np.arange(x.shape[1], dtype=np.float64)
    turned = x * np.exp(-2j * np.pi * share * carrier_hz * n / _RATE_HZ)
    return _at(turned, n / (1 + share))


def _at(x: Complex, places: Real) -> Complex:
    """Rows of x at fractional places, interpolated linearly; the last is kept beyond the end."""
    before = np.minimum(places.astype(np.int64), x.shape[1] - 2)
    share = np.minimum(places - before, 1.0)
    left = np.take_along_axis(x, np.broadcast_to(before, (len(x), before.shape[1])), 1)
    right = np.take_along_axis(x, np.broadcast_to(before + 1, left.shape), 1)
    return left + (right - left) * share
