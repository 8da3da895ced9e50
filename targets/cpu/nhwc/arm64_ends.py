"""The end of a tile in AArch64 NEON: what LLVM does not find by itself.

A product is kept apart from the sum that reads it by a fence instead of a bound. And integers
that fit in 16 bits before they are clamped need no float bounds: saturation is the clamp.
"""

from __future__ import annotations

from functools import partial

from joulecut.targets.cpu.nhwc.arm32_ends import apart, store
from joulecut.targets.cpu.nhwc.family import Ends

ENDS = Ends(apart=apart, store=partial(store, saturate="llvm.aarch64.neon.sqxtn.v8i8"))
