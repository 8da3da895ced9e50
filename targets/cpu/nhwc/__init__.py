"""Kernels over channels-last planes: the fast path of the cpu targets."""
