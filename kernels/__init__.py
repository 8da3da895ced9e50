"""C kernels for what crosses a cut, and their slow twins."""
