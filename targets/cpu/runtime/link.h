/* What crosses the cut, as data: the build writes the tables, link.c reads them. */
#ifndef LINK_H
#define LINK_H

#include "codec.h"

/* One tensor that crosses.
 *   header    what jc_complete_header wants; its quantizer is JC_BYTES for lossless integers
 *   rates     what symbols cost, or NULL
 *   lossless  no integer may change: the quantizer is chosen for each sample instead */
struct link_tensor {
    struct jc_header header;
    const struct jc_rates *rates;
    int lossless;
};

extern const struct link_tensor link_tensors[]; /* [MODEL_NUM_LINK] */
extern const unsigned link_modes;               /* of struct jc_options */
extern const uint8_t link_tables[];             /* [link_tables_bytes], static tables as written */
extern const size_t link_tables_bytes;

#endif
