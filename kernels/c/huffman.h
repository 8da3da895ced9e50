/*
 * Length-limited canonical prefix codes of small symbols, order 0.
 *
 * The format is docs/bitstream.md, "huffman" and "Table of a prefix code".  Nothing here allocates or keeps
 * state: the caller owns every buffer, workspaces included, and may use one workspace per thread.
 *
 * Trusted: sizes, pointers and workspaces.  Untrusted: every byte that a decoder reads.
 */
#ifndef JC_HUFFMAN_H
#define JC_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>

#include "bits.h"
#include "result.h"

#define JC_MAX_CODE_BITS 11 /* five codes fit in one 64-bit refill */
#define JC_MAX_ALPHABET 256
#define JC_HUFFMAN_STREAMS 6
#define JC_MIN_CODES_FOR_STREAMS 4096

/* What jc_code_lengths needs to think; contents are meaningless between calls. */
struct jc_merge {
    uint32_t leaves[JC_MAX_ALPHABET];
    uint32_t weights[2][2 * JC_MAX_ALPHABET];
    uint8_t is_leaf[JC_MAX_CODE_BITS][2 * JC_MAX_ALPHABET];
};

/* Codes in a segment: each but the last of the 6 streams, or the only one. */
static inline size_t jc_huffman_segment(size_t n)
{
    return n < JC_MIN_CODES_FOR_STREAMS ? n : (n + JC_HUFFMAN_STREAMS - 1) / JC_HUFFMAN_STREAMS;
}

/* Count each value of @syms[n]; n < 2^24. */
void jc_histogram(const uint8_t *syms, size_t n, uint32_t counts[JC_MAX_ALPHABET]);

/* The same for each stream, in the same time: then the size of the streams needs no look at the
 * symbols.  If there is one stream its counts are the first; the others are zero. */
void jc_stream_histograms(const uint8_t *syms, size_t n,
                          uint32_t counts[JC_HUFFMAN_STREAMS][JC_MAX_ALPHABET]);
void jc_sum_histograms(const uint32_t counts[JC_HUFFMAN_STREAMS][JC_MAX_ALPHABET],
                       uint32_t sums[JC_MAX_ALPHABET]);

/* Lengths of an optimal prefix code with codes of at most JC_MAX_CODE_BITS bits, by package-merge
 * (Larmore and Hirschberg, 1990).  The counts add up to less than 2^24.  Returns the number of
 * symbols that occur; with fewer than two all lengths are zero. */
size_t jc_code_lengths(struct jc_merge *ws, const uint32_t counts[JC_MAX_ALPHABET],
                       uint8_t lens[JC_MAX_ALPHABET]);

/* Canonical codes, bit-reversed because streams are read from the lowest bit:
 * entries[s] = code << 4 | length, 0 for symbols without a code. */
void jc_canonical_entries(const uint8_t lens[JC_MAX_ALPHABET], uint16_t entries[JC_MAX_ALPHABET]);

/* The written table of a code of at least two symbols: its size in bits, and writing it. */
size_t jc_code_table_bits(const uint8_t lens[JC_MAX_ALPHABET]);
void jc_write_code_table(struct jc_bit_writer *w, const uint8_t lens[JC_MAX_ALPHABET]);

/* Read a table whose alphabet has n_alphabet symbols; JC_BAD_TABLE unless it is complete. */
enum jc_result jc_read_code_table(struct jc_bit_reader *r, size_t n_alphabet,
                                  uint8_t lens[JC_MAX_ALPHABET]);

/* Bytes of the stream sizes and streams that jc_huffman_encode writes for n symbols (without
 * table), exactly: from the counts of jc_stream_histograms, or, slower, from the symbols. */
size_t jc_counted_streams_size(const uint32_t counts[JC_HUFFMAN_STREAMS][JC_MAX_ALPHABET],
                               size_t n, const uint8_t lens[JC_MAX_ALPHABET]);
size_t jc_huffman_streams_size(const uint8_t *codes, size_t n, const uint8_t lens[JC_MAX_ALPHABET]);

/* Write the stream sizes and streams of @syms[n], n >= 1, with a code that has every symbol.
 * Nobody may change @syms between the measuring and the end of this.
 * @dst has jc_huffman_streams_size bytes and JC_HUFFMAN_SLACK more, which may be scribbled on.
 * Returns the bytes written. */
#define JC_HUFFMAN_SLACK 16
size_t jc_huffman_encode(const uint8_t *syms, size_t n, const uint8_t lens[JC_MAX_ALPHABET],
                         uint8_t *dst);

/* Tables that jc_huffman_decode builds; contents are meaningless between calls. */
struct jc_huffman_decoder {
    uint64_t multi[2 << JC_MAX_CODE_BITS]; /* several symbols at once; see huffman_tables.c */
    uint16_t single[1 << JC_MAX_CODE_BITS];
};

/* Decode exactly n >= 1 symbols from the untrusted @src[size], all of which must be used;
 * lens come from jc_read_code_table.  Never reads outside @src, never writes outside @syms[n]. */
enum jc_result jc_huffman_decode(struct jc_huffman_decoder *ws, const uint8_t *src, size_t size,
                                 const uint8_t lens[JC_MAX_ALPHABET], uint8_t *syms, size_t n);

#endif
