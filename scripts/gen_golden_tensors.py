"""Writes tests/golden/coded_tensors_v2.json: small tensors of every quantizer, type and mode.

Of the decoded bytes it has the checksum. The samples are frozen: version 2 is decoded for ever.
Run it only to add samples; those that are there must not change.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from coder_samples import CASES, Case, decoded  # noqa: E402

from joulecut.kernels import coder  # noqa: E402

GOLDEN = ROOT / "tests/golden/coded_tensors_v2.json"
N_SYMBOLS = 240


def sample(case: Case, mode: str, *, is_static: bool) -> dict[str, object] | None:
    """One line of the file; None if such a tensor has no block of the mode."""
    array = case.draw(N_SYMBOLS)
    if mode == "constant":
        array[:] = array.flat[0]
    elif mode != "raw":
        array[6:] = array[0, 0]  # so that even few symbols are worth a table
    tables = case.build_tables(np.tile(array, (40, 1))) if is_static else b""
    static = coder.Tables(tables) if tables else None
    blob = case.encode(array, modes=(mode,), tables=static)
    counts = dict(zip(coder.MODES, coder.scan(blob), strict=True))
    if not counts[mode] or (is_static and not blob[coder.read_header(blob).header_bytes] & 64):
        return None
    return {
        "name": f"{case}-{mode}{'-static' if is_static else ''}",
        "dtype": case.dtype,
        "shape": array.shape,
        "modes": [name for name, count in counts.items() if count],
        "tables": tables.hex(),
        "blob": blob.hex(),
        "xxh32": coder.xxh32(decoded(blob, static)),
    }


def main() -> None:
    """Write the file, a line a sample."""
    samples = [
        found
        for is_static in (False, True)
        for case in (CASES[::6] if is_static else CASES)
        for mode in (coder.MODES[2:] if is_static else coder.MODES)
        if (found := sample(case, mode, is_static=is_static))
    ]
    empty = CASES[0].draw(0)
    blob = CASES[0].encode(empty)
    line: dict[str, object] = {"name": "empty", "dtype": "float32", "shape": [0], "modes": []}
    samples.append(line | {"tables": "", "blob": blob.hex(), "xxh32": coder.xxh32(b"")})
    GOLDEN.write_text("[\n" + ",\n".join(map(json.dumps, samples)) + "\n]\n")


if __name__ == "__main__":
    main()
