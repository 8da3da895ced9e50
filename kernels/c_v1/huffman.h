/*
 * Length-limited canonical Huffman coding of small symbols, in independent blocks.
 *
 * The format is docs/bitstream.md, "Blocks".  Nothing here allocates, prints or keeps state:
 * the caller owns every buffer, workspaces included, and may use one workspace per thread.
 * Symbols are bytes that hold `width` bits (1..8).  The last block may be short, so a stream
 * is read with the number of symbols and the width that it was written with.
 *
 * Trusted: sizes, pointers and workspaces.  Untrusted: every byte that the decoder reads.
 */
#ifndef JC_HUFFMAN_H
#define JC_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>

#define JC_MAX_CODE_BITS 11 /* five codes fit in one 64-bit refill; the table is 4 KiB */
#define JC_BLOCK_SYMS 65536 /* symbols in each block but the last */
#define JC_MAX_ALPHABET 256

enum jc_result {
    JC_OK = 0,
    JC_BAD_WIDTH,    /* caller: width is not 1..8 */
    JC_BAD_SYMBOL,   /* a symbol does not fit in the width */
    JC_SHORT_DST,    /* caller: the destination is smaller than jc_huffman_bound */
    JC_TRUNCATED,    /* the stream ends inside a block */
    JC_UNKNOWN_MODE, /* the first byte of a block names no mode of this version and width */
    JC_BAD_TABLE,    /* the code lengths are not those of a complete prefix code */
    JC_BAD_LENGTH,   /* the codes do not end at the declared bit */
    JC_BAD_PADDING,  /* a bit that carries nothing is not zero */
};

/* How a block is coded; 4..127 are reserved.  Its first byte is jc_mode_byte(mode). */
enum jc_mode {
    JC_RAW = 0,      /* `width` bits a symbol */
    JC_CONSTANT = 1, /* one symbol, repeated */
    JC_HUFFMAN = 2,  /* one code a symbol */
    JC_GROUPED = 3,  /* one code for each floor(8 / width) symbols; width <= 4 only */
    JC_N_MODES = 4,
};

/* What jc_code_lengths needs to think; contents are meaningless between calls. */
struct jc_merge {
    uint32_t leaves[JC_MAX_ALPHABET];         /* count << 8 | symbol, ascending */
    uint32_t weights[2][2 * JC_MAX_ALPHABET]; /* of this level and of the one below */
    uint8_t is_leaf[JC_MAX_CODE_BITS][2 * JC_MAX_ALPHABET];
};

/* One prefix code and how its table is written; see jc_code_build. */
struct jc_code {
    uint8_t lens[JC_MAX_ALPHABET];    /* 0: the symbol does not occur */
    uint16_t tokens[JC_MAX_ALPHABET]; /* the written table: value | n_bits << 12 */
    size_t n_tokens;
    size_t n_bits; /* table and all codes together; SIZE_MAX: no such code */
};

struct jc_huffman_encoder {
    uint32_t counts[JC_MAX_ALPHABET];
    uint16_t entries[JC_MAX_ALPHABET]; /* code << 4 | length; the code is bit-reversed */
    struct jc_code plain, grouped;
    struct jc_merge merge;
    uint8_t groups[JC_BLOCK_SYMS / 2];
};

struct jc_huffman_decoder {
    uint16_t table[1 << JC_MAX_CODE_BITS]; /* symbol << 4 | length, by the next 11 bits */
    uint8_t lens[JC_MAX_ALPHABET];
};

/* The most bytes that jc_huffman_encode writes: one byte a block above bit-packed symbols.
 * Returns 0 if the width is not 1..8 or the size overflows. */
size_t jc_huffman_bound(size_t n_syms, unsigned width);

/*
 * Encode @syms[n_syms] to @dst[dst_size]; each block takes the smallest mode among those in
 * `modes` (a mask of 1 << jc_mode that must have JC_RAW), the lowest number on a tie.
 * Buffers must not overlap.  *@dst_used is set on success.
 */
enum jc_result jc_huffman_encode(struct jc_huffman_encoder *ws, const uint8_t *syms,
                                 size_t n_syms, unsigned width, unsigned modes, uint8_t *dst,
                                 size_t dst_size, size_t *dst_used);

/*
 * Decode exactly @n_syms symbols from the front of the untrusted @src[src_size] to
 * @syms[n_syms].  *@src_used is where the blocks end, or on failure where the block starts
 * that is wrong; @syms is then unspecified.
 */
enum jc_result jc_huffman_decode(struct jc_huffman_decoder *ws, const uint8_t *src,
                                 size_t src_size, unsigned width, uint8_t *syms,
                                 size_t n_syms, size_t *src_used);

/* Walk the block headers of the untrusted @src[src_size] without decoding: how many blocks
 * have each mode.  *@src_used as in jc_huffman_decode. */
enum jc_result jc_huffman_scan(const uint8_t *src, size_t src_size, unsigned width,
                               size_t n_syms, size_t block_counts[JC_N_MODES],
                               size_t *src_used);

/* Count each value of @syms[n_syms]; n_syms < 2^32. */
void jc_histogram(const uint8_t *syms, size_t n_syms, uint32_t counts[JC_MAX_ALPHABET]);

/*
 * Lengths of an optimal prefix code with codes of at most JC_MAX_CODE_BITS bits, by
 * package-merge (Larmore and Hirschberg, 1990).  The counts must add up to less than 2^24.
 * Returns the number of symbols that occur; with fewer than two all lengths are zero.
 */
size_t jc_code_lengths(struct jc_merge *ws, const uint32_t counts[JC_MAX_ALPHABET],
                       uint8_t lens[JC_MAX_ALPHABET]);

/* Canonical codes for @lens: ascending by (length, symbol), bit-reversed because streams are
 * read from the lowest bit.  entries[s] = code << 4 | length. */
void jc_canonical_entries(const uint8_t lens[JC_MAX_ALPHABET],
                          uint16_t entries[JC_MAX_ALPHABET]);

/* CRC-32 (ISO-HDLC, as in zlib) of @data[size], continuing from `crc`; start with 0. */
uint32_t jc_crc32(uint32_t crc, const uint8_t *data, size_t size);

#endif
