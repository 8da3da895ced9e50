/*
 * XXH32, the checksum of the format: xxHash specification 0.1.1, with seed 0.
 *
 * acc[4]: one accumulator for each column of 4 bytes in stripes of 16; sums wrap modulo 2^32.
 */
#include "codec.h"

#define PRIME_1 0x9e3779b1u
#define PRIME_2 0x85ebca77u
#define PRIME_3 0xc2b2ae3du
#define PRIME_4 0x27d4eb2fu
#define PRIME_5 0x165667b1u

static uint32_t rotl(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

uint32_t jc_xxh32(const uint8_t *data, size_t size)
{
    uint32_t acc[4] = {PRIME_1 + PRIME_2, PRIME_2, 0, 0u - PRIME_1};
    uint32_t sum = PRIME_5;
    size_t i = 0;

    if (size >= 16) {
        for (; size - i >= 16; i += 16)
            for (unsigned k = 0; k < 4; k++)
                acc[k] = rotl(acc[k] + jc_load_le32(data + i + 4 * k) * PRIME_2, 13) * PRIME_1;
        sum = rotl(acc[0], 1) + rotl(acc[1], 7) + rotl(acc[2], 12) + rotl(acc[3], 18);
    }
    sum += (uint32_t)size;
    for (; size - i >= 4; i += 4)
        sum = rotl(sum + jc_load_le32(data + i) * PRIME_3, 17) * PRIME_4;
    for (; i < size; i++)
        sum = rotl(sum + data[i] * PRIME_5, 11) * PRIME_1;
    sum = (sum ^ sum >> 15) * PRIME_2;
    sum = (sum ^ sum >> 13) * PRIME_3;
    return sum ^ sum >> 16;
}
