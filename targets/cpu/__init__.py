"""Parts to runtime-free object code through TVM: the only door to tvm."""
