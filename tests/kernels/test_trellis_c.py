"""The trellis in C equals its twin in every form and on every machine; no path is better."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import numpy as np
import pytest
from c_library import C_FOLDER, FLAGS
from cross_tools import EMULATED, tool
from fixed_trellis_library import UNDEFINED_TRAPS, Floats
from hypothesis import given
from hypothesis import strategies as st
from trellis_library import (
    FORMS,
    JC_BAD_ARGUMENT,
    JC_BAD_VALUE,
    JC_OK,
    SOURCES,
    UNTOUCHED,
    VECTOR_FORMS,
    quantize,
)

from joulecut.kernels.twin import trellis as twin
from joulecut.kernels.twin.trellis import Quantizer, Rates

CHECKSUMS = Path(__file__).with_name("trellis_checksums.c")
LANES = (1, 4, 16)
BYTE = st.integers(0, 255)
PRICES = st.lists(BYTE, min_size=16, max_size=16)
RATES = st.builds(Rates, st.integers(0, 256), st.tuples(PRICES, PRICES), BYTE)
STEEP = Rates(100, (tuple(range(0, 256, 16)), tuple(range(5, 256, 16))), 40)
LARGEST = float(np.finfo(np.float32).max)
SMALLEST = float(np.finfo(np.float32).smallest_subnormal)


@st.composite
def quantizers(draw: st.DrawFn) -> Quantizer:
    """Both numbers of states, folded and not, narrow and wide."""
    fold = draw(st.integers(0, 1))
    width = draw(st.integers(2 + fold, 5) | st.integers(2 + fold, 16))
    step = draw(st.sampled_from((1.0, 0.375, 3e-5)))
    offset = draw(st.sampled_from((0.0, 1.5, -2.25)))
    return Quantizer(width, fold, step, offset, n_states=draw(st.sampled_from((4, 8))))


def samples(q: Quantizer, n: int, seed: int, spread: float = 4.0) -> Floats:
    """Normal, so many steps wide, around the offset; a quarter on ties, some far away."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, spread, n)
    steps = np.where(rng.random(n) < 0.25, np.round(steps * 2) / 2, steps)
    steps = np.where(rng.random(n) < 0.02, steps * 40, steps)
    return (steps * q.step + q.offset).astype(np.float32)


def assert_forms_agree(q: Quantizer, x: Floats, rates: Rates | None, lanes: int) -> None:
    result, wanted = quantize(q, x, rates, lanes, "_scalar")
    assert result == JC_OK
    assert wanted.max(initial=0) < 1 << q.width
    for form in VECTOR_FORMS:
        result, found = quantize(q, x, rates, lanes, form)
        assert result == JC_OK
        np.testing.assert_array_equal(found, wanted, form)


@given(
    q=quantizers(),
    rates=st.none() | RATES,
    lanes=st.sampled_from(LANES),
    n=st.integers(1, 70),
    spread=st.sampled_from((0.5, 4.0, 60.0)),
    seed=st.integers(0, 1 << 30),
)
def test_equals_the_twin(
    q: Quantizer, rates: Rates | None, lanes: int, n: int, spread: float, seed: int
):
    x = samples(q, n, seed, spread)
    wanted = twin.trellis_symbols(q, x.tolist(), rates or twin.FREE, lanes)
    for form in FORMS:
        result, found = quantize(q, x, rates, lanes, form)
        assert (result, found.tolist()) == (JC_OK, wanted), form


@pytest.mark.parametrize("rates", [None, STEEP], ids=["free", "priced"])
@pytest.mark.parametrize("n_states", [4, 8])
@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("n", [241, 255, 256, 257, 271, 272, 273, 300, 513])
def test_ragged_lanes_equal_the_twin(n: int, fold: int, n_states: int, rates: Rates | None):
    """From 16 steps a lane on vectors do the work, and only the last lane may be short."""
    q = Quantizer(4, fold, n_states=n_states)
    x = samples(q, n, n)
    wanted = twin.trellis_symbols(q, x.tolist(), rates or twin.FREE, 16)
    for form in FORMS:
        assert quantize(q, x, rates, 16, form)[1].tolist() == wanted, form


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 63, 64, 65, 66, 67, 127, 129, 2047, 2049])
@pytest.mark.parametrize("lanes", LANES)
def test_corners_of_lanes(n: int, lanes: int):
    q = Quantizer(5, 1, n_states=8)
    for rates in (None, STEEP):
        assert_forms_agree(q, samples(q, n, n), rates, lanes)


@pytest.mark.parametrize("rates", [None, STEEP], ids=["free", "priced"])
@pytest.mark.parametrize("n_states", [4, 8])
@pytest.mark.parametrize(
    ("width", "fold", "spread"),
    [
        *((2, 0, 2.0), (3, 1, 2.0), (4, 0, 8.0), (8, 0, 90.0), (8, 1, 200.0), (9, 0, 400.0)),
        *((10, 0, 1500.0), (11, 1, 1500.0), (12, 0, 20.0), (12, 0, 800.0), (16, 1, 1e5)),
    ],
)
def test_forms_agree(width: int, fold: int, spread: float, n_states: int, rates: Rates | None):
    """Narrow, near and far above K; wide where 15 bits hold every t, and where they do not."""
    q = Quantizer(width, fold, 0.01, 0.25, n_states=n_states)
    assert_forms_agree(q, samples(q, 10_007, width, spread), rates, 16)
    assert_forms_agree(q, samples(q, 3001, width, spread), rates, 4)


@pytest.mark.parametrize("rates", [None, STEEP], ids=["free", "priced"])
@pytest.mark.parametrize("n_states", [4, 8])
@pytest.mark.parametrize("width", range(3, 17))
def test_forms_agree_near_the_largest_magnitude(width: int, n_states: int, rates: Rates | None):
    """Also where K = 1023 takes t to the end of 15 bits."""
    rng = np.random.default_rng(width)
    for fold in (0, 1):
        q = Quantizer(width, fold, n_states=n_states)
        steps = rng.choice([2.0 * q.most, 2 * q.most - 1.5, 2 * q.most - 3, 1e9, 0, 1], 2999)
        assert_forms_agree(q, steps.astype(np.float32), rates, 16)


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize(
    "kind", ["sparse", "huge", "subnormal", "subnormal offset", "zeros", "negative", "top"]
)
def test_forms_agree_on_strange_samples(kind: str, fold: int):
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 1, 4099).astype(np.float32)
    step, offset = (2.0**-96, 0.0) if "subnormal" in kind else (0.125, 0.0)
    if kind == "subnormal offset":
        offset = 3 * SMALLEST
    x = {
        "sparse": np.where(rng.random(4099) < 0.02, noise * 5, np.float32(0)),
        "huge": np.sign(noise) * np.float32(LARGEST),
        "subnormal": rng.integers(-9, 9, 4099) * SMALLEST,
        "subnormal offset": rng.integers(-9, 9, 4099) * SMALLEST,
        "zeros": np.where(noise < 0, np.float32(-0.0), np.float32(0)),
        "negative": -abs(noise),
        "top": np.float32(15 * 0.25) - noise * np.float32(0.01),
    }[kind].astype(np.float32)
    q = Quantizer(4, fold, step, offset, n_states=8)
    for rates in (None, STEEP):
        assert_forms_agree(q, x, rates, 16)
        few = x[:24]
        wanted = twin.trellis_symbols(q, few.tolist(), rates or twin.FREE)
        assert quantize(q, few, rates)[1].tolist() == wanted


def cost_of(t: int, union: int, k: int, rates: Rates) -> int:
    level = 32 * k - 16 * union if k else 0
    return (t - level) ** 2 + min(1792, rates.lambda_q8 * rates.rate(union, k) // 4)


def path_cost(q: Quantizer, ts: list[int], path: tuple[int, ...], rates: Rates) -> int:
    state, total = 0, 0
    for t, k in zip(ts, path, strict=True):
        total += cost_of(t, state & 1, k, rates)
        state = twin.next_state(q.n_states, state, k & 1)
    return total


@pytest.mark.parametrize("n_states", [4, 8])
@pytest.mark.parametrize("seed", range(6))
def test_no_path_is_better(n_states: int, seed: int):
    """Of all sequences of magnitudes, without prices; the candidates leave none out."""
    q = Quantizer(2, 0, n_states=n_states)
    x = np.random.default_rng(seed).uniform(0, 7, 5).astype(np.float32)
    ts = [twin.scaled(q, value, 16, 32 * q.most)[0] for value in x.tolist()]
    paths = itertools.product(range(q.most + 1), repeat=x.size)
    least = min(path_cost(q, ts, path, twin.FREE) for path in paths)
    for form in FORMS:
        found = tuple(quantize(q, x, None, 1, form)[1].tolist())
        assert path_cost(q, ts, found, twin.FREE) == least


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("fold", [0, 1])
def test_values_must_be_finite(fold: int, bad: float, form: str):
    q = Quantizer(4, fold, n_states=8)
    for n, lanes in ((5, 1), (300, 4), (301, 16)):
        for at in {*range(0, n, 7), n - 1}:
            x = np.ones(n, np.float32)
            x[at] = bad
            result, symbols = quantize(q, x, STEEP, lanes, form)
            assert result == JC_BAD_VALUE
            assert (symbols == UNTOUCHED).all()


@pytest.mark.parametrize(
    ("q", "lanes", "rates"),
    [
        (Quantizer(4, 0, n_states=2), 1, None),
        (Quantizer(4, 0, n_states=16), 1, None),
        (Quantizer(1, 0, n_states=8), 1, None),
        (Quantizer(2, 1, n_states=8), 1, None),
        (Quantizer(17, 0, n_states=8), 1, None),
        (Quantizer(4, 2, n_states=8), 1, None),
        (Quantizer(4, 0, 2.0**-97, n_states=8), 1, None),
        (Quantizer(4, 0, 2.0**97, n_states=8), 1, None),
        (Quantizer(4, 0, -1.0, n_states=8), 1, None),
        (Quantizer(4, 0, np.nan, n_states=8), 1, None),
        (Quantizer(4, 0, 1.0, np.inf, n_states=8), 1, None),
        (Quantizer(4, 0, n_states=8), 2, None),
        (Quantizer(4, 0, n_states=8), 0, None),
        (Quantizer(4, 0, n_states=8), 1, Rates(257, STEEP.bits_q4)),
    ],
)
def test_refuses_arguments(q: Quantizer, lanes: int, rates: Rates | None):
    x = np.ones(8, np.float32)
    for form in FORMS:
        result, symbols = quantize(q, x, rates, lanes, form)
        assert result == JC_BAD_ARGUMENT
        assert (symbols == UNTOUCHED).all()


def test_nothing_undefined_happens():
    for width, spread in ((4, 9.0), (16, 1e5)):
        q = Quantizer(width, 1, 0.5, 1e30, n_states=8)
        x = samples(q, 4001, 3, spread)
        x[:6] = (LARGEST, -LARGEST, SMALLEST, -SMALLEST, 0, -0.0)
        for rates, form in itertools.product((None, STEEP), FORMS):
            assert quantize(q, x, rates, 16, form, ("-O1", *UNDEFINED_TRAPS))[0] == JC_OK


def checksums(cc: str, folder: Path, *flags: str, run: tuple[str, ...] = ()) -> str:
    sources = [C_FOLDER / name for name in SOURCES]
    program = folder / "checksums"
    command = [cc, *FLAGS, "-O1", *flags, f"-I{C_FOLDER}", CHECKSUMS, *sources, "-o", program]
    subprocess.run(command, check=True, capture_output=True)
    done = subprocess.run([*run, program], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The checksums of this machine."""
    found = checksums(tool("gcc"), tmp_path_factory.mktemp("here"))
    assert len(found.splitlines()) == 96
    return found


@pytest.mark.tool
@pytest.mark.parametrize("machine", EMULATED)
def test_symbols_do_not_depend_on_the_machine(machine: str, here: str, tmp_path: Path):
    other = EMULATED[machine]
    made = checksums(other.compiler(), tmp_path, *other.flags, run=(other.runner(),))
    assert made == here


@pytest.mark.tool
@pytest.mark.parametrize(("cc", "flags"), [("gcc", ("-DJC_SCALAR",)), ("clang", ())])
def test_symbols_do_not_depend_on_the_build(
    cc: str, flags: tuple[str, ...], here: str, tmp_path: Path
):
    assert checksums(tool(cc), tmp_path, *flags) == here
