"""A bundle, checked and laid out so that its programs can run.

Programs run from a private copy of the checked bytes: what is at the bundle's path may change
after its hashes were compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from joulecut.compiler.bundle import Bundle, read_bundle
from joulecut.compiler.codec import TableSet
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.graph import input_specs, output_specs
from joulecut.compiler.link_code import LinkCode
from joulecut.compiler.manifest import specs_from_fields
from joulecut.compiler.quant import TensorSpec
from joulecut.targets import layout
from joulecut.targets.base import Target, target
from joulecut.targets.devices.records import sample_shape
from joulecut.targets.split import Side, Split


@dataclass(frozen=True)
class Opened:
    """A bundle that is ready to run, until its `with` statement ends.

    Attributes:
        bundle: what was opened.
        split: its parts, in a folder that only this process knows.
    """

    bundle: Bundle
    split: Split

    def inputs(self) -> dict[str, np.ndarray]:
        """The test vectors: N samples of each input of the whole."""
        return self._vectors("inputs", input_specs(self.split.whole))

    def answers(self) -> dict[str, np.ndarray]:
        """What the reference once made of the test vectors, lossless."""
        return self._vectors("outputs", output_specs(self.split.whole))

    def source(self) -> bytes | None:
        """The model as the user gave it, or None if it was not kept."""
        return self.bundle.open(layout.SOURCE) if layout.SOURCE in self.bundle.files else None

    def _vectors(self, kind: str, specs: tuple[TensorSpec, ...]) -> dict[str, np.ndarray]:
        """Samples in a dimension of their own; the files join them in the leading one."""
        joined = layout.read_vectors(self.bundle, kind, specs)
        return {spec.name: joined[spec.name].reshape(-1, *sample_shape(spec)) for spec in specs}


@contextmanager
def opened(bundle: Bundle | str | Path) -> Generator[Opened]:
    """Check a bundle and lay out its parts.

    Args:
        bundle: a bundle, or where one lies.

    Raises:
        ConfigError: if nothing lies there.
        UntrustedInputError: if it is not what its manifest says.
    """
    checked = bundle if isinstance(bundle, Bundle) else read_bundle(Path(bundle))
    if layout.is_adaptive(checked):
        raise ConfigError(
            f"bundle '{checked.path}' must be of one cut here, and is adaptive; run it with "
            "AdaptiveSession, or `joulecut run --rate`"
        )
    whole = layout.read_graph(checked, layout.WHOLE)
    with tempfile.TemporaryDirectory(prefix="joulecut-") as folder:
        checked.unpack(Path(folder) / "bundle")
        edge, cloud = (
            Side(
                name,
                layout.read_graph(checked, layout.graph_path(name)),
                Path(folder) / "bundle" / name,
                _target(checked.manifest, name),
            )
            for name in layout.SIDES
        )
        link, codec = _link(checked.manifest)
        code = _code(checked, link)
        if code is not None:
            edge = replace(edge, link=link)
        yield Opened(checked, Split(whole, edge, cloud, link, codec, code))


def _target(manifest: Mapping[str, Any], side: str) -> Target:
    try:
        return target(manifest["parts"][side]["target"])
    except (KeyError, TypeError) as error:
        raise UntrustedInputError(
            f"manifest must name the target of the {side}; {error!r} in the way"
        ) from error


def _link(manifest: Mapping[str, Any]) -> tuple[tuple[TensorSpec, ...], CodecConfig]:
    try:
        fields = manifest["link"]
        return specs_from_fields(fields["tensors"]), CodecConfig.model_validate(fields["codec"])
    except (KeyError, TypeError, ValidationError) as error:
        raise UntrustedInputError(
            f"manifest must describe its link with tensors and codec; {error!r} in the way"
        ) from error


def _code(bundle: Bundle, link: tuple[TensorSpec, ...]) -> LinkCode | None:
    """How the edge codes; None in a bundle whose edge does not."""
    fields: Mapping[str, Any] = bundle.manifest["link"]
    if "code" not in fields:
        return None
    trained = layout.TABLES in bundle.files
    tables = TableSet.from_bytes(bundle.open(layout.TABLES)) if trained else None
    return LinkCode.from_fields(fields["code"], link, tables)
