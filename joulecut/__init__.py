"""Cut a quantized network in two, compress what crosses, build each half, know what it costs."""
