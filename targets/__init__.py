"""Places where a part can run, and how to compile for, reach and time them."""
