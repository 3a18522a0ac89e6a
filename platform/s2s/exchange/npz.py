"""A section as an npz that comes from a stranger, and an imputed one as an npz that goes back.

Decision: the archive is taken apart by hand with numpy's own header reader instead of `numpy.load`: every size is compared with a limit
before anything of that size is made, and objects (pickles) have no way in.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Bool, Num
from numpy.lib import format as npy

from s2s.errors import InputError, reason_of
from s2s.exchange.anndata_out import ImputedSection, layers_of

MEMBERS = {"values", "genes", "tissue", "observed"}
KINDS = {"values": "uif", "genes": "US", "tissue": "bu", "observed": "bu"}
"""Kinds of numbers, as numpy names them, that each array may have."""
GENE_CHARACTERS = 200
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError, OSError, KeyError)
"""What zipfile and numpy raise at bytes that are no npz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySection:
    """A section as arrays.

    Attributes:
        values: Counts or log1p values; NaN only where not observed.
        genes: One name per plane.
        tissue: Positions on tissue.
        observed: Positions that were measured.
    """

    values: Num[np.ndarray, "gene y x"]
    genes: tuple[str, ...]
    tissue: Bool[np.ndarray, "y x"]
    observed: Bool[np.ndarray, "y x"]


def read_npz(body: bytes, *, max_values: int) -> ArraySection:
    """Read `values (gene, y, x)`, `genes (gene,)` and, where given, `tissue` and `observed` `(y, x)`.

    Args:
        body: The file.
        max_values: Genes x bins that it may hold.

    Returns:
        Where `tissue` is absent, everything is tissue; where `observed` is, it is what of the tissue is not NaN in the first gene.

    Raises:
        InputError: no npz, damaged, too large, or arrays that do not fit together.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            arrays = {name: _member(archive, info, name, max_values) for name, info in _members(archive).items()}
    except InputError:  # a ValueError too, and it already says what is wrong
        raise
    except DAMAGE as error:
        raise InputError(f"expected an npz as numpy.savez writes it, the body cannot be read: {reason_of(error)}") from None
    return _joined(arrays)


def write_npz(section: ImputedSection) -> bytes:
    """Write an imputed section: every layer of the AnnData as `(gene, y, x)`, masks, genes and provenance.

    Returns:
        `imputed`, `std`, ..., `tissue`, `is_measured`, `genes`, `reliability_pcc`, where known `imputation_reliable`, and `s2s`, JSON text.
    """
    arrays: dict[str, np.ndarray] = {
        **dict(layers_of(section)),
        "genes": np.array(section.genes, np.str_),
        "tissue": section.tissue,
        "is_measured": section.is_measured,
        "reliability_pcc": np.asarray(section.reliability),
        "s2s": np.array(json.dumps(section.provenance)),
    }
    if section.is_reliable is not None:
        arrays["imputation_reliable"] = section.is_reliable
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
    strange = sorted(set(names) - MEMBERS)
    if strange or len(set(names)) < len(names) or not {"values", "genes"} <= set(names):
        raise InputError(
            f"expected an npz with values (gene, y, x) and genes, beside them at most tissue and observed (y, x), each once; "
            f"got {', '.join(sorted(map(repr, names))[:8]) or 'nothing'}"
        )
    return dict(zip(names, archive.infolist(), strict=True))


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, max_values: int) -> np.ndarray:
    with archive.open(info) as file:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read_header(file)
        if dtype.hasobject or dtype.kind not in KINDS[name] or dtype.itemsize > 4 * GENE_CHARACTERS:
            raise InputError(f"expected {name} of numpy kinds {', '.join(KINDS[name])}, got {dtype}; objects are never read")
        count = prod(shape)
        if any(side < 0 for side in shape) or count > max_values:
            raise InputError(f"expected at most {max_values} values in {name}, it declares {' x '.join(map(str, shape))}")
        data = file.read(count * dtype.itemsize + 1)
    if len(data) != count * dtype.itemsize:
        raise InputError(f"expected {count * dtype.itemsize} bytes in {name}, as its header says, got {len(data)} or more")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")


def _joined(arrays: Mapping[str, np.ndarray]) -> ArraySection:
    values, genes = arrays["values"], arrays["genes"]
    if values.ndim != 3 or genes.shape != values.shape[:1] or 0 in values.shape:
        raise InputError(f"expected values (gene, y, x) and as many genes, got values {values.shape} and genes {genes.shape}")
    grid = values.shape[1:]
    tissue = _mask(arrays.get("tissue"), "tissue", grid, np.ones(grid, np.bool_))
    is_known = np.isfinite(values[0]) if values.dtype.kind == "f" else np.ones(grid, np.bool_)
    observed = _mask(arrays.get("observed"), "observed", grid, tissue & is_known)
    names = tuple(str(gene) for gene in np.char.decode(genes, "utf-8", "replace")) if genes.dtype.kind == "S" else tuple(map(str, genes))
    return ArraySection(values=values, genes=names, tissue=tissue, observed=observed)


def _mask(given: np.ndarray | None, name: str, grid: tuple[int, ...], otherwise: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    if given is None:
        return otherwise
    if given.shape != grid:
        raise InputError(f"expected {name} as (y, x) {grid}, got {given.shape}")
    return given.astype(np.bool_)
