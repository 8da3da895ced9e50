"""Parts on the int8 MAC accelerator: tiles, descriptors, and what carries them out."""
