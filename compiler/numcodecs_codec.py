"""The codec in the shape of numcodecs.abc.Codec, for zarr and its like.

numcodecs finds the classes by their entry points, so neither package imports the other.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np

from joulecut.compiler import codec
from joulecut.compiler.buffers import DTYPES, BytesLike, bytes_of
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.quantizers.grid import Array
from joulecut.compiler.quantizers.named import Name


class Codec(Protocol):
    """Bytes to bytes and back, in the shape of numcodecs.abc.Codec."""

    codec_id: ClassVar[str]

    def encode(self, buf: BytesLike) -> bytes:
        """The coded bytes of a buffer."""
        ...

    def decode(self, buf: BytesLike, out: BytesLike | None = None) -> BytesLike:
        """The buffer that was coded, written to `out` if that is given."""
        ...

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs, and "id"."""
        ...


@dataclass(frozen=True, repr=False)
class JoulecutCodec:
    """Coding of buffers for numcodecs and zarr; the fields are the stored configuration.

    Arrays of a type that the format has keep it; all others cross as bytes, without loss.

    Attributes:
        quantizer: the name of one, as for `codec.encode`; None for lossless.
        bits: of an index; or
        rate: the most bits a sample of the result.
        entropy: "best" or "fast".
    """

    codec_id: ClassVar[str] = "joulecut"

    quantizer: Name | None = None
    bits: int | None = None
    rate: float | None = None
    entropy: Literal["best", "fast"] = "best"

    def encode(self, buf: BytesLike) -> bytes:
        """The coded bytes of a C-contiguous buffer."""
        view = bytes_of(buf)
        if not isinstance(buf, np.ndarray) or not _is_coded_type(buf):
            return codec.encode(view, entropy=self.entropy)
        return codec.encode(
            buf, self.quantizer, bits=self.bits, rate=self.rate, entropy=self.entropy
        )

    def decode(self, buf: BytesLike, out: BytesLike | None = None) -> Array:
        """The array that was coded, also copied to `out` if that is given."""
        if out is None:
            return codec.decode(buf)
        target = np.frombuffer(bytes_of(out), np.uint8)
        array = codec.decode(buf, max_bytes=target.nbytes)
        if array.nbytes != target.nbytes:
            raise ConfigError(f"out must have {array.nbytes} bytes, not {target.nbytes}")
        target[:] = array.reshape(-1).view(np.uint8)
        return target

    def get_config(self) -> dict[str, Any]:
        """The configuration that zarr stores; what is not set is not in it."""
        fields = {key: value for key, value in asdict(self).items() if value is not None}
        return {"id": self.codec_id, **fields}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The codec of a stored configuration.

        Raises:
            ConfigError: it has an option that the codec does not have.
        """
        allowed = set(cls.__dataclass_fields__)
        unknown = sorted(set(config) - allowed - {"id"})
        if unknown:
            raise ConfigError(
                f"{cls.codec_id} must have options out of {sorted(allowed)}, not {unknown}"
            )
        return cls(**{key: value for key, value in config.items() if key != "id"})

    def __repr__(self) -> str:
        given = (f"{key}={value!r}" for key, value in self.get_config().items() if key != "id")
        return f"{type(self).__name__}({', '.join(given)})"


@dataclass(frozen=True, repr=False)
class HuffmanCodec(JoulecutCodec):
    """What was stored as "joulecut.huffman": the lossless fast family."""

    codec_id: ClassVar[str] = "joulecut.huffman"

    entropy: Literal["best", "fast"] = "fast"


def _is_coded_type(array: Array) -> bool:
    return array.dtype.name in DTYPES and array.dtype.isnative
