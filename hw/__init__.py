"""Energy, radio and accelerator models; they know nothing of graphs."""
