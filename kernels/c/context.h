/*
 * Entropy coding with tables that are selected by the neighbours: docs/bitstream.md, "Contexts".
 *
 * A symbol is a token and extra bits; its context is the class of its two neighbours' magnitudes;
 * neighbouring classes share a table (a cluster).  The tables are those of prefix codes or of ANS.
 * Symbols are uint16_t here, whatever their width.  Nothing allocates or keeps state.
 *
 * Trusted: layouts, workspaces, and symbols to encode.  Untrusted: every byte that is read.
 */
#ifndef JC_CONTEXT_H
#define JC_CONTEXT_H

#include "huffman.h"

#define JC_N_CLASSES 24
#define JC_N_UNIONS 2
#define JC_N_TOKENS 64
#define JC_MAX_CLUSTERS 16
#define JC_ANS_BITS 11 /* frequencies add up to 1 << JC_ANS_BITS */
#define JC_MAX_LANES 16

/* How the symbols of a block lie; all of it known to both ends before the block is read. */
struct jc_layout {
    size_t n;          /* symbols in the block, 1 .. 2^20 */
    size_t row;        /* distance of the upper neighbour, 0: none */
    unsigned width;    /* 1 .. 16 */
    unsigned fold;     /* magnitudes are those of folded symbols */
    unsigned lanes;    /* 1, 4 or 16 */
    unsigned n_states; /* of the trellis that selects unions: 4 or 8; 0: one union */
};

/* First symbol of a lane; lane `lanes` gives the end.  Segments of ceil(n / lanes). */
static inline size_t jc_lane_start(const struct jc_layout *layout, unsigned lane)
{
    size_t start = lane * ((layout->n + layout->lanes - 1) / layout->lanes);

    return start < layout->n ? start : layout->n;
}

/* The magnitude of a symbol. */
static inline uint32_t jc_magnitude(uint32_t symbol, unsigned fold)
{
    return (symbol + fold) >> fold;
}

/* next state of the trellis of quantizer 5; n_states is 4 or 8 (docs/tcq.md). In trellis.c. */
extern const uint8_t jc_trellis_next4[4][2];
extern const uint8_t jc_trellis_next8[8][2];

/* Tables of all clusters, as numbers: what is written, read, and offered as static tables. */
struct jc_context_model {
    uint8_t n_clusters;
    uint8_t cluster_of[JC_N_UNIONS][JC_N_CLASSES];
    uint16_t freqs[JC_MAX_CLUSTERS][JC_N_TOKENS]; /* ANS: add up to 1 << JC_ANS_BITS; or */
    uint8_t lens[JC_MAX_CLUSTERS][JC_N_TOKENS];   /* code lengths; of a single token all 0, and .. */
    int8_t only[JC_MAX_CLUSTERS];                 /* .. that token; -1 otherwise */
};

struct jc_context_encoder; /* in context_internal.h */
struct jc_context_decoder;
size_t jc_context_encoder_size(size_t max_n); /* bytes, for blocks of at most max_n symbols */
size_t jc_context_decoder_size(size_t max_n);

/* The lanes that "The encoder's choices" take for @syms[n] without a trellis. */
unsigned jc_context_lanes(const uint16_t *syms, size_t n);

/*
 * First find the contexts, then build models, then encode: begin, add, build, encode.
 *
 * jc_context_add finds the contexts of @syms[layout->n], which must fit in the width, and adds
 * its tokens to the counts; the encoders below write the block that was added last.
 * jc_context_build makes the tables that the encoder would write for all that was added since
 * jc_context_begin; either model may be NULL.
 * jc_context_build_static does so for tables that must serve other blocks too: every token that
 * fits in the width is counted at least once in every class.
 */
void jc_context_begin(struct jc_context_encoder *ws);
void jc_context_add(struct jc_context_encoder *ws, const struct jc_layout *layout,
                    const uint16_t *syms);
void jc_context_build(struct jc_context_encoder *ws, unsigned unions,
                      struct jc_context_model *prefix, struct jc_context_model *ans);
void jc_context_build_static(struct jc_context_encoder *ws, unsigned width, unsigned unions,
                             struct jc_context_model *prefix, struct jc_context_model *ans);

/* Bits of the map and the tables when written into a block. */
size_t jc_context_prefix_table_bits(const struct jc_context_model *m, unsigned unions);
size_t jc_context_ans_table_bits(const struct jc_context_model *m, unsigned unions);
void jc_write_context_prefix_table(struct jc_bit_writer *w, const struct jc_context_model *m,
                                   unsigned unions);
void jc_write_context_ans_table(struct jc_bit_writer *w, const struct jc_context_model *m,
                                unsigned unions);
enum jc_result jc_read_context_prefix_table(struct jc_bit_reader *r, unsigned unions,
                                            unsigned width, struct jc_context_model *m);
enum jc_result jc_read_context_ans_table(struct jc_bit_reader *r, unsigned unions,
                                         unsigned width, struct jc_context_model *m);

/* Bits of the codes and extra bits of what was added since jc_context_begin, under the tables, before
 * the lanes are padded: no payload is smaller.  SIZE_MAX if a token has no code. */
size_t jc_context_prefix_bits(const struct jc_context_encoder *ws,
                              const struct jc_context_model *m);

/* What follows the padded table in a payload, for the only block added since jc_context_begin.
 * Writes at most @dst[room].  Returns the bytes written, or SIZE_MAX if they do not fit or a token
 * has no code (@dst is then unspecified). */
size_t jc_context_prefix_encode(struct jc_context_encoder *ws, const struct jc_layout *layout,
                                const struct jc_context_model *m, uint8_t *dst, size_t room);
size_t jc_context_ans_encode(struct jc_context_encoder *ws, const struct jc_layout *layout,
                             const struct jc_context_model *m, uint8_t *dst, size_t room);

/* Decode exactly layout->n symbols from the untrusted @src[size], all of which must be used, else
 * JC_BAD_LENGTH or JC_BAD_PADDING.  Models come from jc_read_context_*_table, which refuses tokens
 * beyond the width.  Never reads outside @src, never writes outside @syms[n]. */
enum jc_result jc_context_prefix_decode(struct jc_context_decoder *ws,
                                        const struct jc_layout *layout, const uint8_t *src,
                                        size_t size, const struct jc_context_model *m,
                                        uint16_t *syms);
enum jc_result jc_context_ans_decode(struct jc_context_decoder *ws,
                                     const struct jc_layout *layout, const uint8_t *src,
                                     size_t size, const struct jc_context_model *m,
                                     uint16_t *syms);

/* Within 3 of 65536 log2 x, 1 <= x < 2^24; see docs/bitstream.md. */
uint32_t jc_lg(uint32_t x);

#endif
