"""Builds the C kernels behind Cython; everything else is in pyproject.toml."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup


def extension(name: str, folder: Path, *flags: str) -> Extension:
    """kernels/<name>.pyx and all C files of the folder."""
    return Extension(
        f"joulecut.kernels.{name}",
        [f"kernels/{name}.pyx", *sorted(map(str, folder.glob("*.c")))],
        include_dirs=[str(folder)],
        depends=sorted(map(str, folder.glob("*.h"))),
        extra_compile_args=["-std=c11", "-O3", *flags, "-g0"],
    )


setup(
    ext_modules=cythonize(
        [
            extension("coder", Path("kernels/c"), "-ffp-contract=off"),
            extension("huffman", Path("kernels/c_v1")),
        ],
        language_level=3,
    )
)
