from typing import ClassVar

class Device:
    active_device: ClassVar[Device]
    tag: str
    def __init__(self, tag: str, warn: bool = ...) -> None: ...
