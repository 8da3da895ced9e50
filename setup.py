"""Builds the C kernels behind Cython; everything else is in pyproject.toml."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

C_SOURCES = sorted(str(path) for path in Path("kernels/c").glob("*.c"))

setup(
    ext_modules=cythonize(
        [
            Extension(
                "joulecut.kernels.huffman",
                ["kernels/huffman.pyx", *C_SOURCES],
                include_dirs=["kernels/c"],
                extra_compile_args=["-std=c11", "-O3"],
            )
        ],
        language_level=3,
    )
)
