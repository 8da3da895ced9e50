"""Which cut is best between which channels: a table that decides by binary search.

compiler/envelope.py makes it, `kernels/c/selection.c` looks up the same bytes on the edge, and
docs/selection.md draws them. Bytes are read as hostile.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from joulecut.compiler.buffers import BytesLike, bytes_of
from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.selection import MAX_CUTS, check_channel
from joulecut.kernels import coder

MAGIC = b"JCD\x1a"
VERSION = 1
MAX_ENTRIES = 1 << 24  # of pieces and of spans, so that 32 bits address the table

_PREFIX = struct.Struct("<4sBBHII")  # magic, version, zero, cuts, pieces, spans
_U32 = struct.Struct("<I")
_NO_CUT = 0xFFFF


@dataclass(frozen=True)
class Span:
    """Channels at which a cut is kept if it was used before.

    Attributes:
        cut: its number.
        first: seconds per bit.
        last: seconds per bit, included.
    """

    cut: int
    first: float
    last: float


@dataclass(frozen=True)
class SelectionTable:
    """Which cut is best between which channels.

    Attributes:
        n_cuts: among how many cuts it chooses.
        starts: where each piece begins, seconds per bit, included; ascending from 0.
        choices: number of the cut of each piece, None for none; neighbours differ.
        spans: of hysteresis, by cut and then by channel, apart from one another.
    """

    n_cuts: int
    starts: tuple[float, ...]
    choices: tuple[int | None, ...]
    spans: tuple[Span, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.n_cuts <= MAX_CUTS:
            raise ConfigError(f"n_cuts must be in 1..{MAX_CUTS}, not {self.n_cuts}")
        if not 1 <= len(self.starts) == len(self.choices) < MAX_ENTRIES:
            raise ConfigError(
                f"starts and choices must be one or more and as many, not {len(self.starts)} "
                f"and {len(self.choices)}"
            )
        if len(self.spans) >= MAX_ENTRIES:
            raise ConfigError(f"spans must be less than {MAX_ENTRIES}, not {len(self.spans)}")
        if self.starts[0] != 0 or not all(a < b for a, b in pairwise(self.starts)):
            raise ConfigError("starts must ascend from 0")
        named = [each for each in self.choices if each is not None]
        named += [span.cut for span in self.spans]
        if any(not 0 <= each < self.n_cuts for each in named):
            raise ConfigError(f"every cut must be in 0..{self.n_cuts - 1}")
        if any(a == b for a, b in pairwise(self.choices)):
            raise ConfigError("neighbouring choices must differ")
        if not all(0 <= span.first <= span.last for span in self.spans):
            raise ConfigError("spans must start at 0 or later and end no earlier")
        if not all((a.cut, a.last) < (b.cut, b.first) for a, b in pairwise(self.spans)):
            raise ConfigError("spans must ascend by cut and channel, apart from one another")

    def lookup(self, x: float, previous: int | None = None) -> int | None:
        """What `choose` returns, in O(log n).

        Args:
            x: seconds per bit, 0 to infinity.
            previous: number of the cut of the inference before, if any.

        Raises:
            ConfigError: x or `previous` is out of range.
        """
        check_channel(x, previous, self.n_cuts)
        if previous is not None:
            at = bisect_right(
                self.spans, (previous, x), key=lambda span: (span.cut, span.first)
            )
            if at and self.spans[at - 1].cut == previous and x <= self.spans[at - 1].last:
                return previous
        return self.choices[bisect_right(self.starts, x) - 1]

    def to_bytes(self) -> bytes:
        """The table as it is written, in the format of docs/selection.md."""
        numbers = [_NO_CUT if each is None else each for each in self.choices]
        numbers += [span.cut for span in self.spans]
        channels = [*self.starts]
        for span in self.spans:
            channels += [span.first, span.last]
        said = (
            _PREFIX.pack(MAGIC, VERSION, 0, self.n_cuts, len(self.starts), len(self.spans))
            + struct.pack(f"<{len(channels)}d", *channels)
            + struct.pack(f"<{len(numbers)}H", *numbers)
        )
        return said + _U32.pack(coder.xxh32(said))

    @staticmethod
    def from_bytes(blob: BytesLike) -> SelectionTable:
        """Read an untrusted table.

        Raises:
            UntrustedInputError: it is damaged, hostile or of another version.
        """
        view = bytes_of(blob)
        if len(view) < _PREFIX.size + _U32.size:
            raise _refuse(f"its header must have {_PREFIX.size + _U32.size} bytes", len(view))
        fields: tuple[bytes, int, int, int, int, int] = _PREFIX.unpack_from(view)
        magic, version, zero, n_cuts, n_pieces, n_spans = fields
        if magic != MAGIC:
            raise _refuse(f"it must start with {MAGIC!r}, not {magic!r}", 0)
        if version != VERSION:
            raise _refuse(f"its version must be {VERSION}, not {version}", 4)
        if zero:
            raise _refuse(f"its flags must be 0, not {zero}", 5)
        if n_pieces >= MAX_ENTRIES or n_spans >= MAX_ENTRIES:
            raise _refuse(f"its entries must be fewer than {MAX_ENTRIES}", 8)
        end = _PREFIX.size + 10 * n_pieces + 18 * n_spans
        if len(view) != end + _U32.size:
            raise _refuse(f"it must have {end + _U32.size} bytes, not {len(view)}", len(view))
        if _U32.unpack_from(view, end)[0] != coder.xxh32(view[:end]):
            raise _refuse("its checksum must match", end)
        try:
            return _parsed(view, n_cuts, n_pieces, n_spans)
        except ConfigError as error:
            raise _refuse(str(error), _PREFIX.size) from error


def _parsed(view: memoryview, n_cuts: int, n_pieces: int, n_spans: int) -> SelectionTable:
    at = _PREFIX.size
    starts: tuple[float, ...] = struct.unpack_from(f"<{n_pieces}d", view, at)
    at += 8 * n_pieces
    ends: tuple[float, ...] = struct.unpack_from(f"<{2 * n_spans}d", view, at)
    at += 16 * n_spans
    choices: tuple[int, ...] = struct.unpack_from(f"<{n_pieces}H", view, at)
    at += 2 * n_pieces
    cuts: tuple[int, ...] = struct.unpack_from(f"<{n_spans}H", view, at)
    return SelectionTable(
        n_cuts,
        starts,
        tuple(None if each == _NO_CUT else each for each in choices),
        tuple(map(Span, cuts, ends[::2], ends[1::2])),
    )


def _refuse(reason: str, offset: int) -> UntrustedInputError:
    return UntrustedInputError(
        f"selection table: {reason} (offset {offset}); get it from its maker again"
    )
