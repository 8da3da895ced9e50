/*
 * Symbols -> the smallest block: docs/bitstream.md, "Blocks" and "The encoder's choices".
 *
 * best:
 *   size        of the payload.  A candidate of a lower mode, or of the same one with static tables,
 *               wins if it is not larger; one of a higher mode must be smaller.
 *   written     where its payload lies, if it had to be written to know its size; NULL if not.
 * Prefix codes are priced by counts; payloads with contexts are written, one to @dst, one to ws->spare.
 */
#include "block.h"

struct best {
    unsigned mode, is_static, lanes;
    size_t size;
    const uint8_t *written;
};

/* What a block is encoded with; lens of the best code so far. */
struct job {
    struct jc_workspace *ws;
    const struct jc_header *h;
    const struct jc_options *options;
    struct jc_symbols syms;
    size_t n, n_codes;
    struct best best;
    const uint8_t *codes; /* [n_codes] of the best mode */
    uint8_t lens[JC_MAX_ALPHABET];
    uint8_t *dst; /* where the payload may be written: behind the longest header */
};

static int may_use(const struct jc_options *options, unsigned mode)
{
    return (int)(options->modes >> mode & 1);
}

/* ---- prefix codes without contexts ---- */

/* The largest payload that would be taken. */
static size_t room_for(const struct best *best, unsigned mode)
{
    return best->size - (mode > best->mode);
}

static void take(struct job *job, unsigned mode, unsigned is_static, size_t size)
{
    job->best = (struct best){.mode = mode, .is_static = is_static, .size = size};
}

static int has_all_codes(const uint32_t counts[JC_MAX_ALPHABET],
                         const uint8_t lens[JC_MAX_ALPHABET])
{
    for (unsigned s = 0; s < JC_MAX_ALPHABET; s++)
        if (counts[s] && !lens[s])
            return 0;
    return 1;
}

typedef const uint32_t (*stream_counts)[JC_MAX_ALPHABET];

/* Price @codes[n_codes] with their own table and with a static one. */
static void try_codes(struct job *job, unsigned mode, const uint8_t *codes, size_t n_codes,
                      stream_counts by_stream, const uint32_t counts[JC_MAX_ALPHABET])
{
    uint8_t lens[JC_MAX_ALPHABET];
    size_t size = SIZE_MAX;

    if (jc_code_lengths(&job->ws->merge, counts, lens) >= 2)
        size = jc_bytes_of_bits(jc_code_table_bits(lens)) +
               jc_counted_streams_size(by_stream, n_codes, lens);
    if (size <= room_for(&job->best, mode)) {
        take(job, mode, 0, size);
        memcpy(job->lens, lens, sizeof lens);
    }
    if (jc_has_static(job->options->tables, job->h, mode) &&
        has_all_codes(counts, job->options->tables->lens[mode])) {
        memcpy(lens, job->options->tables->lens[mode], sizeof lens);
        size = jc_counted_streams_size(by_stream, n_codes, lens);
        if (size <= room_for(&job->best, mode)) {
            take(job, mode, 1, size);
            memcpy(job->lens, lens, sizeof lens);
        }
    }
    if (job->best.mode == mode) {
        job->codes = codes;
        job->n_codes = n_codes;
    }
}

static int is_constant_wide(const uint16_t *syms, size_t n)
{
    return memcmp(syms, syms + 1, (n - 1) * sizeof(*syms)) == 0;
}

/* Price what the symbols' counts decide; symbols of at most 8 bits. */
static void try_narrow(struct job *job)
{
    uint32_t by_stream[JC_HUFFMAN_STREAMS][JC_MAX_ALPHABET], counts[JC_MAX_ALPHABET];
    const uint8_t *syms = job->syms.narrow;
    unsigned width = job->h->quantizer.width;

    jc_stream_histograms(syms, job->n, by_stream);
    jc_sum_histograms((stream_counts)by_stream, counts);
    if (may_use(job->options, JC_CONSTANT) && counts[syms[0]] == job->n) {
        take(job, JC_CONSTANT, 0, 1);
        return;
    }
    if (may_use(job->options, JC_HUFFMAN))
        try_codes(job, JC_HUFFMAN, syms, job->n, (stream_counts)by_stream, counts);
    if (may_use(job->options, JC_PACKED) && width <= JC_MAX_GROUP_WIDTH) {
        size_t n_codes = jc_group_count(job->n, width);

        jc_pack_groups(syms, job->n, width, job->ws->codes);
        jc_stream_histograms(job->ws->codes, n_codes, by_stream);
        jc_sum_histograms((stream_counts)by_stream, counts);
        try_codes(job, JC_PACKED, job->ws->codes, n_codes, (stream_counts)by_stream, counts);
    }
}

/* ---- contexts ---- */

/* Write the payload, at most @dst[room]; its bytes, or SIZE_MAX if it is larger. */
static size_t write_contexts(struct job *job, const struct jc_layout *layout, unsigned mode,
                             unsigned is_static, const struct jc_context_model *m, uint8_t *dst,
                             size_t room)
{
    struct jc_context_encoder *ce = job->ws->context_encoder;
    unsigned unions = jc_n_unions(job->h);
    struct jc_bit_writer w = {dst, room, 0};
    size_t table = 0, least = 0, size;

    if (mode == JC_CONTEXT_PREFIX)
        least = jc_context_prefix_bits(ce, m);
    if (!is_static && mode == JC_CONTEXT_PREFIX)
        table = jc_bytes_of_bits(jc_context_prefix_table_bits(m, unions));
    else if (!is_static)
        table = jc_bytes_of_bits(jc_context_ans_table_bits(m, unions));
    if (least == SIZE_MAX || table + jc_bytes_of_bits(least) > room)
        return SIZE_MAX;
    if (!is_static && mode == JC_CONTEXT_PREFIX)
        jc_write_context_prefix_table(&w, m, unions);
    else if (!is_static)
        jc_write_context_ans_table(&w, m, unions);
    size = mode == JC_CONTEXT_PREFIX
               ? jc_context_prefix_encode(ce, layout, m, dst + table, room - table)
               : jc_context_ans_encode(ce, layout, m, dst + table, room - table);
    return size == SIZE_MAX ? SIZE_MAX : table + size;
}

static void try_context(struct job *job, const struct jc_layout *layout, unsigned mode,
                        unsigned is_static, const struct jc_context_model *m)
{
    uint8_t *dst = job->best.written == job->dst ? job->ws->spare : job->dst;
    size_t size = write_contexts(job, layout, mode, is_static, m, dst,
                                 room_for(&job->best, mode));

    if (size == SIZE_MAX)
        return;
    take(job, mode, is_static, size);
    job->best.lanes = layout->lanes;
    job->best.written = dst;
}

static void try_contexts(struct job *job)
{
    struct jc_workspace *ws = job->ws;
    const struct jc_tables *tables = job->options->tables;
    struct jc_layout layout;

    job->syms.wide = jc_make_wide(ws, job->syms, job->n);
    layout = jc_layout_of(job->h, job->n, jc_block_lanes(job->h, job->syms.wide, job->n));
    jc_context_begin(ws->context_encoder);
    jc_context_add(ws->context_encoder, &layout, job->syms.wide);
    jc_context_build(ws->context_encoder, jc_n_unions(job->h),
                     may_use(job->options, JC_CONTEXT_PREFIX) ? &ws->models[0] : NULL,
                     may_use(job->options, JC_CONTEXT_ANS) ? &ws->models[1] : NULL);
    /* ANS first: then the price of prefix codes mostly tells that they need not be written. */
    for (unsigned i = 2; i-- > 0;) {
        unsigned mode = JC_CONTEXT_PREFIX + i;

        if (!may_use(job->options, mode))
            continue;
        try_context(job, &layout, mode, 0, &ws->models[i]);
        if (jc_has_static(tables, job->h, mode))
            try_context(job, &layout, mode, 1, &tables->models[i]);
    }
}

/* ---- the bytes ---- */

static size_t write_block_header(const struct job *job, uint8_t *dst, uint32_t sum)
{
    unsigned lanes = jc_has_lanes(job->h) ? jc_trellis_lanes(job->n) : job->best.lanes;
    unsigned lanes_code = lanes >= 16 ? 2 : lanes >= 4 ? 1 : 0;
    size_t at = 1;

    dst[0] = (uint8_t)(job->best.mode | lanes_code << JC_BLOCK_LANES_SHIFT |
                       (job->best.is_static ? JC_BLOCK_STATIC_BIT : 0u));
    at += jc_write_varint(dst + at, (uint32_t)job->best.size);
    jc_store_le32(dst + at, sum);
    return at + 4;
}

static void write_payload(const struct job *job, uint8_t *dst)
{
    unsigned width = job->h->quantizer.width;
    struct jc_bit_writer w = {dst, job->best.size, 0};

    if (job->best.written) {
        memmove(dst, job->best.written, job->best.size);
    } else if (job->best.mode == JC_CONSTANT) {
        dst[0] = (uint8_t)(width > 8 ? job->syms.wide[0] : job->syms.narrow[0]);
        if (width > 8)
            dst[1] = (uint8_t)(job->syms.wide[0] >> 8);
    } else if (job->best.mode != JC_RAW) {
        if (!job->best.is_static)
            jc_write_code_table(&w, job->lens);
        jc_huffman_encode(job->codes, job->n_codes, job->lens, dst + jc_bytes_of_bits(w.n_bits));
    } else if (width > 8) {
        jc_pack_raw16(job->syms.wide, job->n, width, dst);
    } else {
        jc_pack_raw8(job->syms.narrow, job->n, width, dst);
    }
}

size_t jc_encode_block(struct jc_workspace *ws, const struct jc_header *h,
                       const struct jc_options *options, struct jc_symbols syms, size_t n,
                       uint8_t *dst)
{
    unsigned width = h->quantizer.width;
    struct job job = {.ws = ws, .h = h, .options = options, .syms = syms, .n = n};
    size_t at;

    job.dst = dst + JC_MAX_BLOCK_HEADER_BYTES;
    take(&job, JC_RAW, 0, jc_bytes_of_bits(n * width));
    if (width <= 8 && (options->modes & JC_MODES_FAST) != 1u << JC_RAW)
        try_narrow(&job);
    else if (width > 8 && may_use(options, JC_CONSTANT) && is_constant_wide(syms.wide, n))
        take(&job, JC_CONSTANT, 0, 2);
    if ((options->modes & ~JC_MODES_FAST) && job.best.mode != JC_CONSTANT)
        try_contexts(&job);
    at = write_block_header(&job, dst, jc_sum_of(ws, syms, width, n));
    write_payload(&job, dst + at);
    return at + job.best.size;
}
