"""What joulecut uses of pynq, which is not installed beside it (its numpy is older)."""

from collections.abc import Mapping
from typing import Any, ClassVar

class DefaultIP:
    bindto: ClassVar[list[str]]
    device: Any
    def __init__(self, description: Mapping[str, Any]) -> None: ...
    def read(self, offset: int = ...) -> int: ...
    def write(self, offset: int, value: int) -> None: ...

class Overlay:
    def __init__(self, bitfile_name: str, *, device: Any = ...) -> None: ...
    def __getattr__(self, name: str) -> Any: ...

class Clocks:
    fclk0_mhz: ClassVar[float]

def allocate(shape: tuple[int, ...], dtype: str = ..., target: Any = ...) -> Any: ...
