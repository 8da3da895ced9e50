"""Where things lie in an adaptive bundle, beside what targets/layout.py says of any.

    pieces/N/graph.onnx    the layers of piece N
    edge/                  libmodel.so, model, model.h, layers.json: all pieces that an edge runs
    cloud/N/               the same of piece N alone, if a server runs it
    cuts/N/tables.bin      static tables of the coder of cut N (if they make frames smaller)
    selection/table.bin    which cut is best for which channel (docs/selection.md)

The whole, the model as it was given and the test vectors lie where they do in any bundle.
"""

from __future__ import annotations

EDGE = "edge"
TABLE = "selection/table.bin"


def graph_path(piece: int) -> str:
    """The integer Graph of a piece."""
    return f"pieces/{piece}/graph.onnx"


def cloud_folder(piece: int) -> str:
    """The built part of a piece for the server."""
    return f"cloud/{piece}"


def tables_path(cut: int) -> str:
    """The static tables of a cut's coder."""
    return f"cuts/{cut}/tables.bin"
