"""Prints kernels/c_v1/crc32_table.h: CRC-32 of one byte followed by 0 to 3 zero bytes.

Run `python scripts/gen_crc32_table.py > kernels/c_v1/crc32_table.h`; a test compares the two.
"""

POLYNOMIAL = 0xEDB88320  # 0x04C11DB7 with its bits reversed
SLICES = 4


def crc_tables() -> list[list[int]]:
    """`tables[k][byte]`: the register after `byte` and then k zero bytes, from register 0."""
    first: list[int] = []
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = (register >> 1) ^ (POLYNOMIAL if register & 1 else 0)
        first.append(register)
    tables = [first]
    for _ in range(SLICES - 1):
        tables.append([(value >> 8) ^ first[value & 0xFF] for value in tables[-1]])
    return tables


def header_text() -> str:
    """The C header."""
    lines = [
        "/* Written by scripts/gen_crc32_table.py; do not edit. */",
        f"static const uint32_t crc32_table[{SLICES}][256] = {{",
    ]
    for table in crc_tables():
        lines.append("    {")
        for start in range(0, 256, 6):
            row = ", ".join(f"0x{value:08x}" for value in table[start : start + 6])
            lines.append(f"        {row},")
        lines.append("    },")
    return "\n".join([*lines, "};", ""])


if __name__ == "__main__":
    print(header_text(), end="")
