"""A part's own coder of what crosses the cut, called in this process."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from joulecut.compiler.errors import DeviceError
from joulecut.targets.devices.buffers import aligned


class LinkCoder:
    """`model_encode_link` of a loaded part, with a workspace that only its caller knows.

    Args:
        library: the part's libmodel.so.
        path: where it came from, for messages.

    Raises:
        DeviceError: the part was built without a link.
    """

    def __init__(self, library: ctypes.CDLL, path: Path) -> None:
        try:
            self._encode = library.model_encode_link
            sizes = [library.model_link_workspace, library.model_link_bound]
        except AttributeError as error:
            raise DeviceError(
                f"{path} must code its link, and does not; build the part again"
            ) from error
        for function in (self._encode, *sizes):
            function.restype = ctypes.c_size_t
        self._encode.argtypes = [*[ctypes.c_void_p] * 3, ctypes.c_size_t]
        self._path = path
        self._workspace, self._frame = (aligned(size()) for size in sizes)

    def frame(self, tensors: Any) -> bytes:
        """Code one sample; `tensors` is a C array of pointers in the order of the link."""
        workspace, frame = self._workspace.ctypes.data, self._frame.ctypes.data
        nbytes = self._encode(workspace, tensors, frame, len(self._frame))
        if nbytes == 0:
            raise DeviceError(
                f"what crosses must be finite numbers to be coded by {self._path}, and is not"
            )
        return self._frame[:nbytes].tobytes()
