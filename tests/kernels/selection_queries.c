/*
 * Looks up channels in a table of cuts.
 *
 * usage: selection_queries TABLE QUERIES
 * QUERIES are records of x, f64, and the previous cut, u32.  Writes a u32 for each to stdout:
 * the cut, or 0x10000 + the error.
 */
#include <stdio.h>
#include <stdlib.h>

#include "selection.h"

#define QUERY_BYTES 12

/* A file, in memory that ends where it does. */
static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes;

    if (!file || fseek(file, 0, SEEK_END) != 0)
        exit(2);
    *size = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(*size ? *size : 1);
    if (!bytes || fread(bytes, 1, *size, file) != *size)
        exit(2);
    fclose(file);
    return bytes;
}

int main(int argc, char **argv)
{
    struct jc_selection table;
    uint8_t *blob, *queries;
    size_t blob_size, size;

    if (argc != 3)
        return 2;
    blob = read_file(argv[1], &blob_size);
    queries = read_file(argv[2], &size);
    if (jc_read_selection(blob, blob_size, &table) != JC_OK)
        return 1;
    for (size_t at = 0; at + QUERY_BYTES <= size; at += QUERY_BYTES) {
        uint64_t bits = jc_load_le64(queries + at);
        unsigned cut = 0;
        uint8_t said[4];
        enum jc_result result;
        double x;

        memcpy(&x, &bits, sizeof(x));
        result = jc_select(&table, x, jc_load_le32(queries + at + 8), &cut);
        jc_store_le32(said, result == JC_OK ? cut : 0x10000u + (unsigned)result);
        fwrite(said, 1, sizeof(said), stdout);
    }
    free(queries);
    free(blob);
    return 0;
}
