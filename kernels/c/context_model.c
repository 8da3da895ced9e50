/*
 * Tables from counts: docs/bitstream.md, "The encoder's choices", clusters, frequencies and lengths.
 *
 *   rows[n]     clusters so far, by union, then by their first class; counts are rows of ws->merged.
 *   price       of a cluster on its own, in 1/65536 bits.
 *   joint       price of this cluster and the next one of its union as one; NEVER without a next one.
 *   union_of    JC_SHARED if the cluster is one of both unions.
 */
#include "context_internal.h"

#define LG_ONE 65536u
#define TABLE_BITS 24
#define TOKEN_BITS 7
#define NEVER UINT64_MAX
#define MAX_COUNTED (1u << 24) /* what jc_lg and jc_code_lengths take */

struct cluster {
    uint64_t price, joint;
    uint8_t row, union_of, first_class;
};

struct clusters {
    struct cluster rows[JC_N_CONTEXTS];
    unsigned n;
    uint64_t price;
};

/* Price of the counts a + b. */
static uint64_t price_of(const uint32_t a[JC_N_TOKENS], const uint32_t b[JC_N_TOKENS])
{
    uint64_t parts = 0, sum = 0, table = TABLE_BITS;

    for (unsigned i = 0; i < JC_N_TOKENS; i++) {
        uint32_t c = a[i] + b[i];

        if (c == 0)
            continue;
        sum += c;
        parts += (uint64_t)c * jc_lg(c);
        table += TOKEN_BITS;
    }
    return sum ? sum * jc_lg((uint32_t)sum) - parts + table * LG_ONE : 0;
}

static void price_joint(struct jc_context_encoder *ws, struct clusters *all, unsigned k)
{
    struct cluster *c = &all->rows[k];

    if (k + 1 == all->n || c[1].union_of != c->union_of)
        c->joint = NEVER;
    else
        c->joint = price_of(ws->merged[c->row], ws->merged[c[1].row]);
}

static void join(struct jc_context_encoder *ws, struct clusters *all, unsigned k)
{
    struct cluster *c = &all->rows[k];

    for (unsigned i = 0; i < JC_N_TOKENS; i++)
        ws->merged[c->row][i] += ws->merged[c[1].row][i];
    c->price = c->joint;
    all->n--;
    memmove(c + 1, c + 2, (all->n - k - 1) * sizeof(*c));
    price_joint(ws, all, k);
    if (k)
        price_joint(ws, all, k - 1);
}

/* Every class that occurs is a cluster; the first one of a union that does not occur, too.  Unions
 * from `first` to before `end`. */
static void find_classes(struct jc_context_encoder *ws, unsigned first, unsigned end,
                         struct clusters *all)
{
    static const uint32_t none[JC_N_TOKENS];

    all->n = 0;
    for (unsigned u = first; u < end; u++) {
        unsigned n_before = all->n;

        for (unsigned class = 0; class < JC_N_CLASSES; class++) {
            unsigned row = u * JC_N_CLASSES + class;
            uint64_t price = price_of(ws->merged[row], none);

            if (price)
                all->rows[all->n++] = (struct cluster){price, NEVER, (uint8_t)row, (uint8_t)u,
                                                       (uint8_t)class};
        }
        if (all->n == n_before)
            all->rows[all->n++] =
                (struct cluster){0, NEVER, (uint8_t)(u * JC_N_CLASSES), (uint8_t)u, 0};
    }
}

static void cluster(struct jc_context_encoder *ws, unsigned first, unsigned end,
                    struct clusters *all)
{
    find_classes(ws, first, end, all);
    for (unsigned k = 0; k < all->n; k++)
        price_joint(ws, all, k);
    for (;;) {
        int64_t least = INT64_MAX;
        unsigned best = 0;

        for (unsigned k = 0; k < all->n; k++) {
            const struct cluster *c = &all->rows[k];
            int64_t more = c->joint == NEVER ? INT64_MAX
                                             : (int64_t)(c->joint - c->price - c[1].price);

            if (more < least) {
                least = more;
                best = k;
            }
        }
        if (least == INT64_MAX || (least >= 0 && all->n <= JC_MAX_CLUSTERS))
            break;
        join(ws, all, best);
    }
    all->price = 0;
    for (unsigned k = 0; k < all->n; k++)
        all->price += all->rows[k].price;
}

/* The clusters of both unions together instead, unless they cost more. */
static void share_unions(struct jc_context_encoder *ws, struct clusters *all)
{
    struct clusters shared;

    cluster(ws, JC_SHARED, JC_SHARED + 1, &shared);
    if (shared.price <= all->price)
        *all = shared;
}

static void add_unions(struct jc_context_encoder *ws)
{
    for (unsigned class = 0; class < JC_N_CLASSES; class++)
        for (unsigned i = 0; i < JC_N_TOKENS; i++)
            ws->merged[JC_N_CONTEXTS + class][i] =
                ws->merged[class][i] + ws->merged[JC_N_CLASSES + class][i];
}

/* Classes without symbols join the cluster below them, the first ones the cluster above. */
static void map_classes(const struct clusters *all, struct jc_context_model *m)
{
    memset(m, 0, sizeof(*m));
    m->n_clusters = (uint8_t)all->n;
    for (unsigned k = 0; k < all->n; k++) {
        const struct cluster *c = &all->rows[k];
        int is_first = k == 0 || c[-1].union_of != c->union_of;
        unsigned u = c->union_of == JC_SHARED ? 0 : c->union_of;

        for (unsigned class = is_first ? 0 : c->first_class; class < JC_N_CLASSES; class++)
            m->cluster_of[u][class] = (uint8_t)k;
    }
    if (all->rows[0].union_of == JC_SHARED)
        memcpy(m->cluster_of[1], m->cluster_of[0], sizeof(m->cluster_of[0]));
}

static uint32_t writable_below(uint32_t v)
{
    unsigned dropped = v < 16 ? 0 : jc_log2_floor(v) - 3;

    return v >> dropped << dropped;
}

/* round(JC_ANS_SUM count / total), half up, at least 1 */
static uint32_t share(uint32_t count, uint32_t total)
{
    uint64_t twice = 2ull * JC_ANS_SUM * count + total;
    uint32_t v = (uint32_t)(twice / (2ull * total));

    return v ? v : 1;
}

/* The writable frequency nearest to v, the larger one of two that are as near. */
static uint32_t writable_near(uint32_t v)
{
    return writable_below(v < 16 ? v : v + (1u << (jc_log2_floor(v) - 3) >> 1));
}

static unsigned largest(const uint16_t freqs[JC_N_TOKENS], unsigned but)
{
    unsigned best = but ? 0 : 1;

    for (unsigned i = best; i < JC_N_TOKENS; i++)
        if (i != but && freqs[i] > freqs[best])
            best = i;
    return best;
}

static void find_freqs(const uint32_t counts[JC_N_TOKENS], uint16_t freqs[JC_N_TOKENS])
{
    uint32_t total = 0, used = 0, half;
    unsigned most = 0;

    memset(freqs, 0, JC_N_TOKENS * sizeof(freqs[0]));
    for (unsigned i = 0; i < JC_N_TOKENS; i++) {
        total += counts[i];
        most = counts[i] > counts[most] ? i : most;
    }
    if (total == 0) {
        freqs[0] = JC_ANS_SUM;
        return;
    }
    for (unsigned i = 0; i < JC_N_TOKENS; i++)
        if (counts[i] && i != most)
            used += freqs[i] = (uint16_t)writable_near(share(counts[i], total));
    half = (share(counts[most], total) + 1) / 2;
    while (used + half > JC_ANS_SUM) {
        unsigned i = largest(freqs, most);
        uint32_t less = writable_below(freqs[i] - 1u);

        used -= freqs[i] - less;
        freqs[i] = (uint16_t)less;
    }
    freqs[most] = (uint16_t)(JC_ANS_SUM - used);
}
/* With every other frequency at 1 there is room for half of JC_ANS_SUM: none falls to 0. */
JC_STATIC_ASSERT(JC_N_TOKENS - 1 + (JC_ANS_SUM + 1) / 2 <= JC_ANS_SUM);

static void find_lens(struct jc_context_encoder *ws, const uint32_t counts[JC_N_TOKENS],
                      uint8_t lens[JC_N_TOKENS], int8_t *only)
{
    uint32_t wide[JC_MAX_ALPHABET] = {0};
    uint8_t found[JC_MAX_ALPHABET];

    memcpy(wide, counts, JC_N_TOKENS * sizeof(counts[0]));
    *only = -1;
    if (jc_code_lengths(&ws->merge, wide, found) < 2) {
        *only = 0;
        for (unsigned i = 0; i < JC_N_TOKENS; i++)
            if (counts[i])
                *only = (int8_t)i;
    }
    memcpy(lens, found, JC_N_TOKENS);
}

/* Fewer than MAX_COUNTED, and as many of each as of the others in proportion. */
static void scale_down(struct jc_context_encoder *ws)
{
    uint64_t total;

    do {
        total = 0;
        for (unsigned row = 0; row < JC_N_CONTEXTS; row++)
            for (unsigned i = 0; i < JC_N_TOKENS; i++)
                total += ws->merged[row][i];
        for (unsigned row = 0; row < JC_N_CONTEXTS && total >= MAX_COUNTED; row++)
            for (unsigned i = 0; i < JC_N_TOKENS; i++)
                ws->merged[row][i] -= ws->merged[row][i] / 2;
    } while (total >= MAX_COUNTED);
}

static void build(struct jc_context_encoder *ws, unsigned unions, struct jc_context_model *prefix,
                  struct jc_context_model *ans)
{
    struct clusters all;

    scale_down(ws);
    add_unions(ws);
    cluster(ws, 0, unions, &all);
    if (unions > 1)
        share_unions(ws, &all);
    if (ans) {
        map_classes(&all, ans);
        for (unsigned k = 0; k < all.n; k++)
            find_freqs(ws->merged[all.rows[k].row], ans->freqs[k]);
    }
    if (prefix) {
        map_classes(&all, prefix);
        for (unsigned k = 0; k < all.n; k++)
            find_lens(ws, ws->merged[all.rows[k].row], prefix->lens[k], &prefix->only[k]);
    }
}

void jc_context_build(struct jc_context_encoder *ws, unsigned unions,
                      struct jc_context_model *prefix, struct jc_context_model *ans)
{
    for (unsigned place = 0; place < JC_N_CONTEXTS * JC_N_TOKENS; place++)
        ws->merged[place / JC_N_TOKENS][place % JC_N_TOKENS] = jc_context_count(ws, place);
    build(ws, unions, prefix, ans);
}

void jc_context_build_static(struct jc_context_encoder *ws, unsigned width, unsigned unions,
                             struct jc_context_model *prefix, struct jc_context_model *ans)
{
    for (unsigned place = 0; place < JC_N_CONTEXTS * JC_N_TOKENS; place++) {
        uint32_t count = jc_context_count(ws, place);
        int fits = place % JC_N_TOKENS <= jc_last_token(width);

        ws->merged[place / JC_N_TOKENS][place % JC_N_TOKENS] = fits && !count ? 1 : count;
    }
    build(ws, unions, prefix, ans);
}
