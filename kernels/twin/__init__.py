"""The slow twins: the format as docs/bitstream.md says it, one bit at a time."""
