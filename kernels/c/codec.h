/*
 * Coded tensors: the one door to the codec, for hosts and edges alike.  docs/bitstream.md is the format.
 *
 *   jc_encode_tensor   quantize, code in blocks, frame; the edge needs this and jc_write_frame_header
 *   jc_read_header     what a coded tensor says of itself, checked
 *   jc_decode_tensor   the values
 *
 * The caller owns every buffer.  Workspaces may be reused, by one thread at a time.
 */
#ifndef JC_CODEC_H
#define JC_CODEC_H

#include "trellis.h"

/* Numbers lie in memory as they lie in the format. */
JC_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

#define JC_MAX_DIMS 8
#define JC_MAX_HEADER_BYTES 2200
#define JC_MAX_BLOCK_HEADER_BYTES 10
#define JC_DEFAULT_BLOCK_LOG2 17
#define JC_MIN_BLOCK_LOG2 10
#define JC_MAX_BLOCK_LOG2 20

enum jc_dtype { JC_INT8 = 1, JC_UINT8 = 2, JC_INT32 = 3, JC_FLOAT32 = 4 };

enum jc_mode {
    JC_RAW = 0,
    JC_CONSTANT = 1,
    JC_HUFFMAN = 2,
    JC_PACKED = 3,
    JC_CONTEXT_PREFIX = 4,
    JC_CONTEXT_ANS = 5,
    JC_N_MODES = 6,
};
#define JC_MODES_ALL ((1u << JC_N_MODES) - 1)
#define JC_MODES_FAST (1u << JC_RAW | 1u << JC_CONSTANT | 1u << JC_HUFFMAN | 1u << JC_PACKED)

/* Static tables, parsed from their own format by jc_read_tables. */
struct jc_tables {
    uint32_t sum; /* names the set; 0: empty */
    uint8_t has[JC_N_MODES], width[JC_N_MODES], unions[JC_N_MODES];
    uint8_t lens[JC_N_MODES][JC_MAX_ALPHABET]; /* huffman, packed */
    struct jc_context_model models[2];         /* context prefix, context ANS */
};
enum jc_result jc_read_tables(const uint8_t *src, size_t size, struct jc_tables *tables);

struct jc_header {
    uint8_t dtype, n_dims, block_log2;
    uint32_t dims[JC_MAX_DIMS], row, tables_sum;
    struct jc_quantizer quantizer;
    size_t n_elements, n_bytes; /* of the decoded tensor */
    size_t header_bytes;
};

struct jc_options {
    unsigned modes;                 /* mask of 1 << jc_mode; raw is always allowed */
    const struct jc_rates *rates;   /* for quantizers 4 and 5; NULL: nearest values */
    const struct jc_tables *tables; /* or NULL */
};

static inline size_t jc_dtype_bytes(unsigned dtype)
{
    return dtype == JC_INT32 || dtype == JC_FLOAT32 ? 4 : 1;
}

/* XXH32 with seed 0 (xxHash specification 0.1.1) of @data[size]. */
uint32_t jc_xxh32(const uint8_t *data, size_t size);

/* Instruction sets of this machine that the kernels use. */
#define JC_HAS_BMI2 1u
#define JC_HAS_AVX2 2u
#define JC_HAS_NEON 4u
unsigned jc_cpu_features(void);

/* Bytes of workspace for encoding and decoding; aligned as malloc aligns. */
size_t jc_workspace_size(const struct jc_quantizer *q, unsigned block_log2);

/* The most bytes of a coded tensor, and of what writing it may scribble on.  Counts type, dims,
 * block_log2 and quantizer; SIZE_MAX if it does not fit in memory. */
size_t jc_bound(const struct jc_header *h);

/* The quantizer that crosses int8, uint8 or int32 values without loss in the fewest bits:
 * JC_INTEGERS if their range fits in 16 bits, else JC_BYTES.  Folded if zero lies inside the
 * range and that costs no bit. */
void jc_lossless_quantizer(enum jc_dtype dtype, const void *data, size_t n, struct jc_quantizer *q);

/* Check type, dims, row, block_log2, tables_sum and quantizer, and fill in the rest. */
enum jc_result jc_complete_header(struct jc_header *h);

/* `h` says what jc_complete_header checks; tables_sum becomes that of options->tables.
 * capacity >= jc_bound(h).  @data is aligned to its elements. */
enum jc_result jc_encode_tensor(void *ws, struct jc_header *h, const struct jc_options *options,
                                const void *data, uint8_t *dst, size_t capacity, size_t *used);

enum jc_result jc_read_header(const uint8_t *src, size_t size, struct jc_header *h);

/* Where the blocks lie: counts by mode; JC_OK only if they end at the end of @src.
 * *at is the offset of the block that is wrong, if one is. */
enum jc_result jc_scan_blocks(const struct jc_header *h, const uint8_t *src, size_t size,
                              size_t counts[JC_N_MODES], size_t *at);

/* Decode all blocks of @src[size] (header included) into @data[h->n_bytes]. */
enum jc_result jc_decode_tensor(void *ws, const struct jc_header *h, const struct jc_tables *tables,
                                const uint8_t *src, size_t size, void *data, size_t *at);

/*
 * For threads: blocks are numbered through all planes, 0 .. jc_n_blocks(h) - 1.
 *   jc_skip_blocks    *at, the offset of a block, becomes that of the n-th after it
 *   jc_decode_blocks  decode n blocks from number `first` on, which lies at *at; *at moves along
 * After an error *at is the offset of the wrong block.
 */
size_t jc_n_blocks(const struct jc_header *h);
enum jc_result jc_skip_blocks(const struct jc_header *h, const uint8_t *src, size_t size,
                              size_t first, size_t n, size_t *at);
enum jc_result jc_decode_blocks(void *ws, const struct jc_header *h, const struct jc_tables *tables,
                                const uint8_t *src, size_t size, size_t first, size_t n, void *data,
                                size_t *at);

/* Quantization alone, of completed headers other than JC_BYTES: what crosses, and what becomes
 * of it.  @syms[h->n_elements], each less than 2^width. */
enum jc_result jc_tensor_symbols(void *ws, const struct jc_header *h, const struct jc_rates *rates,
                                 const void *data, uint16_t *syms);
enum jc_result jc_tensor_values(void *ws, const struct jc_header *h, const uint16_t *syms,
                                void *data);

/* Frame of n coded tensors: the header; returns its bytes (12 + 4 n), 0 if it does not fit. */
size_t jc_write_frame_header(uint8_t *dst, size_t capacity, const uint32_t *sizes, unsigned n);

/*
 * Static tables out of calibration tensors that all have the type, block_log2 and quantizer of
 * `h`; dims and row may differ.  begin, add, add, .., finish with one workspace and trainer.
 * finish writes the tables of the modes in the mask that the quantizer can use.
 */
struct jc_trainer {
    uint64_t counts[2][JC_MAX_ALPHABET]; /* huffman, packed */
};
#define JC_MAX_TABLES_BYTES 4096
void jc_tables_begin(void *ws, struct jc_trainer *trainer, const struct jc_header *h);
enum jc_result jc_tables_add(void *ws, struct jc_trainer *trainer, struct jc_header *h,
                             const struct jc_rates *rates, const void *data);
enum jc_result jc_tables_finish(void *ws, struct jc_trainer *trainer, const struct jc_header *h,
                                unsigned modes, uint8_t *dst, size_t capacity, size_t *used);

#endif
