"""How activations lie in the memory that accelerator and processor share.

A tensor is [C, H, W]; channels lie in planes of 8, [ceil(C / 8), H, W, 8], so that a beat of the
bus is a pixel of a plane. Rows of a packed tensor, which the first layer of few channels reads,
hold all channels of a pixel side by side instead, [H, pitch], borders of zero points included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from joulecut.hw.config import BEAT_BYTES

PLANE = BEAT_BYTES  # channels
ALIGNMENT = 128  # bytes: where bursts begin

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Tensor:
    """An activation in memory.

    Attributes:
        name: of the graph's value.
        address: in bytes.
        channels: C.
        height: H.
        width: W.
        is_unsigned: uint8, else int8.
        whole: of which tensor this is some planes; empty if it is one of its own.
        first_plane: of it in that tensor.
    """

    name: str
    address: int
    channels: int
    height: int
    width: int
    is_unsigned: bool
    whole: str = ""
    first_plane: int = 0

    @property
    def planes(self) -> int:
        """Of 8 channels."""
        return -(-self.channels // PLANE)

    @property
    def plane_bytes(self) -> int:
        """Of one plane."""
        return self.height * self.width * PLANE

    @property
    def nbytes(self) -> int:
        """Of all planes."""
        return self.planes * self.plane_bytes

    @property
    def dtype(self) -> type[np.integer]:
        """uint8 or int8."""
        return np.uint8 if self.is_unsigned else np.int8

    def put(self, memory: Bytes, x: npt.NDArray[np.integer]) -> None:
        """Writes [C, H, W]."""
        full = np.zeros((self.planes * PLANE, self.height, self.width), self.dtype)
        full[: self.channels] = x
        blocks = full.reshape(self.planes, PLANE, self.height, self.width)
        data = np.ascontiguousarray(blocks.transpose(0, 2, 3, 1)).view(np.uint8)
        memory[self.address : self.address + self.nbytes] = data.reshape(-1)

    def get(self, memory: Bytes) -> npt.NDArray[np.integer]:
        """Reads [C, H, W]."""
        data = memory[self.address : self.address + self.nbytes].view(self.dtype)
        blocks = data.reshape(self.planes, self.height, self.width, PLANE)
        channels = blocks.transpose(0, 3, 1, 2).reshape(-1, self.height, self.width)
        return np.ascontiguousarray(channels[: self.channels])


@dataclass(frozen=True)
class PackedTensor:
    """An input of few channels, as a packed first layer reads it.

    Attributes:
        name: of the graph's value.
        address: in bytes.
        channels: C.
        height: H, without borders.
        width: W, without borders.
        pads: top, left, bottom, right.
        pitch: bytes from row to row.
        is_unsigned: uint8, else int8.
        zero_point: what borders hold.
    """

    name: str
    address: int
    channels: int
    height: int
    width: int
    pads: tuple[int, int, int, int]
    pitch: int
    is_unsigned: bool
    zero_point: int

    @property
    def rows(self) -> int:
        """Rows with borders."""
        return self.pads[0] + self.height + self.pads[2]

    @property
    def nbytes(self) -> int:
        """Of all rows."""
        return self.rows * self.pitch

    @property
    def dtype(self) -> type[np.integer]:
        """uint8 or int8."""
        return np.uint8 if self.is_unsigned else np.int8

    def put(self, memory: Bytes, x: npt.NDArray[np.integer]) -> None:
        """Writes [C, H, W] and the borders."""
        top, left, bottom, right = self.pads
        room = np.zeros((self.rows, self.pitch), self.dtype)
        padded = np.pad(
            x, ((0, 0), (top, bottom), (left, right)), constant_values=self.zero_point
        )
        pixels = np.ascontiguousarray(padded.transpose(1, 2, 0)).reshape(self.rows, -1)
        room[:, : pixels.shape[1]] = pixels
        memory[self.address : self.address + self.nbytes] = room.view(np.uint8).reshape(-1)
