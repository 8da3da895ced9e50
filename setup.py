"""Builds the C kernels behind Cython; everything else is in pyproject.toml."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

C_FOLDER = Path("kernels/c")

setup(
    ext_modules=cythonize(
        [
            Extension(
                "joulecut.kernels.coder",
                ["kernels/coder.pyx", *sorted(map(str, C_FOLDER.glob("*.c")))],
                include_dirs=[str(C_FOLDER)],
                depends=sorted(map(str, C_FOLDER.glob("*.h"))),
                extra_compile_args=["-std=c11", "-O3", "-ffp-contract=off", "-g0"],
            )
        ],
        language_level=3,
    )
)
