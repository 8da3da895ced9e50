from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias, final

from numpy.typing import NDArray

_BytesLike: TypeAlias = bytes | bytearray | memoryview | NDArray[Any]

MAX_CODE_BITS: int
DEFAULT_BLOCK_LOG2: int
BLOCK_LOG2S: range
DTYPES: tuple[str, ...]
QUANTIZERS: tuple[str, ...]
MODES: tuple[str, ...]
FAST_MODES: tuple[str, ...]

class CoderError(ValueError):
    reason: str
    offset: int
    def __init__(self, reason: str, offset: int = 0) -> None: ...

class Quantizer(NamedTuple):
    kind: str
    width: int = 8
    fold: bool = False
    n_states: int = 0
    step: float = 1.0
    offset: float = 0.0
    centroids: tuple[tuple[float, ...], ...] = ()
    book: tuple[float, ...] = ()

class Rates(NamedTuple):
    bits_q4: tuple[tuple[int, ...], ...]
    slope_q4: int
    lambda_q8: int

class Header(NamedTuple):
    dtype: str
    shape: tuple[int, ...]
    quantizer: Quantizer
    row: int
    block_log2: int
    tables_sum: int
    n_bytes: int
    header_bytes: int

@final
class Tables:
    @property
    def sum(self) -> int: ...
    @property
    def modes(self) -> tuple[str, ...]: ...
    def __init__(self, blob: _BytesLike) -> None: ...

def encode(
    data: _BytesLike,
    dtype: str,
    shape: Sequence[int],
    quantizer: Quantizer,
    *,
    row: int | None = None,
    block_log2: int = ...,
    modes: Iterable[str] = ...,
    rates: Rates | None = None,
    tables: Tables | None = None,
) -> bytes: ...
def bound(
    dtype: str, shape: Sequence[int], quantizer: Quantizer, *, block_log2: int = ...
) -> int: ...
def read_header(blob: _BytesLike) -> Header: ...
def scan(blob: _BytesLike) -> tuple[int, ...]: ...
def decode_into(
    blob: _BytesLike, out: _BytesLike, tables: Tables | None = None, threads: int = 1
) -> None: ...
def lossless_quantizer(data: _BytesLike, dtype: str) -> Quantizer: ...
def symbols_into(
    data: _BytesLike,
    dtype: str,
    quantizer: Quantizer,
    out: _BytesLike,
    *,
    block_log2: int = ...,
    rates: Rates | None = None,
) -> None: ...
def values_into(
    symbols: _BytesLike,
    dtype: str,
    quantizer: Quantizer,
    out: _BytesLike,
    *,
    block_log2: int = ...,
) -> None: ...
def build_tables(
    tensors: Iterable[tuple[_BytesLike, Sequence[int]]],
    dtype: str,
    quantizer: Quantizer,
    *,
    row: int | None = None,
    block_log2: int = ...,
    modes: Iterable[str] = ...,
    rates: Rates | None = None,
) -> bytes: ...
def write_frame_header(sizes: Sequence[int]) -> bytes: ...
def block_encode(
    symbols: _BytesLike, width: int = 8, *, row: int = 0, modes: Iterable[str] = ...
) -> bytes: ...
def block_decode(
    block: _BytesLike, out: _BytesLike, width: int = 8, *, row: int = 0
) -> None: ...
def xxh32(data: _BytesLike) -> int: ...
def histogram(symbols: _BytesLike) -> list[int]: ...
def code_lengths(counts: Iterable[int]) -> list[int]: ...
def cpu_features() -> tuple[str, ...]: ...
