/* CRC-32 with four bytes a step ("slicing"): table k answers for a byte k places back. */
#include "huffman.h"

#include "crc32_table.h"

uint32_t jc_crc32(uint32_t crc, const uint8_t *data, size_t size)
{
    size_t i = 0;

    crc = ~crc;
    for (; size - i >= 4; i += 4) {
        crc ^= (uint32_t)data[i] | (uint32_t)data[i + 1] << 8 | (uint32_t)data[i + 2] << 16 |
               (uint32_t)data[i + 3] << 24;
        crc = crc32_table[3][crc & 0xff] ^ crc32_table[2][crc >> 8 & 0xff] ^
              crc32_table[1][crc >> 16 & 0xff] ^ crc32_table[0][crc >> 24];
    }
    for (; i < size; i++)
        crc = crc >> 8 ^ crc32_table[0][(crc ^ data[i]) & 0xff];
    return ~crc;
}
