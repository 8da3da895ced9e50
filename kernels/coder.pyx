# distutils: language = c
# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The C codec for Python: checks arguments, releases the GIL, raises one error."""

from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

cimport cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memset

cdef extern from "codec.h" nogil:
    enum:
        JC_MAX_CODE_BITS
        JC_MAX_ALPHABET
        JC_MAX_DIMS
        JC_MAX_CENTROIDS
        JC_N_UNIONS
        JC_N_RATES
        JC_N_MODES
        JC_N_RESULTS
        JC_DEFAULT_BLOCK_LOG2
        JC_MIN_BLOCK_LOG2
        JC_MAX_BLOCK_LOG2
        JC_MAX_TABLES_BYTES
    cdef enum jc_result:
        JC_OK
        JC_BAD_ARGUMENT
        JC_BAD_SYMBOL
        JC_BAD_VALUE
        JC_SHORT_DST
        JC_TRUNCATED
        JC_TRAILING
        JC_BAD_MAGIC
        JC_BAD_VERSION
        JC_BAD_HEADER
        JC_BAD_CHECKSUM
        JC_UNKNOWN_MODE
        JC_BAD_TABLE
        JC_BAD_LENGTH
        JC_BAD_PADDING
        JC_NO_TABLES
    cdef enum jc_quantizer_kind:
        JC_BYTES
        JC_INTEGERS
        JC_CODEBOOK
        JC_TRELLIS
        JC_FIXED_TRELLIS
    cdef enum jc_mode:
        JC_RAW
        JC_HUFFMAN
    cdef enum jc_dtype:
        JC_UINT8
    struct jc_merge:
        pass
    struct jc_quantizer:
        uint8_t kind, width, fold, n_centroids
        uint16_t n_states
        int32_t integer_offset
        float step, offset
        float centroids[2][16]
        float book[512]
    struct jc_rates:
        uint8_t bits_q4[2][16]
        uint8_t slope_q4
        uint16_t lambda_q8
    struct jc_tables:
        uint32_t sum
        uint8_t has[6]
    struct jc_header:
        uint8_t dtype, n_dims, block_log2
        uint32_t dims[8]
        uint32_t row, tables_sum
        jc_quantizer quantizer
        size_t n_elements, n_bytes, header_bytes
    struct jc_options:
        unsigned modes
        const jc_rates *rates
        const jc_tables *tables
    struct jc_trainer:
        pass
    uint32_t jc_xxh32(const uint8_t *data, size_t size)
    void jc_histogram(const uint8_t *syms, size_t n, uint32_t *counts)
    size_t jc_code_lengths(jc_merge *ws, const uint32_t *counts, uint8_t *lens)
    size_t jc_dtype_bytes(unsigned dtype)
    size_t jc_workspace_size(const jc_quantizer *q, unsigned block_log2)
    size_t jc_bound(const jc_header *h)
    size_t jc_n_blocks(const jc_header *h)
    void jc_lossless_quantizer(jc_dtype dtype, const void *data, size_t n, jc_quantizer *q)
    jc_result jc_complete_header(jc_header *h)
    jc_result jc_encode_tensor(
        void *ws, jc_header *h, const jc_options *options, const void *data, uint8_t *dst,
        size_t capacity, size_t *used)
    jc_result jc_read_header(const uint8_t *src, size_t size, jc_header *h)
    jc_result jc_scan_blocks(
        const jc_header *h, const uint8_t *src, size_t size, size_t *counts, size_t *at)
    jc_result jc_decode_tensor(
        void *ws, const jc_header *h, const jc_tables *tables, const uint8_t *src, size_t size,
        void *data, size_t *at)
    jc_result jc_skip_blocks(
        const jc_header *h, const uint8_t *src, size_t size, size_t first, size_t n, size_t *at)
    jc_result jc_decode_blocks(
        void *ws, const jc_header *h, const jc_tables *tables, const uint8_t *src, size_t size,
        size_t first, size_t n, void *data, size_t *at)
    jc_result jc_tensor_symbols(
        void *ws, const jc_header *h, const jc_rates *rates, const void *data, uint16_t *syms)
    jc_result jc_tensor_values(
        void *ws, const jc_header *h, const uint16_t *syms, void *data)
    jc_result jc_read_tables(const uint8_t *src, size_t size, jc_tables *tables)
    void jc_tables_begin(void *ws, jc_trainer *trainer, const jc_header *h)
    jc_result jc_tables_add(
        void *ws, jc_trainer *trainer, jc_header *h, const jc_rates *rates, const void *data)
    jc_result jc_tables_finish(
        void *ws, jc_trainer *trainer, const jc_header *h, unsigned modes, uint8_t *dst,
        size_t capacity, size_t *used)
    size_t jc_write_frame_header(
        uint8_t *dst, size_t capacity, const uint32_t *sizes, unsigned n)
    unsigned jc_cpu_features()

cdef extern from "block.h" nogil:
    struct jc_workspace:
        uint8_t *narrow
    struct jc_symbols:
        const uint8_t *narrow
    struct jc_block:
        size_t bytes
    jc_workspace *jc_bind_workspace(void *ws, const jc_quantizer *q, unsigned block_log2)
    size_t jc_block_bound(size_t n, unsigned width)
    jc_result jc_begin_symbols(jc_workspace *ws, const jc_header *h, const jc_rates *rates)
    jc_result jc_block_symbols(
        jc_workspace *ws, const jc_header *h, const jc_rates *rates, const void *data,
        unsigned plane, size_t first, size_t n, jc_symbols *syms)
    size_t jc_encode_block(
        jc_workspace *ws, const jc_header *h, const jc_options *options, jc_symbols syms,
        size_t n, uint8_t *dst)
    jc_result jc_read_block(
        const jc_header *h, size_t n, const uint8_t *src, size_t size, jc_block *block)
    jc_result jc_decode_block(
        jc_workspace *ws, const jc_header *h, const jc_tables *tables, const jc_block *block,
        size_t n, uint8_t *narrow, jc_symbols *syms)

cdef extern from "Python.h":
    ctypedef struct PyObject
    PyObject *PyBytes_FromStringAndSize(const char *v, Py_ssize_t size) except NULL
    char *PyBytes_AS_STRING(PyObject *string)
    int _PyBytes_Resize(PyObject **string, Py_ssize_t size) except -1
    void Py_DECREF(PyObject *o)

MAX_CODE_BITS = JC_MAX_CODE_BITS
DEFAULT_BLOCK_LOG2 = JC_DEFAULT_BLOCK_LOG2
BLOCK_LOG2S = range(JC_MIN_BLOCK_LOG2, JC_MAX_BLOCK_LOG2 + 1)
DTYPES = ("int8", "uint8", "int32", "float32")
QUANTIZERS = (
    "bytes", "integers", "uniform", "codebook", "dead_zone", "trellis", "fixed_trellis")
MODES = ("raw", "constant", "huffman", "packed", "context_prefix", "context_ans")
FAST_MODES = MODES[:4]

cdef dict REASONS = {
    JC_BAD_ARGUMENT: "type, shape, row, block_log2 and quantizer must fit together",
    JC_BAD_SYMBOL: "every value must have a symbol of the width, and every symbol a value of the type",
    JC_BAD_VALUE: "every value must be finite",
    JC_SHORT_DST: "destination must hold bound() bytes",
    JC_TRUNCATED: "blob must be complete, but ends inside it",
    JC_TRAILING: "blob must end with its last block",
    JC_BAD_MAGIC: "blob must start with its magic number",
    JC_BAD_VERSION: "version must be 2",
    JC_BAD_HEADER: "every field of the header must be in its range",
    JC_BAD_CHECKSUM: "checksum must be that of what it covers",
    JC_UNKNOWN_MODE: "block mode must be one of this version, width and quantizer",
    JC_BAD_TABLE: "table must be that of a complete code",
    JC_BAD_LENGTH: "codes must end where the payload ends",
    JC_BAD_PADDING: "bits that carry nothing must be zero",
    JC_NO_TABLES: "static tables that the tensor names must be given",
}


class CoderError(ValueError):
    """Values or coded bytes that the codec refuses.

    Attributes:
        reason: what must hold and does not.
        offset: where in the coded bytes the refused part starts; 0 when encoding.
    """

    def __init__(self, reason: str, offset: int = 0):
        self.reason = reason
        self.offset = offset
        super().__init__(f"{reason} (offset {offset})")


cdef int check(jc_result result, size_t offset=0) except -1:
    if result != JC_OK:
        raise CoderError(REASONS[result], offset)
    return 0


Quantizer = namedtuple(
    "Quantizer",
    "kind width fold n_states step offset centroids book",
    defaults=(8, False, 0, 1.0, 0.0, (), ()),
)
Quantizer.__doc__ = """How symbols become values; fields that a kind does not have keep their default.

Floats are rounded to binary32. See docs/bitstream.md.
"""

Rates = namedtuple("Rates", "bits_q4 slope_q4 lambda_q8")
Rates.__doc__ = """What symbols cost while dead-zone and trellis quantizers choose; not written.

bits_q4 holds the price of magnitudes 0 to 15 in 1/16 bits for each union (one for a dead zone,
two for a trellis), slope_q4 what each doubling above costs, lambda_q8 the weight of rate.
"""

Header = namedtuple(
    "Header", "dtype shape quantizer row block_log2 tables_sum n_bytes header_bytes")
Header.__doc__ = """What a coded tensor says of itself; n_bytes is the size of the decoded one."""


# ---- memory ----

@cython.final
@cython.auto_pickle(False)
cdef class _Workspace:
    """Memory of a codec call, kept for the next one."""

    cdef void *memory
    cdef size_t size

    def __cinit__(self, size_t size):
        self.memory = PyMem_RawMalloc(size)
        self.size = size
        if self.memory == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_RawFree(self.memory)


cdef enum:
    MAX_KEPT = 4
    MAX_KEPT_BYTES = 8 << 20

cdef list _kept = []  # touched only with the GIL


cdef _Workspace borrow(const jc_header *h):
    cdef size_t size = jc_workspace_size(&h.quantizer, h.block_log2)
    cdef _Workspace workspace
    try:
        workspace = _kept.pop()
    except IndexError:
        return _Workspace(size)
    return workspace if workspace.size >= size else _Workspace(size)


cdef int give_back(_Workspace workspace) except -1:
    if workspace.size <= MAX_KEPT_BYTES and len(_kept) < MAX_KEPT:
        _kept.append(workspace)
    return 0


@cython.final
@cython.auto_pickle(False)
cdef class _Room:
    """A bytes object while it is written."""

    cdef PyObject *string
    cdef uint8_t *start

    def __cinit__(self, size_t size):
        self.string = PyBytes_FromStringAndSize(NULL, size)
        self.start = <uint8_t *>PyBytes_AS_STRING(self.string)

    def __dealloc__(self):
        if self.string != NULL:
            Py_DECREF(self.string)

    cdef bytes cut(self, size_t size):
        """What was written; nobody else has seen it yet."""
        _PyBytes_Resize(&self.string, size)
        return <bytes><object>self.string


# ---- arguments ----

def _byte_view(buffer, name):
    """The buffer as a C-contiguous view of unsigned bytes."""
    view = memoryview(buffer)
    if not view.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous; copy it first")
    return view.cast("B") if view.nbytes else memoryview(bytearray())


def _writable_view(buffer, name):
    view = _byte_view(buffer, name)
    if view.readonly and view.nbytes:
        raise ValueError(f"{name} must be writable; pass an array that owns its memory")
    return view


cdef const uint8_t *start(const uint8_t[::1] view) noexcept nogil:
    return &view[0] if view.shape[0] else NULL


cdef uint8_t *writable_start(uint8_t[::1] view) noexcept nogil:
    return &view[0] if view.shape[0] else NULL


cdef int must_have(size_t n_bytes, size_t wanted, str name) except -1:
    if n_bytes != wanted:
        raise ValueError(f"{name} must have {wanted} bytes, not {n_bytes}")
    return 0


cdef int must_lie_at(const void *p, size_t item, str name) except -1:
    if <uintptr_t>p % item:
        raise ValueError(f"{name} must lie at a multiple of {item} bytes; copy it first")
    return 0


cdef int index_of(tuple names, name, str what) except -1:
    if name not in names:
        raise ValueError(f"{what} must be one of {', '.join(names)}, not {name!r}")
    return names.index(name)


cdef long in_range(value, long low, long high, str name) except? -1:
    if not low <= value <= high:
        raise ValueError(f"{name} must be {low} to {high}, not {value}")
    return value


cdef unsigned mask_of(modes) except 0:
    cdef unsigned mask = 1 << JC_RAW
    for mode in modes:
        mask |= 1 << index_of(MODES, mode, "mode")
    return mask


cdef int set_quantizer(jc_quantizer *q, quantizer) except -1:
    memset(q, 0, sizeof(jc_quantizer))
    q.kind = index_of(QUANTIZERS, quantizer.kind, "quantizer kind")
    q.width = in_range(quantizer.width, 1, 16, "width")
    q.fold = bool(quantizer.fold)
    q.n_states = in_range(quantizer.n_states, 0, 256, "n_states")
    if q.kind == JC_INTEGERS:
        q.integer_offset = quantizer.offset
    elif q.kind != JC_BYTES:
        q.step = quantizer.step
        q.offset = quantizer.offset
    if len(quantizer.centroids):
        n_unions = 2 if q.kind == JC_TRELLIS else 1
        lengths = {len(union) for union in quantizer.centroids}
        if len(quantizer.centroids) != n_unions or len(lengths) != 1:
            raise ValueError(f"centroids must be {n_unions} tuples of equal length")
        q.n_centroids = in_range(lengths.pop(), 0, JC_MAX_CENTROIDS, "number of centroids")
        for u, union in enumerate(quantizer.centroids):
            for k, value in enumerate(union):
                q.centroids[<int>u][<int>k] = value
    if q.kind == JC_CODEBOOK or q.kind == JC_FIXED_TRELLIS:
        n_book = 1 << (q.width + (q.kind == JC_FIXED_TRELLIS))
        if len(quantizer.book) != n_book or n_book > 512:
            raise ValueError(f"book must have {n_book} values, not {len(quantizer.book)}")
        for k, value in enumerate(quantizer.book):
            q.book[<int>k] = value
    return 0


cdef object quantizer_of(const jc_quantizer *q):
    cdef int u, k, n_unions = 2 if q.kind == JC_TRELLIS else 1
    cdef int n_book = 1 << (q.width + (q.kind == JC_FIXED_TRELLIS))
    has_book = q.kind == JC_CODEBOOK or q.kind == JC_FIXED_TRELLIS
    has_step = q.kind not in (JC_BYTES, JC_INTEGERS) and not has_book
    return Quantizer(
        QUANTIZERS[q.kind],
        q.width,
        bool(q.fold),
        q.n_states,
        q.step if has_step else 1.0,
        q.integer_offset if q.kind == JC_INTEGERS else q.offset if has_step else 0.0,
        tuple([tuple([q.centroids[u][k] for k in range(q.n_centroids)])
               for u in range(n_unions)]) if q.n_centroids else (),
        tuple([q.book[k] for k in range(n_book)]) if has_book else (),
    )


cdef int set_header(
    jc_header *h, dtype, shape, quantizer, row, block_log2
) except -1:
    """Everything that jc_complete_header checks, and its results."""
    memset(h, 0, sizeof(jc_header))
    h.dtype = index_of(DTYPES, dtype, "dtype") + 1
    h.n_dims = in_range(len(shape), 0, JC_MAX_DIMS, "number of dimensions")
    for i, dim in enumerate(shape):
        h.dims[<int>i] = in_range(dim, 0, 0xffffffff, "dimension")
    shape = tuple(shape)
    if row is None:
        row = shape[len(shape) - 1] if len(shape) >= 2 else 0
        row = row if row < 1 << 24 else 0
    h.row = in_range(row, 0, (1 << 24) - 1, "row")
    h.block_log2 = in_range(block_log2, JC_MIN_BLOCK_LOG2, JC_MAX_BLOCK_LOG2, "block_log2")
    set_quantizer(&h.quantizer, quantizer)
    if jc_complete_header(h) != JC_OK:
        raise ValueError(
            f"quantizer must be one for {dtype} of shape {tuple(shape)} with every field in "
            f"its range, not {quantizer}"
        )
    return 0


cdef int set_rates(jc_rates *c_rates, rates) except -1:
    memset(c_rates, 0, sizeof(jc_rates))
    if not 1 <= len(rates.bits_q4) <= JC_N_UNIONS:
        raise ValueError(f"bits_q4 must have one or two rows, not {len(rates.bits_q4)}")
    for u, row in enumerate(rates.bits_q4):
        if len(row) != JC_N_RATES:
            raise ValueError(f"bits_q4 must have rows of {JC_N_RATES}, not {len(row)}")
        for k, bits in enumerate(row):
            c_rates.bits_q4[<int>u][<int>k] = in_range(bits, 0, 255, "bits_q4")
    c_rates.slope_q4 = in_range(rates.slope_q4, 0, 255, "slope_q4")
    c_rates.lambda_q8 = in_range(rates.lambda_q8, 0, 256, "lambda_q8")
    return 0


# ---- tensors ----

@cython.final
@cython.auto_pickle(False)
cdef class Tables:
    """Static tables, checked; what `build_tables` returned.

    Attributes:
        sum: names the set; Header.tables_sum of tensors that may refer to it.
        modes: those of MODES that have a table.
    """

    cdef jc_tables tables

    def __init__(self, blob):
        cdef const uint8_t[::1] view = _byte_view(blob, "blob")
        check(jc_read_tables(start(view), view.shape[0], &self.tables))

    @property
    def sum(self):
        return self.tables.sum

    @property
    def modes(self):
        return tuple([name for mode, name in enumerate(MODES) if self.tables.has[<int>mode]])


cdef const jc_tables *tables_of(Tables tables) noexcept:
    return NULL if tables is None else &tables.tables


def encode(
    data, dtype, shape, quantizer, *, row=None, block_log2=DEFAULT_BLOCK_LOG2, modes=MODES,
    rates=None, Tables tables=None
):
    """Code a tensor.

    Args:
        data: bytes-like, the elements in C order, little-endian, aligned.
        dtype: one of DTYPES.
        shape: its dimensions, the slowest first.
        quantizer: a Quantizer.
        row: how many elements before an element its upper neighbour lies, 0 for none; None takes
            the last dimension if there are two or more.
        block_log2: log2 of the symbols in a block, out of BLOCK_LOG2S.
        modes: names out of MODES; "raw" is always allowed.
        rates: Rates for quantizers "dead_zone" and "trellis"; None takes nearest values.
        tables: static tables that blocks may refer to.

    Returns:
        The coded tensor.

    Raises:
        CoderError: a value is not finite, or an integer has no symbol.
        ValueError: an argument is not usable.
    """
    cdef const uint8_t[::1] view = _byte_view(data, "data")
    cdef const uint8_t *src = start(view)
    cdef jc_header h
    cdef jc_rates c_rates
    cdef jc_options options
    cdef size_t used = 0
    cdef jc_result result
    set_header(&h, dtype, shape, quantizer, row, block_log2)
    must_have(view.shape[0], h.n_bytes, "data")
    must_lie_at(src, jc_dtype_bytes(h.dtype), "data")
    options.modes = mask_of(modes)
    options.rates = NULL
    options.tables = tables_of(tables)
    if rates is not None:
        set_rates(&c_rates, rates)
        options.rates = &c_rates
    cdef size_t size = bounded(&h)
    cdef _Workspace workspace = borrow(&h)
    cdef _Room room = _Room(size)
    with nogil:
        result = jc_encode_tensor(workspace.memory, &h, &options, src, room.start, size, &used)
    give_back(workspace)
    check(result)
    return room.cut(used)


cdef size_t bounded(const jc_header *h) except 0:
    cdef size_t size = jc_bound(h)
    if size == 0:
        raise OverflowError(f"tensor must fit in memory, not have {h.n_bytes} bytes")
    return size


def bound(dtype, shape, quantizer, *, block_log2=DEFAULT_BLOCK_LOG2):
    """The most bytes that `encode` returns for such a tensor."""
    cdef jc_header h
    set_header(&h, dtype, shape, quantizer, 0, block_log2)
    return bounded(&h)


cdef int read_front(const uint8_t[::1] view, jc_header *h) except -1:
    return check(jc_read_header(start(view), view.shape[0], h))


def read_header(blob):
    """What an untrusted coded tensor says of itself; its blocks are not looked at.

    Raises:
        CoderError: it is not a coded tensor of version 2.
    """
    cdef const uint8_t[::1] view = _byte_view(blob, "blob")
    cdef jc_header h
    read_front(view, &h)
    return Header(
        DTYPES[h.dtype - 1],
        tuple([h.dims[i] for i in range(h.n_dims)]),
        quantizer_of(&h.quantizer),
        h.row,
        h.block_log2,
        h.tables_sum,
        h.n_bytes,
        h.header_bytes,
    )


def scan(blob):
    """Walk the blocks of an untrusted coded tensor without decoding them.

    Returns:
        How many blocks have each of MODES.

    Raises:
        CoderError: the blocks do not fill the blob exactly.
    """
    cdef const uint8_t[::1] view = _byte_view(blob, "blob")
    cdef jc_header h
    cdef size_t counts[JC_N_MODES]
    cdef size_t at = 0
    cdef jc_result result
    read_front(view, &h)
    with nogil:
        result = jc_scan_blocks(&h, start(view), view.shape[0], counts, &at)
    check(result, at)
    return tuple([counts[mode] for mode in range(JC_N_MODES)])


@cython.final
@cython.auto_pickle(False)
cdef class _Part:
    """Some blocks of a coded tensor; called by a thread of its own."""

    cdef jc_header h
    cdef const jc_tables *tables
    cdef const uint8_t *src
    cdef void *data
    cdef size_t size, first, n, at

    def __call__(self):
        cdef _Workspace workspace = borrow(&self.h)
        cdef jc_result result
        with nogil:
            result = jc_decode_blocks(
                workspace.memory, &self.h, self.tables, self.src, self.size, self.first,
                self.n, self.data, &self.at)
        give_back(workspace)
        check(result, self.at)


cdef int decode_parts(
    const jc_header *h, const jc_tables *tables, const uint8_t[::1] view, void *data,
    size_t n_parts
) except -1:
    cdef size_t n_blocks = jc_n_blocks(h), at = h.header_bytes, i
    cdef jc_result result
    cdef _Part part
    parts = []
    for i in range(n_parts):
        part = _Part()
        part.h = h[0]
        part.tables, part.src, part.data = tables, start(view), data
        part.size = view.shape[0]
        part.first = n_blocks // n_parts * i + min(i, n_blocks % n_parts)
        part.n = n_blocks // n_parts + (i < n_blocks % n_parts)
        part.at = at
        with nogil:
            result = jc_skip_blocks(h, part.src, part.size, part.first, part.n, &at)
        check(result, at)
        parts.append(part)
    if at != <size_t>view.shape[0]:
        check(JC_TRAILING, at)
    with ThreadPoolExecutor(n_parts) as threads:
        for future in [threads.submit(part) for part in parts]:
            future.result()
    return 0


def decode_into(blob, out, Tables tables=None, threads=1):
    """Decode an untrusted coded tensor.

    Args:
        blob: bytes-like.
        out: writable bytes-like of exactly the decoded size, aligned to its elements;
            unspecified after an error.
        tables: the static tables that the tensor names.
        threads: how many threads share the blocks.

    Raises:
        CoderError: the blob is not what `encode` writes, or needs other tables.
        ValueError: an argument is not usable.
    """
    cdef const uint8_t[::1] view = _byte_view(blob, "blob")
    cdef uint8_t[::1] target = _writable_view(out, "out")
    cdef void *data = writable_start(target)
    cdef const jc_tables *c_tables = tables_of(tables)
    cdef jc_header h
    cdef size_t at = 0, n_parts = in_range(threads, 1, 256, "threads")
    cdef jc_result result
    read_front(view, &h)
    must_have(target.shape[0], h.n_bytes, "out")
    must_lie_at(data, jc_dtype_bytes(h.dtype), "out")
    n_parts = min(n_parts, jc_n_blocks(&h))
    if n_parts > 1:
        decode_parts(&h, c_tables, view, data, n_parts)
        return
    cdef _Workspace workspace = borrow(&h)
    with nogil:
        result = jc_decode_tensor(
            workspace.memory, &h, c_tables, start(view), view.shape[0], data, &at)
    give_back(workspace)
    check(result, at)


def lossless_quantizer(data, dtype):
    """The quantizer that loses nothing: "integers" of at most 16 bits where the range of int8, uint8
    or int32 allows it, else "bytes"."""
    cdef const uint8_t[::1] view = _byte_view(data, "data")
    cdef const uint8_t *src = start(view)
    cdef int c_dtype = index_of(DTYPES, dtype, "dtype") + 1
    cdef size_t item = jc_dtype_bytes(c_dtype)
    cdef jc_quantizer q
    must_have(view.shape[0], view.shape[0] // item * item, "data")
    must_lie_at(src, item, "data")
    with nogil:
        jc_lossless_quantizer(<jc_dtype>c_dtype, src, view.shape[0] // item, &q)
    return quantizer_of(&q)


# ---- quantization alone ----

cdef int set_flat_header(jc_header *h, dtype, quantizer, n_bytes, block_log2) except -1:
    item = jc_dtype_bytes(index_of(DTYPES, dtype, "dtype") + 1)
    set_header(h, dtype, (), quantizer, 0, block_log2)
    if h.quantizer.kind == JC_BYTES:
        raise ValueError("quantizer must have symbols, not 'bytes'")
    if n_bytes % item:
        raise ValueError(f"bytes must be a multiple of {item}, not {n_bytes}")
    h.n_elements = n_bytes // item
    h.n_bytes = n_bytes
    return 0


def symbols_into(
    data, dtype, quantizer, out, *, block_log2=DEFAULT_BLOCK_LOG2, rates=None
):
    """The symbols that `encode` codes.

    Args:
        data: bytes-like, the elements, little-endian, aligned.
        dtype: one of DTYPES.
        quantizer: a Quantizer other than "bytes".
        out: writable bytes-like of 2 bytes for each element; receives uint16.
        block_log2: as in `encode`; trellises restart at blocks.
        rates: as in `encode`.
    """
    cdef const uint8_t[::1] view = _byte_view(data, "data")
    cdef uint8_t[::1] target = _writable_view(out, "out")
    cdef const uint8_t *src = start(view)
    cdef void *dst = writable_start(target)
    cdef jc_header h
    cdef jc_rates c_rates
    cdef const jc_rates *used_rates = NULL
    cdef jc_result result
    set_flat_header(&h, dtype, quantizer, view.shape[0], block_log2)
    must_have(target.shape[0], 2 * h.n_elements, "out")
    must_lie_at(src, jc_dtype_bytes(h.dtype), "data")
    must_lie_at(dst, 2, "out")
    if rates is not None:
        set_rates(&c_rates, rates)
        used_rates = &c_rates
    cdef _Workspace workspace = borrow(&h)
    with nogil:
        result = jc_tensor_symbols(workspace.memory, &h, used_rates, src, <uint16_t *>dst)
    give_back(workspace)
    check(result)


def values_into(symbols, dtype, quantizer, out, *, block_log2=DEFAULT_BLOCK_LOG2):
    """The values that symbols decode to, the reverse of `symbols_into`.

    Args:
        symbols: bytes-like of uint16, aligned.
        dtype: one of DTYPES.
        quantizer: a Quantizer other than "bytes".
        out: writable bytes-like, as many elements as symbols; receives the values.
        block_log2: as in `encode`; trellises restart at blocks.
    """
    cdef const uint8_t[::1] view = _byte_view(symbols, "symbols")
    cdef uint8_t[::1] target = _writable_view(out, "out")
    cdef const uint8_t *src = start(view)
    cdef void *dst = writable_start(target)
    cdef jc_header h
    cdef jc_result result
    set_flat_header(&h, dtype, quantizer, target.shape[0], block_log2)
    must_have(view.shape[0], 2 * h.n_elements, "symbols")
    must_lie_at(src, 2, "symbols")
    must_lie_at(dst, jc_dtype_bytes(h.dtype), "out")
    cdef _Workspace workspace = borrow(&h)
    with nogil:
        result = jc_tensor_values(workspace.memory, &h, <const uint16_t *>src, dst)
    give_back(workspace)
    check(result)


# ---- static tables, frames ----

cdef int add_tensor(
    _Workspace workspace, jc_trainer *trainer, jc_header *h, const jc_rates *rates, data
) except -1:
    cdef const uint8_t[::1] view = _byte_view(data, "data")
    cdef const uint8_t *src = start(view)
    cdef jc_result result
    must_have(view.shape[0], h.n_bytes, "data")
    must_lie_at(src, jc_dtype_bytes(h.dtype), "data")
    with nogil:
        result = jc_tables_add(workspace.memory, trainer, h, rates, src)
    return check(result)


def build_tables(
    tensors, dtype, quantizer, *, row=None, block_log2=DEFAULT_BLOCK_LOG2, modes=MODES,
    rates=None
):
    """Static tables for tensors like these.

    Args:
        tensors: pairs of data and shape, as `encode` takes them.
        dtype: of all of them.
        quantizer: of all of them.
        row: as in `encode`.
        block_log2: as in `encode`.
        modes: the modes to make tables for, as far as they have some.
        rates: as in `encode`.

    Returns:
        What Tables takes.
    """
    cdef jc_header h
    cdef jc_rates c_rates
    cdef const jc_rates *used_rates = NULL
    cdef jc_trainer trainer
    cdef size_t used = 0
    cdef unsigned mask = mask_of(modes)
    cdef _Room room = _Room(JC_MAX_TABLES_BYTES)
    if rates is not None:
        set_rates(&c_rates, rates)
        used_rates = &c_rates
    set_header(&h, dtype, (), quantizer, 0, block_log2)
    cdef _Workspace workspace = borrow(&h)
    jc_tables_begin(workspace.memory, &trainer, &h)
    for data, shape in tensors:
        set_header(&h, dtype, shape, quantizer, row, block_log2)
        add_tensor(workspace, &trainer, &h, used_rates, data)
    check(jc_tables_finish(
        workspace.memory, &trainer, &h, mask, room.start, JC_MAX_TABLES_BYTES, &used))
    give_back(workspace)
    return room.cut(used)


def write_frame_header(sizes):
    """The header of a frame of coded tensors of these sizes."""
    cdef uint32_t c_sizes[4096]
    cdef _Room room = _Room(12 + 4 * 4096)
    cdef int n = in_range(len(sizes), 0, 4096, "number of tensors")
    for i, size in enumerate(sizes):
        c_sizes[<int>i] = in_range(size, 0, 0xffffffff, "size of a tensor")
    return room.cut(jc_write_frame_header(room.start, 12 + 4 * 4096, c_sizes, n))


# ---- one block; pieces ----

cdef int set_block_header(jc_header *h, n, width, row) except -1:
    if not 1 <= n <= 1 << JC_MAX_BLOCK_LOG2:
        raise ValueError(f"symbols must be 1 to 2^{JC_MAX_BLOCK_LOG2}, not {n}")
    in_range(width, 1, 8, "width")
    block_log2 = max((n - 1).bit_length(), JC_MIN_BLOCK_LOG2)
    return set_header(
        h, "uint8", (n,), Quantizer("integers", width, offset=0), row, block_log2)


def block_encode(symbols, width=8, *, row=0, modes=MODES):
    """One block without a tensor around it, for benchmarks.

    Args:
        symbols: bytes-like, one symbol a byte, 1 to 2^20 of them.
        width: bits of a symbol, 1 to 8.
        row: as in `encode`.
        modes: as in `encode`.
    """
    cdef const uint8_t[::1] view = _byte_view(symbols, "symbols")
    cdef const uint8_t *src = start(view)
    cdef size_t n = view.shape[0], used = 0
    cdef jc_header h
    cdef jc_options options
    cdef jc_symbols syms
    cdef jc_result result
    cdef jc_workspace *ws
    set_block_header(&h, n, width, row)
    options.modes = mask_of(modes)
    options.rates = NULL
    options.tables = NULL
    cdef _Workspace workspace = borrow(&h)
    cdef _Room room = _Room(jc_block_bound(n, h.quantizer.width))
    with nogil:
        ws = jc_bind_workspace(workspace.memory, &h.quantizer, h.block_log2)
        result = jc_begin_symbols(ws, &h, NULL)
        if result == JC_OK:
            result = jc_block_symbols(ws, &h, NULL, src, 0, 0, n, &syms)
        if result == JC_OK:
            used = jc_encode_block(ws, &h, &options, syms, n, room.start)
    give_back(workspace)
    check(result)
    return room.cut(used)


def block_decode(block, out, width=8, *, row=0):
    """The symbols of what `block_encode` returned, one a byte of `out`."""
    cdef const uint8_t[::1] view = _byte_view(block, "block")
    cdef uint8_t[::1] target = _writable_view(out, "out")
    cdef uint8_t *dst = writable_start(target)
    cdef size_t n = target.shape[0]
    cdef jc_header h
    cdef jc_block c_block
    cdef jc_symbols syms
    cdef jc_result result
    cdef jc_workspace *ws
    set_block_header(&h, n, width, row)
    cdef _Workspace workspace = borrow(&h)
    with nogil:
        ws = jc_bind_workspace(workspace.memory, &h.quantizer, h.block_log2)
        result = jc_read_block(&h, n, start(view), view.shape[0], &c_block)
        if result == JC_OK and c_block.bytes != <size_t>view.shape[0]:
            result = JC_TRAILING
        if result == JC_OK:
            result = jc_decode_block(ws, &h, NULL, &c_block, n, dst, &syms)
    give_back(workspace)
    check(result)


def xxh32(data):
    """The checksum of the format: XXH32 with seed 0."""
    cdef const uint8_t[::1] view = _byte_view(data, "data")
    cdef uint32_t sum
    with nogil:
        sum = jc_xxh32(start(view), view.shape[0])
    return sum


def histogram(symbols):
    """How often each of the 256 byte values occurs; fewer than 2^24 symbols."""
    cdef const uint8_t[::1] view = _byte_view(symbols, "symbols")
    cdef uint32_t counts[JC_MAX_ALPHABET]
    if view.nbytes >= 1 << 24:
        raise ValueError(f"symbols must be fewer than 2^24, not {view.nbytes}")
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
    cdef jc_merge ws
    for symbol in range(JC_MAX_ALPHABET):
        c_counts[symbol] = values[symbol]
    with nogil:
        jc_code_lengths(&ws, c_counts, lens)
    return [lens[symbol] for symbol in range(JC_MAX_ALPHABET)]


def cpu_features():
    """Instruction sets of this machine that the kernels use where they help."""
    cdef unsigned features = jc_cpu_features()
    return tuple([name for i, name in enumerate(("bmi2", "avx2", "neon")) if features >> i & 1])
