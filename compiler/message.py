"""What an adaptive edge sends: the number of its cut, then the frame of what crosses there.

docs/selection.md draws it. The number says which pieces the edge ran, so that the server runs
the others; it is untrusted like the frame.
"""

from __future__ import annotations

import struct

from joulecut.compiler.errors import UntrustedInputError

_NUMBER = struct.Struct("<H")
NUMBER_BYTES = _NUMBER.size


def join(cut: int, frame: bytes) -> bytes:
    """A message."""
    return _NUMBER.pack(cut) + frame


def split(message: bytes, n_cuts: int) -> tuple[int, bytes]:
    """The number of the cut and the frame of an untrusted message.

    Raises:
        UntrustedInputError: it is too short, or names a cut that there is not.
    """
    if len(message) < NUMBER_BYTES:
        raise UntrustedInputError(
            f"message must have at least the {NUMBER_BYTES} bytes of its cut, not {len(message)}"
        )
    (cut,) = _NUMBER.unpack_from(message)
    if cut >= n_cuts:
        raise UntrustedInputError(
            f"cut of a message must be in 0..{n_cuts - 1}, not {cut}; edge and server must "
            f"come from one bundle"
        )
    return cut, message[NUMBER_BYTES:]
