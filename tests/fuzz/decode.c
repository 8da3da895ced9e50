/*
 * Fuzz target: hostile bytes to the decoder of tensors and of static tables.
 *
 * Built with FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION, which leaves checksums out, so that
 * mutants get past them.  Every buffer has exactly the size that it claims.
 */
#include "codec.h"
#include "exact.h"

#define MAX_BYTES ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

uint32_t fuzz_made;

/* The decoder of all blocks and the walk over them must agree on what is well-formed: what
 * decodes can be walked. */
static void decode(const struct jc_header *h, const struct jc_tables *tables,
                   const uint8_t *data, size_t size)
{
    void *ws = malloc(jc_workspace_size(&h->quantizer, h->block_log2));
    uint8_t *out = exact_allocate(h->n_bytes);
    size_t counts[JC_N_MODES], at = 0;

    if (!ws)
        abort();
    enum jc_result walked = jc_scan_blocks(h, data, size, counts, &at);
    enum jc_result decoded = jc_decode_tensor(ws, h, tables, data, size, out, &at);

    if (at > size || (decoded == JC_OK && walked != JC_OK))
        abort();
    fuzz_made = fuzz_made * 31 + (uint32_t)decoded;
    if (decoded == JC_OK)
        fuzz_made = fuzz_made * 31 + jc_xxh32(out, h->n_bytes);
    exact_free(out, h->n_bytes);
    free(ws);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jc_header h;
    struct jc_tables *tables = NULL;
    size_t table_bytes = 0;

    /* An input may start with static tables: their length is its first two bytes. */
    if (size < 2)
        return 0;
    table_bytes = jc_load_le16(data);
    if (table_bytes && table_bytes <= size - 2) {
        tables = exact_allocate(sizeof(*tables));
        if (jc_read_tables(data + 2, table_bytes, tables) != JC_OK) {
            exact_free(tables, sizeof(*tables));
            return 0;
        }
    } else {
        table_bytes = 0;
    }

    /* A copy of its own, so that one byte too many is seen. */
    size_t n = size - 2 - table_bytes;
    uint8_t *blob = exact_allocate(n);
    if (n)
        memcpy(blob, data + 2 + table_bytes, n);
    if (jc_read_header(blob, n, &h) == JC_OK) {
        if (h.header_bytes > n)
            abort();
        if (tables)
            tables->sum = h.tables_sum; /* any set may be named */
        if (h.n_bytes <= MAX_BYTES)
            decode(&h, tables, blob, n);
    }
    exact_free(blob, n);
    if (tables)
        exact_free(tables, sizeof(*tables));
    return 0;
}
