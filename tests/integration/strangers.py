"""Bodies and URIs that somebody might send who means no good, or does not know better: each a name, and what is sent."""

import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa

H5AD, NPZ, ARROW, JSON = "application/x-hdf5", "application/x-npz", "application/vnd.apache.arrow.stream", "application/json"
Sent = tuple[str, bytes]
"""Content-Type and body."""
GENES = np.array(["A", "B"])


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def declared(shape: str, data: bytes = b"") -> bytes:
    """An npz whose values declare a shape and hold other bytes."""
    header = f"{{'descr': '<u2', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(npz(genes=GENES))) as genes, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("values.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data)
        archive.writestr("genes.npy", genes.read("genes.npy"))
    return file.getvalue()


def stream(table: pa.Table, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


class Trap:
    """A pickle that makes a file when it is opened."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self):
        return (open, (self._path, "w"))


def crafted(folder: Path, sound_h5ad: bytes) -> Iterator[tuple[str, Sent]]:
    """Bodies that are made to do harm.

    Args:
        folder: For files; a trap that springs makes `sprung` there.
        sound_h5ad: A section that is sound.
    """
    trap = np.array([[[Trap(str(folder / "sprung"))]]], dtype=object)
    ones = np.ones((2, 4, 4))
    yield "empty", (NPZ, b"")
    yield "text", (NPZ, b"hello")
    yield "pickle in npz", (NPZ, npz(values=trap, genes=GENES[:1]))
    yield "bare pickle", (NPZ, pickle.dumps(Trap(str(folder / "sprung"))))
    yield "a billion bins", (NPZ, declared("(2, 1000000000, 1)"))
    yield "more than all memory", (NPZ, declared("(2, 100000000, 100000000)"))
    yield "zip bomb", (NPZ, declared("(2, 4, 4)", bytes(200_000_000)))
    yield "nan", (NPZ, npz(values=ones * np.nan, genes=GENES))
    yield "infinite", (NPZ, npz(values=np.full((2, 4, 4), np.inf), genes=GENES))
    yield "negative", (NPZ, npz(values=-ones, genes=GENES))
    yield "fractions", (NPZ, npz(values=ones / 3, genes=GENES))
    yield "complex", (NPZ, npz(values=ones * 1j, genes=GENES))
    yield "twice the same gene", (NPZ, npz(values=ones, genes=np.array(["A", "A"])))
    yield "huge counts", (NPZ, npz(values=ones * 1e18, genes=GENES))
    yield "path in npz", (NPZ, npz(**{"../../etc/passwd": ones, "genes": GENES}))
    yield "nothing measured", (NPZ, npz(values=ones, genes=GENES, observed=np.zeros((4, 4), bool)))
    yield "one bin", (NPZ, npz(values=np.ones((1, 1, 1)), genes=GENES[:1]))
    yield "arrow bomb", (ARROW, stream(pa.table({n: np.zeros(3_000_000) for n in ("array_row", "array_col", "A")}), compression="zstd"))
    yield "arrow far", (ARROW, stream(pa.table({"array_row": [0, 2**40], "array_col": [0, 2**40], "A": [1, 1]})))
    yield "arrow negative", (ARROW, stream(pa.table({"array_row": [0, -5], "array_col": [0, 0], "A": [1, 1]})))
    yield "arrow one spot", (ARROW, stream(pa.table({"array_row": [0], "array_col": [0], "A": [1]})))
    yield "another format than said", (ARROW, sound_h5ad)
    yield "h5ad as npz", (NPZ, sound_h5ad)
    for name, body in hdf5(folder):
        yield name, (H5AD, body)


def hdf5(folder: Path) -> Iterator[tuple[str, bytes]]:
    """HDF5 files that point outside themselves, or unpack to much."""
    path = folder / "made.h5"

    def made(fill) -> bytes:
        with h5py.File(path, "w") as file:
            fill(file)
        return path.read_bytes()

    def virtual(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((4, 2), "f8")
        layout[:] = h5py.VirtualSource("/etc/hostname", "data", (4, 2))
        file.create_virtual_dataset("X", layout)

    yield "hdf5 link to a file", made(lambda file: file.__setitem__("X", h5py.ExternalLink("/etc/passwd", "/")))
    yield "hdf5 bytes of a file", made(lambda file: file.create_dataset("X", (4, 2), "u1", external=[("/etc/passwd", 0, 8)]))
    yield "hdf5 view of a file", made(virtual)
    yield "hdf5 a million million", made(lambda file: file.create_dataset("X", (10**6, 10**6), "f4", chunks=(10, 10), compression="gzip"))
    yield "hdf5 loop", made(lambda file: file.__setitem__("X", h5py.SoftLink("/")))
    yield "hdf5 nothing", made(lambda file: None)


def spoilt(sound: bytes, media: str, number: int) -> Iterator[tuple[str, Sent]]:
    """A sound body with some bytes wrong, or cut, or grown."""
    random = np.random.default_rng(number)
    for index in range(number):
        body = bytearray(sound)
        kind = index % 3
        if kind == 0:
            for place in random.integers(0, len(body), int(random.integers(1, 60))):
                body[place] = random.integers(0, 256)
        elif kind == 1:
            del body[int(random.integers(0, len(body))) :]
        else:
            at = int(random.integers(0, len(body)))
            body[at:at] = random.bytes(int(random.integers(1, 5000)))
        yield f"{media} spoilt {index}", (media, bytes(body) or b"x")


def far_away(root: str) -> Iterator[tuple[str, Sent]]:
    """Jobs that want to read or write where they must not."""
    places = (
        "/etc/passwd", "../../etc/passwd", "file:///etc/passwd", "http://169.254.169.254/latest/meta-data", "s3://other/a", "s3://",
        f"{root}/served/../sections/a", f"{root}/served/%2e%2e/a", f"{root}/../other", f"{root}/service/tokens/x", f"{root}/served", "memory://x/y",
        f"{root}/served/a\u0000b", "gs://b/c", "", "\\\\host\\share",
    )  # fmt: skip
    for place in places:
        yield f"section {place}", (JSON, json.dumps({"tissue": "spleen", "section": place, "out": f"{root}/served/x"}).encode())
        yield (
            f"out {place}",
            (JSON, json.dumps({"tissue": "spleen", "section": f"{root}/sections/synthetic-spleen", "out": place}).encode()),
        )
    for body in (b"{", b"[]", b"null", b'{"tissue": 1}', b"[" * 100_000, b'{"a": ' * 50_000, "\ud800".encode("utf-8", "surrogatepass")):
        yield f"json {body[:12]!r}", (JSON, body)
