/* Look-up tables of jc_huffman_decode; huffman_tables.c says what their entries are. */
#ifndef JC_HUFFMAN_TABLES_H
#define JC_HUFFMAN_TABLES_H

#include "huffman.h"

#define JC_TABLE_SIZE (1u << JC_MAX_CODE_BITS)
#define JC_MAX_MULTI 6 /* symbols of one look-up */

/* Fill ws->single, and ws->multi if it will be used, for a complete code. */
void jc_fill_tables(struct jc_huffman_decoder *ws, const uint8_t lens[JC_MAX_ALPHABET],
                    int use_multi);

#endif
