from collections.abc import Callable
from typing import Any

import numpy as np

class PynqBuffer(np.ndarray):
    memory: Any
    pointer: int
    return_to: Any
    freed: bool
    flush: Callable[[PynqBuffer], None]
    invalidate: Callable[[PynqBuffer], None]
    def __new__(
        cls,
        shape: tuple[int, ...],
        dtype: Any,
        *,
        device: Any,
        device_address: int,
        bo: int,
        coherent: bool = ...,
    ) -> PynqBuffer: ...
