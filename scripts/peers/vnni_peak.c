/* What this processor can do at most: 8-bit products on 512-bit registers, and its clock.
 *
 * Both loops live in registers, so that no memory and no decoder is in the way.  Inputs are
 * zeros; the instructions take the same time for all values.
 */
#include <stdint.h>

/* Products of one vpdpbusd on zmm: 16 lanes of 4. */
const int32_t vnni_products_per_instruction = 64;

/* Accumulators that do not depend on one another: more than latency times ports (5 x 2). */
const int32_t vnni_instructions_per_round = 24;

const int32_t clock_cycles_per_round = 24; /* 8 dependent imul, 3 cycles each on every core
                                              since Nehalem and Zen (Agner Fog's tables) */

#define DOT(n) "vpdpbusd %%zmm30, %%zmm31, %%zmm" #n "\n\t"

void vnni_run(int64_t rounds) {
    __asm__ volatile(
        "vpxord %%zmm30, %%zmm30, %%zmm30\n\t"
        "vpxord %%zmm31, %%zmm31, %%zmm31\n\t"
        ".balign 64\n"
        "1:\n\t"
        DOT(0) DOT(1) DOT(2) DOT(3) DOT(4) DOT(5) DOT(6) DOT(7)
        DOT(8) DOT(9) DOT(10) DOT(11) DOT(12) DOT(13) DOT(14) DOT(15)
        DOT(16) DOT(17) DOT(18) DOT(19) DOT(20) DOT(21) DOT(22) DOT(23)
        "dec %0\n\t"
        "jnz 1b\n\t"
        "vzeroupper\n\t"
        : "+r"(rounds)
        :
        : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
          "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18",
          "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm30", "xmm31");
}

void clock_run(int64_t rounds) {
    uint64_t value = 1;
    __asm__ volatile(
        ".balign 64\n"
        "1:\n\t"
        "imul %1, %1\n\t" "imul %1, %1\n\t" "imul %1, %1\n\t" "imul %1, %1\n\t"
        "imul %1, %1\n\t" "imul %1, %1\n\t" "imul %1, %1\n\t" "imul %1, %1\n\t"
        "dec %0\n\t"
        "jnz 1b\n\t"
        : "+r"(rounds), "+r"(value)
        :
        : "cc");
}
