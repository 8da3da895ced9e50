/*
 * The bytes around blocks: a tensor's header, and the header of a frame.
 *
 * reader:
 *   next, end   what is left of the untrusted bytes
 *   result      JC_OK until something is wrong; then every read gives 0
 */
#include <math.h>

#include "block.h"

#define TENSOR_MAGIC 0x1a54434au /* "JCT", end of file */
#define FRAME_MAGIC 0x1a46434au  /* "JCF", end of file */
#define VERSION 2
#define MAX_ROW (1u << 24)
#define MAX_TENSORS 4096
#define MIN_STEP 0x1p-96f
#define MAX_STEP 0x1p96f

/* ---- numbers ---- */

struct reader {
    const uint8_t *next, *end;
    enum jc_result result;
};

static uint32_t read_bytes(struct reader *r, unsigned n)
{
    uint32_t value = 0;

    if (r->result == JC_OK && (size_t)(r->end - r->next) < n)
        r->result = JC_TRUNCATED;
    if (r->result != JC_OK)
        return 0;
    for (unsigned i = 0; i < n; i++)
        value |= (uint32_t)*r->next++ << (8 * i);
    return value;
}

static uint8_t read_u8(struct reader *r)
{
    return (uint8_t)read_bytes(r, 1);
}

static float read_f32(struct reader *r)
{
    uint32_t bits = read_bytes(r, 4);
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t read_varint(struct reader *r)
{
    uint32_t value = 0;
    size_t n = 0;

    if (r->result == JC_OK) {
        r->result = jc_read_varint(r->next, (size_t)(r->end - r->next), &value, &n);
        r->next += n;
    }
    return value;
}

enum jc_result jc_read_varint(const uint8_t *src, size_t size, uint32_t *value, size_t *used)
{
    uint64_t found = 0;

    for (unsigned i = 0; i < 5; i++) {
        if (i >= size)
            return JC_TRUNCATED;
        found |= (uint64_t)(src[i] & 127) << (7 * i);
        if (src[i] >> 7)
            continue;
        if ((i > 0 && src[i] == 0) || found > UINT32_MAX)
            return JC_BAD_HEADER;
        *value = (uint32_t)found;
        *used = i + 1;
        return JC_OK;
    }
    return JC_BAD_HEADER;
}

size_t jc_write_varint(uint8_t *dst, uint32_t value)
{
    size_t n = 0;

    for (; value >= 128; value >>= 7)
        dst[n++] = (uint8_t)(value | 128);
    dst[n++] = (uint8_t)value;
    return n;
}

static uint8_t *write_f32(uint8_t *dst, float value)
{
    memcpy(dst, &value, sizeof value);
    return dst + sizeof value;
}

/* ---- what a header must be ---- */

static size_t n_book(const struct jc_quantizer *q)
{
    return (size_t)1 << (q->width + (q->kind == JC_FIXED_TRELLIS));
}

static unsigned n_unions(const struct jc_quantizer *q)
{
    return q->kind == JC_TRELLIS ? 2 : 1;
}

static int is_in(unsigned x, unsigned low, unsigned high)
{
    return low <= x && x <= high;
}

static int is_book(const struct jc_quantizer *q)
{
    for (size_t i = 0; i < n_book(q); i++)
        if (!isfinite(q->book[i]) || (i > 0 && q->book[i] < q->book[i - 1]))
            return 0;
    return 1;
}

static int are_centroids(const struct jc_quantizer *q)
{
    if (q->n_centroids > JC_MAX_CENTROIDS)
        return 0;
    for (unsigned u = 0; u < n_unions(q); u++)
        for (unsigned k = 0; k < q->n_centroids; k++)
            if (!isfinite(q->centroids[u][k]) ||
                (k == 0 && q->fold && q->centroids[u][k] != 0))
                return 0;
    return 1;
}

static int is_quantizer(const struct jc_quantizer *q, unsigned dtype)
{
    int is_lattice = q->kind == JC_DEAD_ZONE || q->kind == JC_TRELLIS;
    unsigned least;

    if (q->kind == JC_BYTES)
        return q->width == 8 && q->fold == 0;
    if (q->kind == JC_INTEGERS)
        return dtype != JC_FLOAT32 && is_in(q->width, 1, 16) && q->fold <= 1;
    if (q->kind >= JC_N_QUANTIZERS || dtype == JC_INT32)
        return 0;
    /* A trellis needs magnitudes up to 3 so that every union has both parities. */
    least = q->kind == JC_TRELLIS ? (unsigned)q->fold + 2 : 1;
    if (!is_in(q->width, least, is_lattice ? 16 : 8) || q->fold > is_lattice)
        return 0;
    if (q->kind == JC_UNIFORM)
        return q->step > 0 && isfinite(q->step) && isfinite(q->offset);
    if (q->kind == JC_CODEBOOK)
        return is_book(q);
    if (q->kind == JC_FIXED_TRELLIS)
        return is_in(q->n_states, 4, 256) && (q->n_states & (q->n_states - 1)) == 0 && is_book(q);
    if (q->kind == JC_TRELLIS && q->n_states != 4 && q->n_states != 8)
        return 0;
    return q->step >= MIN_STEP && q->step <= MAX_STEP && isfinite(q->offset) && are_centroids(q);
}

enum jc_result jc_complete_header(struct jc_header *h)
{
    uint64_t bytes, elements = 1;
    int is_empty = 0;

    if (!is_in(h->dtype, JC_INT8, JC_FLOAT32) || h->n_dims > JC_MAX_DIMS || h->row >= MAX_ROW ||
        !is_in(h->block_log2, JC_MIN_BLOCK_LOG2, JC_MAX_BLOCK_LOG2) ||
        !is_quantizer(&h->quantizer, h->dtype))
        return JC_BAD_HEADER;
    bytes = jc_dtype_bytes(h->dtype);
    for (unsigned i = 0; i < h->n_dims; i++) {
        is_empty |= h->dims[i] == 0;
        if (h->dims[i] == 0)
            continue;
        if (bytes > (uint64_t)INT64_MAX / h->dims[i])
            return JC_BAD_HEADER;
        bytes *= h->dims[i];
        elements *= h->dims[i];
    }
    if (!is_empty && bytes > SIZE_MAX)
        return JC_BAD_HEADER; /* true only where size_t is narrower */
    h->n_elements = is_empty ? 0 : (size_t)elements;
    h->n_bytes = is_empty ? 0 : (size_t)bytes;
    return JC_OK;
}

/* ---- header of a tensor ---- */

static uint8_t *write_quantizer(uint8_t *p, const struct jc_quantizer *q)
{
    int is_lattice = q->kind == JC_DEAD_ZONE || q->kind == JC_TRELLIS;

    if (q->kind == JC_BYTES)
        return p;
    *p++ = q->width;
    if (q->kind == JC_INTEGERS || is_lattice)
        *p++ = q->fold;
    if (q->kind == JC_INTEGERS) {
        jc_store_le32(p, (uint32_t)q->integer_offset);
        p += 4;
    }
    if (q->kind == JC_TRELLIS)
        *p++ = (uint8_t)q->n_states;
    if (q->kind == JC_FIXED_TRELLIS)
        *p++ = (uint8_t)jc_log2_floor(q->n_states);
    if (q->kind == JC_UNIFORM || is_lattice) {
        p = write_f32(p, q->step);
        p = write_f32(p, q->offset);
    }
    if (is_lattice) {
        *p++ = q->n_centroids;
        for (unsigned u = 0; u < n_unions(q); u++)
            for (unsigned k = 0; k < q->n_centroids; k++)
                p = write_f32(p, q->centroids[u][k]);
    }
    if (q->kind == JC_CODEBOOK || q->kind == JC_FIXED_TRELLIS)
        for (size_t i = 0; i < n_book(q); i++)
            p = write_f32(p, q->book[i]);
    return p;
}

static void read_quantizer(struct reader *r, struct jc_quantizer *q)
{
    int is_lattice = q->kind == JC_DEAD_ZONE || q->kind == JC_TRELLIS;
    unsigned log2_states;

    q->width = 8;
    if (q->kind == JC_BYTES)
        return;
    q->width = read_u8(r);
    if (q->kind == JC_INTEGERS || is_lattice)
        q->fold = read_u8(r);
    if (q->kind == JC_INTEGERS) {
        uint32_t bits = read_bytes(r, 4);

        memcpy(&q->integer_offset, &bits, sizeof bits);
    }
    if (q->kind == JC_TRELLIS)
        q->n_states = read_u8(r);
    if (q->kind == JC_FIXED_TRELLIS) {
        log2_states = read_u8(r);
        q->n_states = is_in(log2_states, 2, 8) ? (uint16_t)(1u << log2_states) : 0;
    }
    if (q->kind == JC_UNIFORM || is_lattice) {
        q->step = read_f32(r);
        q->offset = read_f32(r);
    }
    if (is_lattice) {
        q->n_centroids = read_u8(r);
        for (unsigned u = 0; u < n_unions(q); u++)
            for (unsigned k = 0; k < q->n_centroids && k < JC_MAX_CENTROIDS; k++)
                q->centroids[u][k] = read_f32(r);
    }
    if ((q->kind == JC_CODEBOOK || q->kind == JC_FIXED_TRELLIS) && is_in(q->width, 1, 8))
        for (size_t i = 0; i < n_book(q); i++)
            q->book[i] = read_f32(r);
}

size_t jc_write_header(uint8_t *dst, struct jc_header *h)
{
    uint8_t *p = dst;

    jc_store_le32(p, TENSOR_MAGIC);
    p += 4;
    *p++ = VERSION;
    *p++ = h->dtype;
    *p++ = h->quantizer.kind;
    *p++ = h->n_dims;
    for (unsigned i = 0; i < h->n_dims; i++)
        p += jc_write_varint(p, h->dims[i]);
    p += jc_write_varint(p, h->row);
    *p++ = h->block_log2;
    jc_store_le32(p, h->tables_sum);
    p = write_quantizer(p + 4, &h->quantizer);
    jc_store_le32(p, jc_xxh32(dst, (size_t)(p - dst)));
    h->header_bytes = (size_t)(p - dst) + 4;
    return h->header_bytes;
}

enum jc_result jc_read_header(const uint8_t *src, size_t size, struct jc_header *h)
{
    struct reader r = {src, src + size, JC_OK};
    uint32_t magic, version, sum, summed;

    memset(h, 0, sizeof *h);
    magic = read_bytes(&r, 4);
    if (r.result == JC_OK && magic != TENSOR_MAGIC)
        return JC_BAD_MAGIC;
    version = read_u8(&r);
    if (r.result == JC_OK && version != VERSION)
        return JC_BAD_VERSION;
    h->dtype = read_u8(&r);
    h->quantizer.kind = read_u8(&r);
    h->n_dims = read_u8(&r);
    if (r.result == JC_OK && h->n_dims > JC_MAX_DIMS)
        return JC_BAD_HEADER;
    for (unsigned i = 0; i < h->n_dims; i++)
        h->dims[i] = read_varint(&r);
    h->row = read_varint(&r);
    h->block_log2 = read_u8(&r);
    h->tables_sum = read_bytes(&r, 4);
    read_quantizer(&r, &h->quantizer);
    if (r.result != JC_OK)
        return r.result;
    summed = jc_xxh32(src, (size_t)(r.next - src));
    sum = read_bytes(&r, 4);
    h->header_bytes = (size_t)(r.next - src);
    if (r.result != JC_OK)
        return r.result;
    return jc_sum_fits(summed, sum) ? jc_complete_header(h) : JC_BAD_CHECKSUM;
}

/* ---- header of a frame ---- */

size_t jc_write_frame_header(uint8_t *dst, size_t capacity, const uint32_t *sizes, unsigned n)
{
    size_t size = 8 + 4 * (size_t)n;

    if (n > MAX_TENSORS || capacity < size + 4)
        return 0;
    jc_store_le32(dst, FRAME_MAGIC);
    dst[4] = VERSION;
    dst[5] = 0;
    jc_store_le16(dst + 6, n);
    for (unsigned i = 0; i < n; i++)
        jc_store_le32(dst + 8 + 4 * i, sizes[i]);
    jc_store_le32(dst + size, jc_xxh32(dst, size));
    return size + 4;
}
