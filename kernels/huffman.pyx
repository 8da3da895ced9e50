# distutils: language = c
# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The C Huffman kernel for Python: checks arguments, releases the GIL, raises one error."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t

cdef extern from "huffman.h" nogil:
    enum:
        JC_MAX_CODE_BITS
        JC_BLOCK_SYMS
        JC_MAX_ALPHABET
        JC_N_MODES
    cdef enum jc_result:
        JC_OK
        JC_BAD_WIDTH
        JC_BAD_SYMBOL
        JC_SHORT_DST
        JC_TRUNCATED
        JC_UNKNOWN_MODE
        JC_BAD_TABLE
        JC_BAD_LENGTH
        JC_BAD_PADDING
    cdef enum jc_mode:
        JC_RAW
        JC_CONSTANT
        JC_HUFFMAN
        JC_GROUPED
    struct jc_merge:
        pass
    struct jc_huffman_encoder:
        pass
    struct jc_huffman_decoder:
        pass
    size_t jc_huffman_bound(size_t n_syms, unsigned width)
    jc_result jc_huffman_encode(
        jc_huffman_encoder *ws, const uint8_t *syms, size_t n_syms, unsigned width,
        unsigned modes, uint8_t *dst, size_t dst_size, size_t *dst_used)
    jc_result jc_huffman_decode(
        jc_huffman_decoder *ws, const uint8_t *src, size_t src_size, unsigned width,
        uint8_t *syms, size_t n_syms, size_t *src_used)
    jc_result jc_huffman_scan(
        const uint8_t *src, size_t src_size, unsigned width, size_t n_syms,
        size_t *block_counts, size_t *src_used)
    void jc_histogram(const uint8_t *syms, size_t n_syms, uint32_t *counts)
    size_t jc_code_lengths(jc_merge *ws, const uint32_t *counts, uint8_t *lens)
    uint32_t jc_crc32(uint32_t crc, const uint8_t *data, size_t size)

BLOCK_SYMBOLS = JC_BLOCK_SYMS
MAX_CODE_BITS = JC_MAX_CODE_BITS
MODES = ("raw", "constant", "huffman", "grouped")

cdef dict REASONS = {
    JC_BAD_WIDTH: "width must be 1 to 8",
    JC_BAD_SYMBOL: "every symbol must fit in the width",
    JC_SHORT_DST: "destination must hold bound() bytes",
    JC_TRUNCATED: "block must be complete, but the stream ends inside it",
    JC_UNKNOWN_MODE: "block mode must be one of this version and width",
    JC_BAD_TABLE: "code lengths must be those of a complete prefix code",
    JC_BAD_LENGTH: "codes must end at the declared bit",
    JC_BAD_PADDING: "bits that carry nothing must be zero",
}


class HuffmanError(ValueError):
    """Symbols or a stream that the kernel refuses.

    Attributes:
        reason: what must hold and does not.
        offset: where in the stream the refused block starts, in bytes; 0 when encoding.
    """

    def __init__(self, reason: str, offset: int = 0):
        self.reason = reason
        self.offset = offset
        super().__init__(f"{reason} (block at offset {offset})")


cdef int check(jc_result result, size_t offset) except -1:
    if result != JC_OK:
        raise HuffmanError(REASONS[result], offset)
    return 0


def _byte_view(buffer, name):
    """The buffer as a C-contiguous view of unsigned bytes."""
    view = memoryview(buffer)
    if not view.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous; copy it first")
    if view.format not in ("B", "b", "c"):
        raise ValueError(f"{name} must have items of one byte, not of format '{view.format}'")
    return view.cast("B") if view.nbytes else memoryview(bytearray())


cdef const uint8_t *start(const uint8_t[::1] view) noexcept nogil:
    return &view[0] if view.shape[0] else NULL


def bound(n_symbols, width=8):
    """The most bytes that `encode` returns for that many symbols."""
    if n_symbols < 0 or not 1 <= width <= 8:
        raise ValueError(
            f"n_symbols must not be negative and width must be 1 to 8, "
            f"not {n_symbols} and {width}"
        )
    cdef size_t n_bytes = jc_huffman_bound(n_symbols, width)
    if n_symbols and not n_bytes:
        raise OverflowError(f"n_symbols must fit in memory, not {n_symbols}")
    return n_bytes


def encode(symbols, width=8, *, modes=MODES):
    """Code the symbols in blocks; each block takes the smallest of the modes.

    Args:
        symbols: bytes-like, one symbol of `width` bits a byte.
        width: bits of a symbol, 1 to 8.
        modes: names out of MODES; "raw" is always allowed.

    Returns:
        The blocks.

    Raises:
        HuffmanError: a symbol does not fit in the width.
        ValueError: an argument is not usable.
    """
    cdef const uint8_t[::1] view = _byte_view(symbols, "symbols")
    cdef size_t size = bound(view.shape[0], width), used = 0
    cdef unsigned mask = 1 << JC_RAW
    cdef unsigned c_width = width
    cdef bytes stream = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t *dst = <uint8_t *>PyBytes_AS_STRING(stream)
    cdef jc_result result
    for mode in modes:
        mask |= 1 << MODES.index(mode)
    cdef jc_huffman_encoder *ws = <jc_huffman_encoder *>PyMem_Malloc(sizeof(jc_huffman_encoder))
    if ws == NULL:
        raise MemoryError
    with nogil:
        result = jc_huffman_encode(
            ws, start(view), view.shape[0], c_width, mask, dst, size, &used)
    PyMem_Free(ws)
    check(result, 0)
    return stream[:used]


def decode(stream, out, width=8):
    """Decode as many symbols as `out` holds from the front of an untrusted stream.

    Args:
        stream: bytes-like.
        out: writable bytes-like; unspecified after an error.
        width: bits of a symbol, as given to `encode`.

    Returns:
        The number of bytes of the stream that were used.

    Raises:
        HuffmanError: the stream is not what `encode` writes.
        ValueError: an argument is not usable.
    """
    cdef const uint8_t[::1] view = _byte_view(stream, "stream")
    target = _byte_view(out, "out")
    if target.readonly:
        raise ValueError("out must be writable; pass an array that owns its memory")
    cdef uint8_t[::1] syms = target
    cdef uint8_t *dst = &syms[0] if syms.shape[0] else NULL
    cdef unsigned c_width = width
    cdef size_t used = 0
    cdef jc_result result
    cdef jc_huffman_decoder *ws = <jc_huffman_decoder *>PyMem_Malloc(sizeof(jc_huffman_decoder))
    if ws == NULL:
        raise MemoryError
    with nogil:
        result = jc_huffman_decode(
            ws, start(view), view.shape[0], c_width, dst, syms.shape[0], &used)
    PyMem_Free(ws)
    check(result, used)
    return used


def scan(stream, n_symbols, width=8):
    """Walk the block headers of an untrusted stream without decoding.

    Returns:
        The number of bytes that the blocks take, and how many blocks have each of MODES.

    Raises:
        HuffmanError: the headers do not describe n_symbols symbols.
    """
    cdef const uint8_t[::1] view = _byte_view(stream, "stream")
    cdef size_t counts[JC_N_MODES]
    cdef size_t n = n_symbols, used = 0
    cdef unsigned c_width = width
    cdef jc_result result
    with nogil:
        result = jc_huffman_scan(start(view), view.shape[0], c_width, n, counts, &used)
    check(result, used)
    return used, tuple([counts[mode] for mode in range(JC_N_MODES)])


def histogram(symbols):
    """How often each of the 256 byte values occurs; fewer than 2^32 symbols."""
    cdef const uint8_t[::1] view = _byte_view(symbols, "symbols")
    cdef uint32_t counts[JC_MAX_ALPHABET]
    if view.nbytes >= 1 << 32:
        raise ValueError(f"symbols must be fewer than 2^32, not {view.nbytes}")
    with nogil:
        jc_histogram(start(view), view.shape[0], counts)
    return [counts[symbol] for symbol in range(JC_MAX_ALPHABET)]


def code_lengths(counts):
    """Lengths of an optimal prefix code of at most MAX_CODE_BITS bits.

    Args:
        counts: 256 counts that add up to less than 2^24.

    Returns:
        256 lengths; 0 for symbols that do not occur, or if fewer than two occur.
    """
    values = [int(count) for count in counts]
    if len(values) != JC_MAX_ALPHABET or min(values) < 0 or sum(values) >= 1 << 24:
        raise ValueError("counts must be 256 numbers >= 0 that add up to less than 2^24")
    cdef uint32_t c_counts[JC_MAX_ALPHABET]
    cdef uint8_t lens[JC_MAX_ALPHABET]
    cdef jc_merge *ws = <jc_merge *>PyMem_Malloc(sizeof(jc_merge))
    if ws == NULL:
        raise MemoryError
    for symbol in range(JC_MAX_ALPHABET):
        c_counts[symbol] = values[symbol]
    with nogil:
        jc_code_lengths(ws, c_counts, lens)
    PyMem_Free(ws)
    return [lens[symbol] for symbol in range(JC_MAX_ALPHABET)]


def crc32(data, value=0):
    """CRC-32 as zlib computes it, continuing from `value`."""
    cdef const uint8_t[::1] view = _byte_view(data, "data")
    cdef uint32_t crc = value
    with nogil:
        crc = jc_crc32(crc, start(view), view.shape[0])
    return crc
