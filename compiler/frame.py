"""Several coded tensors behind one checked header: what crosses a cut at once.

docs/bitstream.md draws it. It is read as hostile: every number is bounded before it is used.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.kernels import coder, version1

MAGIC = b"JCF\x1a"
VERSION = 2
MAX_TENSORS = 4096

_PREFIX = struct.Struct("<4sBBH")  # magic, version, zero, tensors
_U32 = struct.Struct("<I")


def refuse(reason: str, offset: int) -> UntrustedInputError:
    """The error for coded bytes that cannot be right."""
    return UntrustedInputError(
        f"coded tensor: {reason} (offset {offset}); get it from its sender again"
    )


def join(blobs: Sequence[bytes]) -> bytes:
    """Coded tensors, back to back behind a header.

    Raises:
        ConfigError: they are too many or too large.
    """
    if len(blobs) > MAX_TENSORS:
        raise ConfigError(f"a frame must have at most {MAX_TENSORS} tensors, not {len(blobs)}")
    if any(len(blob) >= 1 << 32 for blob in blobs):
        raise ConfigError("a tensor in a frame must be coded in less than 2^32 bytes")
    return b"".join([coder.write_frame_header([len(blob) for blob in blobs]), *blobs])


def split(frame: memoryview) -> list[tuple[int, memoryview]]:
    """The offset and the bytes of every coded tensor in a frame of either version.

    Raises:
        UntrustedInputError: the frame is of another version, or its lengths do not add up.
    """
    if bytes(frame[: len(MAGIC) + 1]) == MAGIC + bytes([version1.VERSION]):
        try:
            return version1.split_frame(frame)
        except coder.CoderError as error:
            raise refuse(error.reason, error.offset) from None
    if len(frame) < _PREFIX.size:
        raise refuse(f"its frame must have {_PREFIX.size} bytes", len(frame))
    fields: tuple[bytes, int, int, int] = _PREFIX.unpack_from(frame)
    magic, version, zero, n_tensors = fields
    if magic != MAGIC:
        raise refuse(f"its frame must start with {MAGIC!r}, not {magic!r}", 0)
    if version != VERSION or zero:
        raise refuse(f"the version of its frame must be 1 or {VERSION}, not {version}", 4)
    if n_tensors > MAX_TENSORS:
        raise refuse(f"its frame must have at most {MAX_TENSORS} tensors", 6)
    end = _PREFIX.size + 4 * n_tensors
    if len(frame) < end + 4:
        raise refuse(f"the header of its frame must have {end + 4} bytes", len(frame))
    (checksum,) = _U32.unpack_from(frame, end)
    if checksum != coder.xxh32(frame[:end]):
        raise refuse("the checksum of the frame must match", end)
    lengths: tuple[int, ...] = struct.unpack_from(f"<{n_tensors}I", frame, _PREFIX.size)
    at, blobs = end + 4, list[tuple[int, memoryview]]()
    for length in lengths:
        blobs.append((at, frame[at : at + length]))
        at += length
    if at != len(frame):
        raise refuse(
            f"its frame must end after {at} bytes, not {len(frame)}", min(at, len(frame))
        )
    return blobs
