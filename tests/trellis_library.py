"""The trellis of quantizer 5 in C, for ctypes: every form of jc_trellis_quantize beside its twin."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

import numpy as np
from c_library import c_library, pointer
from fixed_trellis_library import CLayout, CQuantizer, Floats, Symbols

from joulecut.kernels.twin.trellis import Quantizer, Rates

SOURCES = (
    "trellis.c",
    "trellis_avx2.c",
    "trellis_neon.c",
    "trellis_scalar.c",
    "trellis_sse2.c",
    "trellis_tables.c",
)
JC_OK, JC_BAD_ARGUMENT, JC_BAD_VALUE = 0, 1, 3
UNTOUCHED = 0xABCD
BY_MACHINE = {"x86_64": ("_sse2", "_avx2"), "aarch64": ("_neon",)}


def _is_here(form: str) -> bool:
    """AVX2 is the one form that a machine of its kind may lack."""
    flags = Path("/proc/cpuinfo")
    return form != "_avx2" or (flags.exists() and "avx2" in flags.read_text().split())


VECTOR_FORMS = tuple(filter(_is_here, BY_MACHINE.get(platform.machine(), ())))
FORMS = ("", "_scalar", *VECTOR_FORMS)


class CRates(ctypes.Structure):
    """struct jc_rates of kernels/c/trellis.h."""

    _fields_ = (
        ("bits_q4", ctypes.c_uint8 * 16 * 2),
        ("slope_q4", ctypes.c_uint8),
        ("lambda_q8", ctypes.c_uint16),
    )


def quantize(
    q: Quantizer,
    x: Floats,
    rates: Rates | None = None,
    lanes: int = 1,
    form: str = "",
    flags: tuple[str, ...] = (),
) -> tuple[int, Symbols]:
    """The result and the symbols of one form ("", "_scalar", "_avx2" ..); nothing else is written."""
    library = c_library(*SOURCES, flags=flags)
    library.jc_trellis_workspace_size.restype = ctypes.c_size_t
    size = library.jc_trellis_workspace_size(ctypes.c_size_t(x.size))
    workspace = np.full(size + 8, 0xA5, np.uint8)
    symbols = np.full(x.size + 1, UNTOUCHED, np.uint16)
    quantizer = CQuantizer(
        kind=5, width=q.width, fold=q.fold, n_states=q.n_states, step=q.step, offset=q.offset
    )
    layout = CLayout(n=x.size, width=q.width, fold=q.fold, lanes=lanes, n_states=q.n_states)
    result = getattr(library, f"jc_trellis_quantize{form}")(
        pointer(workspace),
        ctypes.byref(quantizer),
        ctypes.byref(c_rates(rates)) if rates else None,
        ctypes.byref(layout),
        pointer(x),
        pointer(symbols),
    )
    assert (workspace[size:] == 0xA5).all()
    assert symbols[-1] == UNTOUCHED
    return result, symbols[:-1]


def c_rates(rates: Rates) -> CRates:
    """The same as C wants them."""
    made = CRates(slope_q4=rates.slope_q4, lambda_q8=rates.lambda_q8)
    for union, bits in enumerate(rates.bits_q4):
        made.bits_q4[union][:] = list(bits)
    return made
