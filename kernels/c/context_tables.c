/* The map of classes to clusters and the tables of the clusters, written and read. */
#include "context_internal.h"

#define REST 15
#define ZEROS 12
#define MIN_ZEROS 2u
#define MAX_ZEROS 9u
#define MANTISSA 3u /* bits of a frequency below its highest one that are written */

/* Clusters of one union are never those of the other, unless all are. */
static int is_shared(const struct jc_context_model *m)
{
    return m->cluster_of[1][0] == m->cluster_of[0][0];
}

static void write_map(struct jc_bit_writer *w, const struct jc_context_model *m, unsigned unions)
{
    if (unions > 1) {
        jc_put_bits(w, (uint32_t)is_shared(m), 1);
        unions = is_shared(m) ? 1 : unions;
    }
    for (unsigned u = 0; u < unions; u++)
        for (unsigned class = 1; class < JC_N_CLASSES; class++)
            jc_put_bits(w, m->cluster_of[u][class] != m->cluster_of[u][class - 1], 1);
}

static enum jc_result read_map(struct jc_bit_reader *r, unsigned unions, struct jc_context_model *m)
{
    uint32_t shared = 0;
    unsigned n = 0;

    memset(m, 0, sizeof(*m));
    if (unions > 1 && !jc_get_bits(r, 1, &shared))
        return JC_BAD_TABLE;
    for (unsigned u = 0; u < (shared ? 1 : unions); u++)
        for (unsigned class = 0; class < JC_N_CLASSES; class++) {
            uint32_t starts = 1;

            if (class && !jc_get_bits(r, 1, &starts))
                return JC_BAD_TABLE;
            n += starts;
            m->cluster_of[u][class] = (uint8_t)(n - 1);
        }
    if (shared)
        memcpy(m->cluster_of[1], m->cluster_of[0], sizeof(m->cluster_of[0]));
    m->n_clusters = (uint8_t)n;
    return n <= JC_MAX_CLUSTERS ? JC_OK : JC_BAD_TABLE;
}
JC_STATIC_ASSERT(JC_N_CONTEXTS <= UINT8_MAX);

static unsigned dropped_bits(uint32_t freq)
{
    unsigned high = jc_log2_floor(freq);

    return high > MANTISSA ? high - MANTISSA : 0;
}

static int is_writable(uint32_t freq)
{
    return freq < JC_ANS_SUM && (freq == 0 || freq % (1u << dropped_bits(freq)) == 0);
}

/* The token whose frequency is what is missing: the one that cannot be written, of which the
 * encoder makes at most one, else the first of the largest. */
static unsigned token_of_rest(const uint16_t freqs[JC_N_TOKENS])
{
    unsigned largest = 0;

    for (unsigned i = 0; i < JC_N_TOKENS; i++) {
        if (!is_writable(freqs[i]))
            return i;
        if (freqs[i] > freqs[largest])
            largest = i;
    }
    return largest;
}

static void write_freq(struct jc_bit_writer *w, uint32_t freq)
{
    unsigned high = jc_log2_floor(freq);

    jc_put_bits(w, high + 1, 4);
    jc_put_bits(w, freq >> dropped_bits(freq), high < MANTISSA ? high : MANTISSA);
}

static void write_freqs(struct jc_bit_writer *w, const uint16_t freqs[JC_N_TOKENS])
{
    unsigned rest = token_of_rest(freqs), last = JC_N_TOKENS - 1;

    while (freqs[last] == 0)
        last--;
    jc_put_bits(w, last, 6);
    for (unsigned i = 0, run; i <= last; i += run) {
        for (run = 0; freqs[i + run] == 0 && run < MAX_ZEROS; run++)
            ;
        if (run >= MIN_ZEROS) {
            jc_put_bits(w, ZEROS, 4);
            jc_put_bits(w, run - MIN_ZEROS, 3);
            continue;
        }
        run = 1;
        if (i == rest)
            jc_put_bits(w, REST, 4);
        else if (freqs[i])
            write_freq(w, freqs[i]);
        else
            jc_put_bits(w, 0, 4);
    }
}

/* One frequency, or *run zeros; *freq is 0 then.  REST gives JC_ANS_SUM, which no other does. */
static int read_freq(struct jc_bit_reader *r, uint32_t *freq, unsigned *run)
{
    uint32_t kind, low = 0;

    *freq = 0;
    *run = 1;
    if (!jc_get_bits(r, 4, &kind))
        return 0;
    if (kind == REST) {
        *freq = JC_ANS_SUM;
        return 1;
    }
    if (kind == ZEROS) {
        if (!jc_get_bits(r, 3, &low))
            return 0;
        *run = MIN_ZEROS + low;
        return 1;
    }
    if (kind == 0 || kind > JC_ANS_BITS)
        return kind == 0;
    kind--; /* place of the highest bit */
    if (!jc_get_bits(r, kind < MANTISSA ? kind : MANTISSA, &low))
        return 0;
    *freq = (1u << kind) + (low << (kind > MANTISSA ? kind - MANTISSA : 0));
    return 1;
}

static enum jc_result read_freqs(struct jc_bit_reader *r, unsigned width,
                                 uint16_t freqs[JC_N_TOKENS])
{
    uint32_t last, sum = 0;
    unsigned rest = JC_N_TOKENS;

    if (!jc_get_bits(r, 6, &last) || last > jc_last_token(width))
        return JC_BAD_TABLE;
    for (unsigned i = 0, run; i <= last; i += run) {
        uint32_t freq;

        if (!read_freq(r, &freq, &run) || (freq == 0 && i + run > last))
            return JC_BAD_TABLE;
        if (freq != JC_ANS_SUM) {
            sum += freq;
            freqs[i] = (uint16_t)freq;
        } else if (rest == JC_N_TOKENS) {
            rest = i;
        } else {
            return JC_BAD_TABLE;
        }
    }
    if (rest == JC_N_TOKENS || sum >= JC_ANS_SUM)
        return JC_BAD_TABLE;
    freqs[rest] = (uint16_t)(JC_ANS_SUM - sum);
    return JC_OK;
}

void jc_write_context_ans_table(struct jc_bit_writer *w, const struct jc_context_model *m,
                                unsigned unions)
{
    write_map(w, m, unions);
    for (unsigned k = 0; k < m->n_clusters; k++)
        write_freqs(w, m->freqs[k]);
}

enum jc_result jc_read_context_ans_table(struct jc_bit_reader *r, unsigned unions, unsigned width,
                                         struct jc_context_model *m)
{
    enum jc_result result = read_map(r, unions, m);

    for (unsigned k = 0; k < m->n_clusters && result == JC_OK; k++)
        result = read_freqs(r, width, m->freqs[k]);
    return result;
}

static void write_lens(struct jc_bit_writer *w, const uint8_t lens[JC_N_TOKENS], int only)
{
    uint8_t wide[JC_MAX_ALPHABET] = {0};

    jc_put_bits(w, only >= 0, 1);
    if (only >= 0) {
        jc_put_bits(w, (uint32_t)only, 6);
        return;
    }
    memcpy(wide, lens, JC_N_TOKENS);
    jc_write_code_table(w, wide);
}

static enum jc_result read_lens(struct jc_bit_reader *r, unsigned width, uint8_t lens[JC_N_TOKENS],
                                int8_t *only)
{
    uint8_t wide[JC_MAX_ALPHABET];
    uint32_t is_only, token;
    enum jc_result result;

    if (!jc_get_bits(r, 1, &is_only))
        return JC_BAD_TABLE;
    *only = -1;
    if (is_only) {
        if (!jc_get_bits(r, 6, &token) || token > jc_last_token(width))
            return JC_BAD_TABLE;
        *only = (int8_t)token;
        return JC_OK;
    }
    result = jc_read_code_table(r, jc_last_token(width) + 1, wide);
    if (result == JC_OK)
        memcpy(lens, wide, JC_N_TOKENS);
    return result;
}

void jc_write_context_prefix_table(struct jc_bit_writer *w, const struct jc_context_model *m,
                                   unsigned unions)
{
    write_map(w, m, unions);
    for (unsigned k = 0; k < m->n_clusters; k++)
        write_lens(w, m->lens[k], m->only[k]);
}

enum jc_result jc_read_context_prefix_table(struct jc_bit_reader *r, unsigned unions,
                                            unsigned width, struct jc_context_model *m)
{
    enum jc_result result = read_map(r, unions, m);

    for (unsigned k = 0; k < m->n_clusters && result == JC_OK; k++)
        result = read_lens(r, width, m->lens[k], &m->only[k]);
    return result;
}

size_t jc_context_ans_table_bits(const struct jc_context_model *m, unsigned unions)
{
    struct jc_bit_writer measure = {NULL, 0, 0};

    jc_write_context_ans_table(&measure, m, unions);
    return measure.n_bits;
}

size_t jc_context_prefix_table_bits(const struct jc_context_model *m, unsigned unions)
{
    struct jc_bit_writer measure = {NULL, 0, 0};

    jc_write_context_prefix_table(&measure, m, unions);
    return measure.n_bits;
}
