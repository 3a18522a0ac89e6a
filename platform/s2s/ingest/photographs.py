"""Ordinary photographs for co-learning: from a folder, from packed HDF5, or those that lie in two wheels we depend on anyway.

Everything becomes gray in [0, 1], is cut into square tiles side by side, and is written as it is cut; edges that fill no tile are left out.

Decision: sizes are read first (from headers), so that the number of tiles is known before the first pixel is; a file that turns out to be
damaged later stops the whole set, and nothing of it can be seen.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Num
from PIL import Image, UnidentifiedImageError
from pydantic import Field

from s2s import __version__
from s2s.contracts.document import Part
from s2s.contracts.photographs import PhotographsMeta
from s2s.contracts.section import SectionId
from s2s.contracts.settings import Settings
from s2s.errors import InputError
from s2s.exchange.hdf5_images import open_hdf5_images
from s2s.ingest.checks import some
from s2s.ingest.source_file import OnProgress, no_progress, require_file, sha256_of_files
from s2s.storage.photographs import write_photographs

BUNDLED = "bundled"
BUNDLED_FILES = {
    # What the wheels hold, so nothing is ever downloaded. Of the stereo pair only one: the other shows the same scene.
    "skimage.data": (
        "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
        "hubble_deep_field.jpg", "moon.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg",
    ),
    "sklearn.datasets.images": ("china.jpg", "flower.jpg"),
}  # fmt: skip
BUNDLED_LICENCE = "pictures shipped with scikit-image (public domain, CC0 or as stated in its documentation) and scikit-learn (CC BY 2.0)"
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
MAX_PIXELS = 100_000_000
"""Of one image; what a few kilobytes of a decompression bomb may unfold to."""

LUMA = np.array([0.299, 0.587, 0.114])
"""Red, green, blue to gray. Source: ITU-R BT.601."""

log = logging.getLogger(__name__)


class PhotographSource(Part):
    """What to read and how; the same fields as the options of `s2s ingest photographs`."""

    location: str = Field(BUNDLED, min_length=1, description="a folder, an HDF5 file with hr/<n>, or `bundled`")
    id: SectionId = Field(BUNDLED, description="name of the set in the atlas")
    side: int = Field(128, ge=32, le=8192, description="height and width of a tile, pixels")
    licence: str = Field("unknown", description="as the user states it; known for `bundled`")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pictures:
    names: Sequence[str]
    shapes: Sequence[tuple[int, int]]
    read: Callable[[int], Float32[np.ndarray, "y x"]]
    paths: list[Path]


def store_photographs(
    source: PhotographSource, uri: str, settings: Settings, *, replace: bool = False, on_progress: OnProgress = no_progress
) -> PhotographsMeta:
    """Cut photographs into tiles and write them as one set; it exists once all of it does.

    Args:
        source: What to read and how.
        uri: Where the set will lie.
        settings: Endpoint, credentials, Zarr client.
        replace: Take the place of a set that is already there.
        on_progress: Told about the stages `hash` and `write`.

    Raises:
        MissingError: no such folder or file.
        InputError: no image in it, none as large as a tile, or a damaged or unreasonably large one.
        ExistsError: a set is already there and `replace` is off.
        StorageError: the store refused or broke off.

    Reads:
        Every image once, one at a time.

    Writes:
        One photograph set at `uri`.
    """
    with ExitStack() as stack:
        pictures = _open(source, stack)
        num_tiles = [(height // source.side) * (width // source.side) for height, width in pictures.shapes]
        _report_small(pictures, num_tiles, source)
        meta = PhotographsMeta(
            id=source.id,
            num_photographs=sum(num_tiles),
            side=source.side,
            source=source.location,
            licence=BUNDLED_LICENCE if source.location == BUNDLED else source.licence,
            input_sha256=sha256_of_files(pictures.paths, on_progress),
            code_version=__version__,
        )
        return write_photographs(uri, meta, _tiles(pictures, source.side, sum(num_tiles), on_progress), settings, replace=replace)


def to_gray(pixels: Num[np.ndarray, "..."], *, where: str) -> Float32[np.ndarray, "y x"]:
    """Turn pixels into gray values in [0, 1].

    Args:
        pixels: `(y, x)` or `(y, x, channel)` with 1, 3 or 4 channels, the fourth (opacity) ignored; 8 or 16 bit, or floats in [0, 1].
        where: The file and image, for messages.

    Raises:
        InputError: other channels, types or ranges.
    """
    if pixels.dtype.kind == "f":
        scale = 1.0
    elif pixels.dtype in (np.uint8, np.uint16):
        scale = float(np.iinfo(pixels.dtype).max)
    else:
        raise InputError(f"expected pixels of 8 or 16 bits, or floats from 0 to 1, got {pixels.dtype} in {where}; convert the image")
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        gray = pixels[..., :3] @ LUMA
    elif pixels.ndim == 3 and pixels.shape[2] == 1:
        gray = pixels[..., 0]
    elif pixels.ndim == 2:
        gray = pixels
    else:
        raise InputError(f"expected an image of shape (y, x) or (y, x, 1, 3 or 4 channels), got {pixels.shape} in {where}")
    gray = (gray / scale).astype(np.float32)
    if not (np.isfinite(gray).all() and gray.min() >= 0 and gray.max() <= 1 + 1e-6):
        raise InputError(
            f"expected gray values from 0 to 1, got {gray.min():g} to {gray.max():g} in {where}; "
            "divide floats by their largest possible value"
        )
    return np.asarray(np.minimum(gray, np.float32(1)))


def _open(source: PhotographSource, stack: ExitStack) -> _Pictures:
    if source.location == BUNDLED:
        paths = [Path(str(files(package) / name)) for package, names in BUNDLED_FILES.items() for name in names]
        return _from_files(paths, BUNDLED)
    path = Path(source.location).expanduser()
    if path.is_dir():
        return _from_files(sorted(item for item in path.iterdir() if item.is_file()), str(path))
    path = require_file(source.location)
    images = stack.enter_context(open_hdf5_images(path))
    names = [f"image {index} of {path}" for index in range(len(images.shapes))]
    for name, shape in zip(names, images.shapes, strict=True):
        _refuse_huge(shape[0] * shape[1], name)
    return _Pictures(
        names=names,
        shapes=[(shape[0], shape[1]) for shape in images.shapes],
        read=lambda index: to_gray(images.read(index), where=names[index]),
        paths=[path],
    )


def _from_files(candidates: list[Path], where: str) -> _Pictures:
    shapes = {path: shape for path in candidates if (shape := _image_shape(path)) is not None}
    paths = list(shapes)
    skipped = [path.name for path in candidates if path not in shapes]
    if not paths:
        raise InputError(f"expected images ({', '.join(SUFFIXES)}) in {where}, found none among {len(skipped)} files")
    if skipped:
        log.warning("skipped %d files of %s that are no images (%s): %s", len(skipped), where, ", ".join(SUFFIXES), some(skipped))
    return _Pictures(
        names=[str(path) for path in paths], shapes=list(shapes.values()), read=lambda index: _read_image(paths[index]), paths=paths
    )


def _image_shape(path: Path) -> tuple[int, int] | None:
    if path.suffix.lower() not in SUFFIXES:
        return None
    # Pillow's own guard would warn or raise by size too, with a message that names no file; ours follows.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                width, height = image.size
        except UnidentifiedImageError:
            return None
        except Image.DecompressionBombError:
            width, height = MAX_PIXELS, MAX_PIXELS
    _refuse_huge(width * height, str(path))
    return height, width


def _read_image(path: Path) -> Float32[np.ndarray, "y x"]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                # 16-bit and float images keep their depth; palettes, CMYK and their like become RGB.
                plain = image if image.mode in ("L", "RGB", "RGBA", "I;16", "I;16B", "F") else image.convert("RGB")
                pixels = np.asarray(plain)
        except (OSError, SyntaxError) as error:
            raise InputError(f"expected a complete image, {path} cannot be read ({error}); copy it again or remove it") from None
    return to_gray(pixels.astype(pixels.dtype.newbyteorder("=")), where=str(path))


def _refuse_huge(num_pixels: int, where: str) -> None:
    if num_pixels > MAX_PIXELS:
        raise InputError(f"expected at most {MAX_PIXELS:.0e} pixels per image, {where} has more; cut or shrink it first")


def _report_small(pictures: _Pictures, num_tiles: list[int], source: PhotographSource) -> None:
    small = [name for name, tiles in zip(pictures.names, num_tiles, strict=True) if tiles == 0]
    if len(small) == len(num_tiles):
        largest = max(min(shape) for shape in pictures.shapes)
        raise InputError(
            f"expected images of at least {source.side} x {source.side} pixels in {source.location}, "
            f"the largest square in them is {largest}; use --side {largest}"
        )
    if small:
        log.warning("skipped %d images smaller than a tile of %d x %d: %s", len(small), source.side, source.side, some(small))


def _tiles(pictures: _Pictures, side: int, total: int, on_progress: OnProgress) -> Iterator[Float32[np.ndarray, "side side"]]:
    done = 0
    for index, (height, width) in enumerate(pictures.shapes):
        if min(height, width) < side:
            continue
        gray = pictures.read(index)
        for top in range(0, height - side + 1, side):
            for left in range(0, width - side + 1, side):
                yield gray[top : top + side, left : left + side]
                done += 1
        on_progress("write", done, total)
