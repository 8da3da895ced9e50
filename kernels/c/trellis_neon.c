/* Best paths with NEON: 8 lanes side by side. */
#include "trellis_internal.h"

#if defined(__ARM_NEON) && !defined(JC_SCALAR)
#include <arm_neon.h>

#define N_SIDE 8
typedef int16x8_t vec;

static inline vec v_min(vec a, vec b)
{
    return vminq_s16(a, b);
}

static inline vec v_max(vec a, vec b)
{
    return vmaxq_s16(a, b);
}

static inline vec v_load(const uint16_t *p)
{
    return vreinterpretq_s16_u16(vld1q_u16(p));
}

static inline void v_store(uint16_t *p, vec v)
{
    vst1q_u16(p, vreinterpretq_u16_s16(v));
}

static inline vec v_widen(const uint8_t *p)
{
    return vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p)));
}

#ifdef __aarch64__
/* How all samples are scaled, and what is found on the way. */
struct scaling {
    float32x4_t offset, scale, limit, most, not_finite;
};

static inline int32x4_t scale4(struct scaling *s, const float *x, unsigned fold)
{
    float32x4_t value = vld1q_f32(x);
    float32x4_t a = fold ? vabdq_f32(value, s->offset)
                         : vmaxq_f32(vsubq_f32(value, s->offset), vdupq_n_f32(0));
    float32x4_t scaled = vminq_f32(vmulq_f32(a, s->scale), s->limit);
    int32x4_t t = vcvtq_s32_f32(vaddq_f32(scaled, vdupq_n_f32(0.5f)));
    int32x4_t below = vreinterpretq_s32_u32(vcltq_f32(value, s->offset));

    s->most = vmaxq_f32(s->most, scaled);
    s->not_finite = vfmaq_f32(s->not_finite, value, vdupq_n_f32(0));
    return fold ? vsliq_n_s32(t, below, 15) : t;
}

static inline void scale8(struct scaling *s, const float *x, uint16_t *linear, unsigned fold)
{
    int16x4_t low = vmovn_s32(scale4(s, x, fold));

    v_store(linear, vmovn_high_s32(low, scale4(s, x + 4, fold)));
}

static inline void scale_all(struct scaling *s, const float *x, size_t n, uint16_t *linear,
                             unsigned fold)
{
    float rest[8];
    size_t i = 0;

    for (; n - i >= 8; i += 8)
        scale8(s, x + i, linear + i, fold);
    for (unsigned k = 0; k < 8; k++)
        rest[k] = k < n - i ? x[i + k] : vgetq_lane_f32(s->offset, 0);
    scale8(s, rest, linear + i, fold);
}

/* Scales x[n] to linear[n + 7].  Returns the largest t; -1 where a value is not finite: only then
 * 0 x is not 0. */
static int32_t scale(const struct jc_trellis *m, const float *x, size_t n, uint16_t *linear)
{
    struct scaling s = {vdupq_n_f32(m->offset), vdupq_n_f32(m->scale), vdupq_n_f32(m->limit),
                        vdupq_n_f32(0), vdupq_n_f32(0)};

    if (m->fold)
        scale_all(&s, x, n, linear, 1);
    else
        scale_all(&s, x, n, linear, 0);
    if (vminvq_u32(vceqzq_f32(s.not_finite)) == 0)
        return -1;
    return (int32_t)(vmaxvq_f32(s.most) + 0.5f);
}
#else
/* The vectors of armv7 take numbers below 2^-126 for zero, which would change what lies below the
 * offset: this is scalar. */
static int32_t scale(const struct jc_trellis *m, const float *x, size_t n, uint16_t *linear)
{
    int32_t most = 0;

    for (size_t i = 0; i < n; i++) {
        int32_t t;

        if (!jc_is_finite(x[i]))
            return -1;
        t = jc_trellis_scaled(m, x[i]);
        most = t > most ? t : most;
        linear[i] = (uint16_t)(t | (m->fold && x[i] < m->offset ? 0x8000 : 0));
    }
    return most;
}
#endif

struct rows {
    int16x8_t r[8];
};

/* Rows 2 i and 2 i + 1: words of rows i and i + 4 in turn.  Three times make columns of rows. */
static inline struct rows interleave(struct rows a)
{
    struct rows b;

    for (unsigned i = 0; i < 4; i++) {
        int16x8x2_t two = vzipq_s16(a.r[i], a.r[i + 4]);

        b.r[2 * i] = two.val[0];
        b.r[2 * i + 1] = two.val[1];
    }
    return b;
}

static void transpose(const uint16_t *const *row, size_t start, uint16_t *tile)
{
    struct rows a;

    for (unsigned i = 0; i < 8; i++)
        a.r[i] = v_load(row[i] + start);
    a = interleave(interleave(interleave(a)));
    for (unsigned i = 0; i < 8; i++)
        v_store(tile + i * N_SIDE, vandq_s16(a.r[i], vdupq_n_s16(INT16_MAX)));
}

/* The costs of two lanes, word by word. */
static inline int32x4_t two_rows(int16_t (*table)[JC_N_TRELLIS_CLASSES], const uint16_t *t)
{
    int16x4x2_t two = vzip_s16(vld1_s16(table[t[0]]), vld1_s16(table[t[1]]));

    return vreinterpretq_s32_s16(vcombine_s16(two.val[0], two.val[1]));
}

static inline void look_up(int16_t (*table)[JC_N_TRELLIS_CLASSES], const uint16_t *t,
                           vec cost[JC_N_TRELLIS_CLASSES])
{
    int32x4x2_t ab = vzipq_s32(two_rows(table, t), two_rows(table, t + 2));
    int32x4x2_t cd = vzipq_s32(two_rows(table, t + 4), two_rows(table, t + 6));

    for (unsigned i = 0; i < 2; i++) {
        int32x2_t low_ab = vget_low_s32(ab.val[i]), high_ab = vget_high_s32(ab.val[i]);
        int32x2_t low_cd = vget_low_s32(cd.val[i]), high_cd = vget_high_s32(cd.val[i]);

        cost[2 * i] = vreinterpretq_s16_s32(vcombine_s32(low_ab, low_cd));
        cost[2 * i + 1] = vreinterpretq_s16_s32(vcombine_s32(high_ab, high_cd));
    }
}

/* The bytes of two states, 8 lanes each, of words that are 0 or -1. */
static inline uint8x16_t both(const vec *turn)
{
    return vcombine_u8(vmovn_u16(vreinterpretq_u16_s16(turn[0])),
                       vmovn_u16(vreinterpretq_u16_s16(turn[1])));
}

/* The bytes of states 0, 2, 4, 6, then those of the others; their bits are the lowest four. */
static inline void store_turns(uint8_t *turns, const vec *turn, unsigned n_states)
{
    uint8x16_t low = vsliq_n_u8(both(turn), both(turn + 2), 1);

    if (n_states == 8)
        low = vsliq_n_u8(low, vsliq_n_u8(both(turn + 4), both(turn + 6), 1), 2);
    vst1q_u8(turns, low);
}

static void trace(unsigned n_states, const uint8_t *turns, unsigned n_steps,
                  uint8_t state[N_SIDE], uint8_t (*steps)[N_SIDE])
{
    const uint8_t *table = n_states == 4 ? jc_trellis_before4 : jc_trellis_before8;
    uint8x8x2_t before = {{vld1_u8(table), vld1_u8(table + 8)}};
    uint8x8_t bits = vcreate_u8(JC_TRELLIS_TURN_BITS), s = vld1_u8(state);

    while (n_steps-- > 0) {
        const uint8_t *of_step = turns + 2 * N_SIDE * n_steps;
        uint8x8_t all = vsli_n_u8(vld1_u8(of_step), vld1_u8(of_step + N_SIDE), 4);
        uint8x8_t turn = vtst_u8(all, vtbl1_u8(bits, s)); /* -1 or 0 */
        uint8x8_t from = vtbl2_u8(before, vsub_u8(vadd_u8(s, s), turn));

        vst1_u8(steps[n_steps], from);
        s = vand_u8(from, vdup_n_u8(7));
    }
    vst1_u8(state, s);
}

static void transpose_bytes(uint8_t (*steps)[N_SIDE], uint8_t (*lanes)[N_SIDE])
{
    uint8x8_t a[N_SIDE], b[N_SIDE];

    for (unsigned i = 0; i < N_SIDE; i++)
        a[i] = vld1_u8(steps[i]);
    for (unsigned time = 0; time < 3; time++) {
        for (unsigned i = 0; i < N_SIDE / 2; i++) {
            uint8x8x2_t two = vzip_u8(a[i], a[i + N_SIDE / 2]);

            b[2 * i] = two.val[0];
            b[2 * i + 1] = two.val[1];
        }
        memcpy(a, b, sizeof(a));
    }
    for (unsigned i = 0; i < N_SIDE; i++)
        vst1_u8(lanes[i], a[i]);
}

#include "trellis_viterbi.h"

enum jc_result jc_trellis_lanes_neon(void *ws, const struct jc_trellis *m,
                                     const struct jc_layout *layout, const float *x,
                                     uint16_t *syms)
{
    return quantize_lanes(ws, m, layout, x, syms);
}
#else
typedef int jc_trellis_has_no_neon; /* a file must declare something */
#endif
