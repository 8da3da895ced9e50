"""Numbers, bits and bytes, in the order of docs/bitstream.md: the lowest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Bits = list[int]


class StreamError(ValueError):
    """What was read is not what docs/bitstream.md allows."""


def number_bits(value: int, n_bits: int) -> Bits:
    """The bits of a number, lowest first."""
    return [value >> i & 1 for i in range(n_bits)]


def number(bits: Iterable[int]) -> int:
    """The number of these bits, lowest first."""
    return sum(bit << i for i, bit in enumerate(bits))


def to_bytes(bits: Sequence[int]) -> bytes:
    """Bits to bytes, each filled from its lowest bit, the last padded with zeros."""
    return bytes(number(bits[start : start + 8]) for start in range(0, len(bits), 8))


def padded(bits: Bits) -> Bits:
    """The bits, and zeros up to the next byte."""
    return bits + [0] * (-len(bits) % 8)


def varint(value: int) -> bytes:
    """LEB128: 7 bits a byte, lowest first, the high bit set on all but the last."""
    out = bytearray()
    while value >> 7:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


class BitReader:
    """Reads bits of bytes in order, and refuses to read more than there are."""

    def __init__(self, payload: bytes):
        self.payload = payload
        self.at = 0

    def take(self, n_bits: int) -> int:
        """The next number of n_bits, lowest bit first."""
        if self.at + n_bits > 8 * len(self.payload):
            raise StreamError("payload must have all its bits")
        taken = [self.payload[i // 8] >> i % 8 & 1 for i in range(self.at, self.at + n_bits)]
        self.at += n_bits
        return number(taken)

    def skip_padding(self) -> None:
        """Go to the next byte; what is skipped must be zero."""
        if self.take(-self.at % 8):
            raise StreamError("padding must be zero")

    def take_bytes(self, n_bytes: int) -> bytes:
        """The next whole bytes; the reader must stand at the start of one."""
        start = self.at // 8
        if n_bytes > len(self.payload) - start:
            raise StreamError("payload must have all its bytes")
        self.at += 8 * n_bytes
        return self.payload[start : start + n_bytes]

    def take_varint(self) -> int:
        """The next varint: at most 5 bytes, less than 2^32, in the shortest form."""
        value = 0
        for i in range(5):
            byte = self.take(8)
            value |= (byte & 127) << (7 * i)
            if byte < 128:
                break
        else:
            raise StreamError("varint must end within 5 bytes")
        if value >> 32 or (byte == 0 and i > 0):
            raise StreamError("varint must be short")
        return value

    def finish(self) -> None:
        """Nothing may be left but zero bits of the last byte."""
        self.skip_padding()
        if self.at != 8 * len(self.payload):
            raise StreamError("payload must end where its content ends")
