"""XXH32 with seed 0, written from the xxHash specification, version 0.1.1."""

from __future__ import annotations

PRIMES = (0, 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)
MASK = 0xFFFFFFFF


def rotate(x: int, n: int) -> int:
    """The 32 bits of x, rotated left."""
    x &= MASK
    return (x << n | x >> (32 - n)) & MASK


def xxh32(data: bytes) -> int:
    """The checksum of the data."""
    _, p1, p2, p3, p4, p5 = PRIMES
    lanes, at = [p1 + p2, p2, 0, -p1], 0
    while len(data) - at >= 16:
        for i in range(4):
            word = int.from_bytes(data[at : at + 4], "little")
            lanes[i] = rotate(lanes[i] + word * p2, 13) * p1
            at += 4
    start = sum(rotate(x, n) for x, n in zip(lanes, (1, 7, 12, 18), strict=True))
    total = (start if len(data) >= 16 else p5) + len(data)
    while len(data) - at >= 4:
        total = rotate(total + int.from_bytes(data[at : at + 4], "little") * p3, 17) * p4
        at += 4
    for byte in data[at:]:
        total = rotate(total + byte * p5, 11) * p1
    total &= MASK
    total = (total ^ total >> 15) * p2 & MASK
    total = (total ^ total >> 13) * p3 & MASK
    return total ^ total >> 16
