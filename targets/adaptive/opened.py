"""An adaptive bundle, checked and laid out so that its programs can run.

What the manifest says of pieces and cuts is untrusted: it must fit the graph, and at every cut
each piece must find what it reads.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from joulecut.compiler.bundle import Bundle, read_bundle
from joulecut.compiler.codec import TableSet
from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.graph import Graph, input_specs, output_specs
from joulecut.compiler.link_code import LinkCode
from joulecut.compiler.manifest import specs_from_fields
from joulecut.compiler.pieces import Piece
from joulecut.compiler.quant import TensorSpec
from joulecut.compiler.selection_table import SelectionTable
from joulecut.targets import layout
from joulecut.targets.adaptive import layout as places
from joulecut.targets.base import Target, target
from joulecut.targets.devices.records import sample_shape

MAX_PIECES = 4096


@dataclass(frozen=True)
class Adaptive:
    """An adaptive bundle that is ready to run, until its `with` statement ends.

    Attributes:
        bundle: what was opened.
        folder: where it lies, which only this process knows.
        whole: the Graph that is split.
        pieces: its layers.
        codes: for each cut what crosses and how it is coded.
        names: of the cuts.
        table: which cut for which channel.
        targets: of "edge" and "cloud".
        lossless: nothing that crosses is changed by its coding.
    """

    bundle: Bundle
    folder: Path
    whole: Graph
    pieces: tuple[Piece, ...]
    codes: tuple[LinkCode, ...]
    names: tuple[str, ...]
    table: SelectionTable
    targets: Mapping[str, Target]
    lossless: bool

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs of the whole that layers make, each once, as the edge's program has them."""
        inputs = {spec.name for spec in input_specs(self.whole)}
        made = {spec.name: spec for spec in output_specs(self.whole)}
        return tuple(spec for name, spec in made.items() if name not in inputs)

    def made_on_edge(self, cut: int) -> set[str]:
        """Names of the tensors that pieces make on the edge of a cut."""
        return {
            spec.name for piece in self.pieces if cut in piece.cuts for spec in piece.outputs
        }

    def inputs(self) -> dict[str, np.ndarray]:
        """The test vectors: N samples of each input."""
        specs = input_specs(self.whole)
        joined = layout.read_vectors(self.bundle, "inputs", specs)
        return {spec.name: joined[spec.name].reshape(-1, *sample_shape(spec)) for spec in specs}


@contextmanager
def opened_adaptive(bundle: Bundle | str | Path) -> Generator[Adaptive]:
    """Check an adaptive bundle and lay it out.

    Args:
        bundle: a bundle, or where one lies.

    Raises:
        ConfigError: nothing lies there, or a bundle of one cut does.
        UntrustedInputError: it is not what its manifest says.
    """
    checked = bundle if isinstance(bundle, Bundle) else read_bundle(Path(bundle))
    if not layout.is_adaptive(checked):
        raise ConfigError(
            f"bundle '{checked.path}' must be adaptive to choose its cut, and was built for "
            f"one; build it with --adaptive"
        )
    whole = layout.read_graph(checked, layout.WHOLE)
    codes = tuple(_code(checked, i, row) for i, row in enumerate(_rows(checked, "cuts")))
    table = SelectionTable.from_bytes(checked.open(places.TABLE))
    if table.n_cuts != len(codes):
        raise UntrustedInputError(
            f"table of cuts must choose among {len(codes)}, as the manifest lists, not among "
            f"{table.n_cuts}"
        )
    found = tuple(_piece(checked, i, row, len(codes)) for i, row in _pieces(checked))
    for cut, code in enumerate(codes):
        _check_cut(whole, found, cut, code)
    names = tuple("+".join(spec.name for spec in code.specs) for code in codes)
    sides = {side: _target(checked, side) for side in layout.SIDES}
    with tempfile.TemporaryDirectory(prefix="joulecut-") as scratch:
        folder = Path(scratch) / "bundle"
        checked.unpack(folder)
        yield Adaptive(
            checked, folder, whole, found, codes, names, table, sides, _lossless(checked)
        )


def _rows(bundle: Bundle, key: str) -> list[Mapping[str, Any]]:
    rows: Any = bundle.manifest.get(key)
    if not isinstance(rows, list) or not rows:
        raise UntrustedInputError(f"{key} of an adaptive manifest must be a list, not empty")
    found: list[Any] = rows  # pyright: ignore[reportUnknownVariableType]
    if len(found) > MAX_PIECES or not all(isinstance(row, dict) for row in found):
        raise UntrustedInputError(
            f"{key} of an adaptive manifest must be at most {MAX_PIECES} objects"
        )
    return found


def _pieces(bundle: Bundle) -> enumerate[Mapping[str, Any]]:
    return enumerate(_rows(bundle, "pieces"))


def _piece(bundle: Bundle, number: int, row: Mapping[str, Any], n_cuts: int) -> Piece:
    match row.get("cuts"):
        case [*among] if all(type(cut) is int and 0 <= cut < n_cuts for cut in among):
            graph = layout.read_graph(bundle, places.graph_path(number))
            return Piece(graph, frozenset(among))
        case _:
            raise UntrustedInputError(
                f"cuts of piece {number} in a manifest must be numbers below {n_cuts}"
            )


def _code(bundle: Bundle, number: int, row: Mapping[str, Any]) -> LinkCode:
    path = places.tables_path(number)
    tables = TableSet.from_bytes(bundle.open(path)) if path in bundle.files else None
    return LinkCode.from_fields(row.get("code"), specs_from_fields(row.get("tensors")), tables)


def _check_cut(whole: Graph, found: tuple[Piece, ...], cut: int, code: LinkCode) -> None:
    """At every cut a piece finds what it reads, and the outputs are made."""
    inputs = {spec.name for spec in input_specs(whole)}
    link = {spec.name for spec in code.specs}
    edge = _known(found, cut, inputs, on_edge=True)
    cloud = _known(found, cut, link, on_edge=False)
    missing = link - edge
    missing |= {spec.name for spec in output_specs(whole)} - edge - cloud
    if missing:
        raise UntrustedInputError(
            f"pieces of cut {cut} in a manifest must make '{min(missing)}', and do not"
        )


def _known(found: tuple[Piece, ...], cut: int, given: set[str], *, on_edge: bool) -> set[str]:
    """What one side has in the end."""
    known = set(given)
    for number, piece in enumerate(found):
        if (cut in piece.cuts) == on_edge:
            lacking = {spec.name for spec in piece.inputs} - known
            if lacking:
                raise UntrustedInputError(
                    f"piece {number} must find '{min(lacking)}' at cut {cut}, and does not"
                )
            known |= {spec.name for spec in piece.outputs}
    return known


def _target(bundle: Bundle, side: str) -> Target:
    try:
        return target(bundle.manifest["parts"][side]["target"])
    except (KeyError, TypeError) as error:
        raise UntrustedInputError(
            f"manifest must name the target of the {side}; {error!r} in the way"
        ) from error


def _lossless(bundle: Bundle) -> bool:
    try:
        return bundle.manifest["selection"]["codec"]["quantizer"] == "none"
    except (KeyError, TypeError) as error:
        raise UntrustedInputError(
            f"manifest must name the codec of its selection; {error!r} in the way"
        ) from error
