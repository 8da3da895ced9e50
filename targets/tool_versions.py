"""What a bundle was made with."""

from __future__ import annotations

from importlib import metadata

TOOLS = ("joulecut", "apache-tvm", "apache-tvm-ffi", "numpy", "onnx", "onnx-ir")


def tool_versions() -> dict[str, str]:
    """The installed versions of what the bytes of a bundle depend on."""
    return {name: metadata.version(name) for name in TOOLS}
