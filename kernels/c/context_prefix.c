/*
 * Context prefix: docs/bitstream.md, "context prefix".  What is decoded may be hostile.
 *
 * bits     unread or unwritten bits, the lowest first; n_bits of them, at most 7 between symbols of the
 *          encoder.
 * pos      of the decoder, in bits; a lane may read zeros past its end, and is refused then.
 */
#include "context_internal.h"

#define MAX_ITEM_BITS (JC_MAX_CODE_BITS + JC_MAX_EXTRA)
JC_STATIC_ASSERT(7 + MAX_ITEM_BITS <= 32);
#define MAX_VARINT_BYTES 4 /* of a lane: 2^20 symbols of MAX_ITEM_BITS bits */
JC_STATIC_ASSERT((1ull << 20) * MAX_ITEM_BITS / 8 < 1ull << (7 * MAX_VARINT_BYTES));

size_t jc_context_prefix_bits(const struct jc_context_encoder *ws, const struct jc_context_model *m)
{
    uint64_t bits = 0;

    for (unsigned place = 0; place < JC_N_CONTEXTS * JC_N_TOKENS; place++) {
        unsigned k = jc_cluster_at(m, place), token = place % JC_N_TOKENS;
        uint64_t count = jc_context_count(ws, place);

        if (count && m->lens[k][token] == 0 && m->only[k] != (int)token)
            return SIZE_MAX;
        bits += count * (m->lens[k][token] + jc_extra_bits(token));
    }
    return bits < SIZE_MAX ? (size_t)bits : SIZE_MAX;
}

static void make_entries(struct jc_context_encoder *ws, const struct jc_context_model *m)
{
    uint16_t made[JC_MAX_CLUSTERS][JC_MAX_ALPHABET];
    uint8_t lens[JC_MAX_ALPHABET] = {0};

    for (unsigned k = 0; k < m->n_clusters; k++) {
        memcpy(lens, m->lens[k], JC_N_TOKENS);
        jc_canonical_entries(lens, made[k]);
    }
    for (unsigned place = 0; place < JC_N_CONTEXTS * JC_N_TOKENS; place++)
        ws->entries.prefix[place] = made[jc_cluster_at(m, place)][place % JC_N_TOKENS];
}

/* The code and the extra bits of an item; their number is *n_bits. */
static uint32_t item_bits(const struct jc_context_encoder *ws, uint32_t item, unsigned *n_bits)
{
    uint32_t entry = ws->entries.prefix[item & 0xffff], symbol = item >> 16;
    unsigned extra = jc_extra_bits(item % JC_N_TOKENS), length = entry & 15;

    *n_bits = length + extra;
    return entry >> 4 | (symbol & ((1u << extra) - 1)) << length;
}

/* Write a lane of @size symbols; SIZE_MAX if it does not fit, else its bytes.  Without @dst: measure. */
static size_t write_lane(const struct jc_context_encoder *ws, const uint32_t *items, size_t stride,
                         size_t size, uint8_t *dst, size_t room)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t n = 0;

    for (size_t i = 0; i < size; i++) {
        unsigned more;

        bits |= item_bits(ws, items[i * stride], &more) << n_bits;
        for (n_bits += more; n_bits >= 8; n_bits -= 8, bits >>= 8, n++)
            if (dst && n < room)
                dst[n] = (uint8_t)bits;
    }
    if (n_bits) {
        if (dst && n < room)
            dst[n] = (uint8_t)bits;
        n++;
    }
    return n <= room ? n : SIZE_MAX;
}

static size_t put_varint(uint8_t *dst, size_t room, size_t v)
{
    size_t n = 0;

    do {
        if (n == room)
            return SIZE_MAX;
        dst[n++] = (uint8_t)(v < 128 ? v : v % 128 + 128);
        v /= 128;
    } while (v);
    return n;
}

size_t jc_context_prefix_encode(struct jc_context_encoder *ws, const struct jc_layout *layout,
                                const struct jc_context_model *m, uint8_t *dst, size_t room)
{
    size_t used = 0, n;

    if (jc_context_prefix_bits(ws, m) == SIZE_MAX)
        return SIZE_MAX;
    make_entries(ws, m);
    for (unsigned lane = 0; lane + 1 < layout->lanes; lane++) {
        n = write_lane(ws, ws->items + lane, layout->lanes, jc_lane_size(layout, lane), NULL,
                       SIZE_MAX);
        n = put_varint(dst + used, room - used, n);
        if (n == SIZE_MAX)
            return SIZE_MAX;
        used += n;
    }
    for (unsigned lane = 0; lane < layout->lanes; lane++) {
        n = write_lane(ws, ws->items + lane, layout->lanes, jc_lane_size(layout, lane),
                       dst + used, room - used);
        if (n == SIZE_MAX)
            return SIZE_MAX;
        used += n;
    }
    return used;
}

/* Tables of all clusters: token << 4 | length by the next bits. */
static void fill(struct jc_context_decoder *ws, const struct jc_layout *layout,
                 const struct jc_context_model *m)
{
    uint16_t entries[JC_MAX_ALPHABET];
    uint8_t lens[JC_MAX_ALPHABET] = {0};

    for (unsigned k = 0; k < m->n_clusters; k++) {
        uint16_t *table = ws->clusters.prefix[k];

        if (m->only[k] >= 0) {
            for (unsigned i = 0; i < 1u << JC_MAX_CODE_BITS; i++)
                table[i] = (uint16_t)(m->only[k] << 4);
            continue;
        }
        memcpy(lens, m->lens[k], JC_N_TOKENS);
        jc_canonical_entries(lens, entries);
        for (unsigned token = 0; token <= jc_last_token(layout->width); token++)
            if (lens[token])
                for (unsigned i = entries[token] >> 4; i < 1u << JC_MAX_CODE_BITS;
                     i += 1u << lens[token])
                    table[i] = (uint16_t)(token << 4 | lens[token]);
    }
}

/* The next 32 bits or more of @src[size] from bit pos on; zeros follow the end. */
static jc_always_inline uint64_t peek(const uint8_t *src, size_t size, size_t pos)
{
    size_t at = pos / 8;
    uint8_t copy[8] = {0};

    if (size >= 8 && at <= size - 8)
        return jc_load_le64(src + at) >> (pos % 8);
    if (at < size)
        memcpy(copy, src + at, size - at);
    return jc_load_le64(copy) >> (pos % 8);
}

/* Decode a lane of n symbols from @src[size], all of it. */
static jc_always_inline enum jc_result read_lane(const struct jc_context_decoder *ws,
                                                 const struct jc_layout *layout,
                                                 const struct jc_context_model *m,
                                                 const uint8_t *src, size_t size, uint16_t *syms,
                                                 size_t n, const uint8_t (*next)[2])
{
    uint32_t left = 0;
    unsigned state = 0;
    size_t pos = 0;

    for (size_t i = 0; i < n; i++) {
        int has_upper = layout->row && i >= layout->row;
        uint32_t upper = has_upper ? jc_magnitude(syms[i - layout->row], layout->fold) : left;
        unsigned k = m->cluster_of[state & 1][jc_class_of(left + upper)];
        uint64_t window = peek(src, size, pos);
        uint32_t entry = ws->clusters.prefix[k][window % (1u << JC_MAX_CODE_BITS)];
        unsigned extra = jc_extra_bits(entry >> 4);

        syms[i] = (uint16_t)(jc_token_base(entry >> 4) +
                             (window >> (entry & 15) & ((1u << extra) - 1)));
        pos += (entry & 15) + extra;
        left = jc_magnitude(syms[i], layout->fold);
        state = next[state][left & 1];
        if (pos > 8 * size)
            return JC_BAD_LENGTH;
    }
    if (jc_bytes_of_bits(pos) != size)
        return JC_BAD_LENGTH;
    return pos % 8 && src[size - 1] >> (pos % 8) ? JC_BAD_PADDING : JC_OK;
}
JC_STATIC_ASSERT(7 + MAX_ITEM_BITS <= 64);

/* The next varint of @src[size]; 0 if it is longer than a lane needs, or not the shortest form. */
static size_t get_varint(const uint8_t *src, size_t size, size_t *v)
{
    *v = 0;
    for (unsigned n = 0; n < MAX_VARINT_BYTES && n < size; n++) {
        *v |= (size_t)(src[n] & 127u) << (7 * n);
        if (src[n] < 128)
            return n == 0 || src[n] ? n + 1 : 0;
    }
    return 0;
}

enum jc_result jc_context_prefix_decode(struct jc_context_decoder *ws,
                                        const struct jc_layout *layout, const uint8_t *src,
                                        size_t size, const struct jc_context_model *m,
                                        uint16_t *syms)
{
    size_t sizes[JC_MAX_LANES];

    for (unsigned lane = 0; lane + 1 < layout->lanes; lane++) {
        size_t used = get_varint(src, size, &sizes[lane]);

        if (used == 0)
            return JC_BAD_LENGTH;
        src += used;
        size -= used;
    }
    fill(ws, layout, m);
    for (unsigned lane = 0; lane < layout->lanes; lane++) {
        size_t n = jc_lane_size(layout, lane);
        size_t bytes = lane + 1 < layout->lanes ? sizes[lane] : size;
        enum jc_result result;

        if (bytes > size)
            return JC_BAD_LENGTH;
        result = read_lane(ws, layout, m, src, bytes, syms + jc_lane_start(layout, lane), n,
                           jc_next_states(layout->n_states));
        if (result != JC_OK)
            return result;
        src += bytes;
        size -= bytes;
    }
    return JC_OK;
}
