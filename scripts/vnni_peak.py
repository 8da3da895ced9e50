"""The most 8-bit products a second that one core makes with AVX-512 VNNI, and its clock.

A small C library is compiled with gcc at run time and timed beside the networks, in the same
rounds: what other programs take away at that moment is taken from both.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from joulecut.compiler.errors import DeviceError

SOURCE = Path(__file__).resolve().parent / "peers" / "vnni_peak.c"
ROUNDS = 20_000  # of a call: about half a million instructions, 0.1 to 0.2 ms
NEEDED = ("avx512f", "avx512vl", "avx512_vnni")


@dataclass(frozen=True)
class Peak:
    """Two calls to time, and what each does.

    Attributes:
        multiply: makes `products`.
        products: of a call.
        count: passes `cycles`.
        cycles: of a call.
    """

    multiply: Callable[[], object]
    products: int
    count: Callable[[], object]
    cycles: int


def vnni_peak(folder: Path, flags: frozenset[str]) -> Peak:
    """Compile and open the library.

    Args:
        folder: gets the library.
        flags: of the processor, as Linux names them.

    Raises:
        DeviceError: the processor has no AVX-512 VNNI, or gcc is missing or refuses.
    """
    missing = [flag for flag in NEEDED if flag not in flags]
    if missing:
        raise DeviceError(f"processor must have {', '.join(missing)} for the peak of VNNI")
    gcc = shutil.which("gcc")
    if gcc is None:
        raise DeviceError("the peak of VNNI must be compiled by gcc; apt-get install gcc")
    path = folder / "vnni_peak.so"
    flags_of_gcc = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-mavx512f", "-fPIC")
    command = [gcc, *flags_of_gcc, "-shared", "-o", str(path), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DeviceError(f"gcc must compile {SOURCE.name}, and says:\n{done.stderr}")
    library = ctypes.CDLL(str(path))

    def constant(name: str) -> int:
        return ctypes.c_int32.in_dll(library, name).value

    rounds = ctypes.c_int64(ROUNDS)
    per_round = constant("vnni_instructions_per_round")
    products = constant("vnni_products_per_instruction") * per_round
    return Peak(
        multiply=lambda: library.vnni_run(rounds),
        products=ROUNDS * products,
        count=lambda: library.clock_run(rounds),
        cycles=ROUNDS * constant("clock_cycles_per_round"),
    )
