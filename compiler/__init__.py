"""The core: a Graph in, integer Graphs, cuts, plans, codecs and bundles out; no clocks, boards or torch."""
