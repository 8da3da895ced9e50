/* The coder of what crosses the cut: docs/bitstream.md, "Frame of several tensors".
 *
 * The workspace of a call, all of it the caller's:
 *   tables   struct jc_tables, read from link_tables at every call; absent without static tables
 *   block    what jc_encode_tensor needs, of whichever tensor needs most */
#include "model.h"

#include "link.h"

enum { FRAME_HEADER_BYTES = 12 + 4 * MODEL_NUM_LINK };
JC_STATIC_ASSERT(MODEL_NUM_LINK >= 1 && MODEL_NUM_LINK <= 4096);

/* Keeps what follows the tables as aligned as the workspace. */
static size_t tables_room(void) {
    const size_t mask = MODEL_ARENA_ALIGNMENT - 1;
    return link_tables_bytes ? (sizeof(struct jc_tables) + mask) & ~mask : 0;
}

/* The most bytes of a coded tensor, whichever lossless quantizer its content asks for. */
static size_t tensor_bound(const struct link_tensor *tensor) {
    struct jc_header header = tensor->header;
    const size_t bound = jc_bound(&header);
    if (!tensor->lossless) return bound;
    header.quantizer = (struct jc_quantizer){.kind = JC_INTEGERS};
    header.quantizer.width = jc_dtype_bytes(header.dtype) == 1 ? 8 : 16;
    const size_t bound_of_integers = jc_bound(&header);
    return bound > bound_of_integers ? bound : bound_of_integers;
}

size_t model_link_bound(void) {
    size_t bound = FRAME_HEADER_BYTES;
    for (unsigned i = 0; i < MODEL_NUM_LINK; i++) bound += tensor_bound(&link_tensors[i]);
    return bound;
}

size_t model_link_workspace(void) {
    size_t most = 0;
    for (unsigned i = 0; i < MODEL_NUM_LINK; i++) {
        const struct jc_header *header = &link_tensors[i].header;
        const size_t nbytes = jc_workspace_size(&header->quantizer, header->block_log2);
        if (nbytes > most) most = nbytes;
    }
    return tables_room() + most;
}

size_t model_encode_link(void *workspace, const void *const tensors[], uint8_t *frame,
                         size_t capacity) {
    struct jc_tables *const tables = link_tables_bytes ? workspace : NULL;
    uint8_t *const block = (uint8_t *)workspace + tables_room();
    uint32_t sizes[MODEL_NUM_LINK];
    size_t used = FRAME_HEADER_BYTES; /* <= capacity from here on */

    if (capacity < used) return 0;
    if (tables && jc_read_tables(link_tables, link_tables_bytes, tables) != JC_OK) return 0;
    for (unsigned i = 0; i < MODEL_NUM_LINK; i++) {
        struct jc_header header = link_tensors[i].header;
        const struct jc_options options = {
            .modes = link_modes, .rates = link_tensors[i].rates, .tables = tables};
        size_t nbytes;
        if (link_tensors[i].lossless)
            jc_lossless_quantizer((enum jc_dtype)header.dtype, tensors[i], header.n_elements,
                                  &header.quantizer);
        if (jc_encode_tensor(block, &header, &options, tensors[i], frame + used, capacity - used,
                             &nbytes) != JC_OK)
            return 0;
        sizes[i] = (uint32_t)nbytes;
        used += nbytes;
    }
    if (jc_write_frame_header(frame, capacity, sizes, MODEL_NUM_LINK) != FRAME_HEADER_BYTES)
        return 0;
    model_hook(model_num_layers + 1);
    return used;
}
