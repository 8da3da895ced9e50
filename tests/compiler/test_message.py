"""Messages: the cut's number before the frame, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from joulecut.compiler.errors import UntrustedInputError
from joulecut.compiler.link_code import LinkCode
from joulecut.compiler.message import join, split
from joulecut.compiler.quant import TensorSpec

DOCS = Path(__file__).resolve().parents[2] / "docs/selection.md"


def test_the_example_of_the_page_is_a_message():
    blob = bytes.fromhex(DOCS.read_text().split("```")[-2])
    cut, frame = split(blob, 3)
    code = LinkCode((TensorSpec("x", (1, 4), "int8"),), (None,), "best")
    (array,) = code.unpack(frame)
    assert (cut, array.tolist()) == (2, [[1, -2, 3, 0]])
    assert join(2, code.pack([np.array([[1, -2, 3, 0]], np.int8)])) == blob


@pytest.mark.parametrize("cut", [0, 1, 255, 256, 65534])
def test_split_is_the_inverse_of_join(cut: int):
    assert split(join(cut, b"frame"), 65535) == (cut, b"frame")


@pytest.mark.parametrize("blob", [b"", b"\0"])
def test_a_short_message_is_refused(blob: bytes):
    with pytest.raises(UntrustedInputError, match=f"2 bytes of its cut, not {len(blob)}"):
        split(blob, 1)


def test_a_cut_that_there_is_not_is_refused():
    with pytest.raises(UntrustedInputError, match=r"must be in 0\.\.1, not 2; edge and server"):
        split(join(2, b""), 2)
