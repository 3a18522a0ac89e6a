"""A section as an Arrow IPC stream: a row per spot with `array_row`, `array_col` and a column per gene; an imputed one likewise.

Decision: a compressed stream is refused, by a look at the flatbuffer of every message: its buffers declare how large they become, and
Arrow allocates what they declare. Uncompressed, nothing is larger than the body.
"""

import json
import struct
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

from s2s.errors import InputError, reason_of
from s2s.exchange.anndata_out import ImputedSection, layers_of

PLACES = ("array_row", "array_col")
SCHEMA, RECORD_BATCH = 1, 3
"""Types of messages, as `Message.fbs` of Arrow numbers them."""
HEADER_TYPE, HEADER = 1, 2
"""Fields of a message."""
COMPRESSION = 3
"""Field of a record batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotTable:
    """Spots with values.

    Attributes:
        rows: Of each spot, from 0.
        columns: Of each spot, from 0.
        values: Counts or log1p values.
        genes: Names of the columns.
    """

    rows: Int64[np.ndarray, " spot"]
    columns: Int64[np.ndarray, " spot"]
    values: Float64[np.ndarray, "spot gene"]
    genes: tuple[str, ...]


def read_arrow(body: bytes, *, max_values: int) -> SpotTable:
    """Read a stream of spots.

    Args:
        body: The stream.
        max_values: Spots x genes that it may hold.

    Raises:
        InputError: no stream, damaged, compressed, too large, or columns that are not numbers.
    """
    try:
        _check_messages(body)
        table = pa.ipc.open_stream(body).read_all()
        table.validate(full=True)
    except InputError:
        raise
    except (pa.ArrowException, ValueError, OSError, struct.error, IndexError) as error:
        raise InputError(
            f"expected an Arrow IPC stream as pyarrow.ipc.new_stream writes it, the body cannot be read: {reason_of(error)}"
        ) from None
    names = table.column_names
    genes = tuple(name for name in names if name not in PLACES)
    if len(set(names)) < len(names) or len(names) - len(genes) != len(PLACES) or not genes or not len(table):
        raise InputError(f"expected columns array_row and array_col, then one per gene, each once, and a row per spot; got {names[:8]}")
    if len(table) * len(genes) > max_values:
        raise InputError(f"expected at most {max_values} values, got {len(table)} spots x {len(genes)} genes")
    places = [_numbers(table, name, np.dtype(np.int64)) for name in PLACES]
    return SpotTable(
        rows=places[0],
        columns=places[1],
        values=np.stack([_numbers(table, gene, np.dtype(np.float64)) for gene in genes], axis=1),
        genes=genes,
    )


def write_arrow(section: ImputedSection) -> bytes:
    """Write an imputed section: a row per bin on tissue, `GENE` its imputed value, `GENE:std` and the like how far off it may be.

    Returns:
        A stream; provenance as JSON under `s2s` in the metadata of its schema.
    """
    rows, columns = np.nonzero(section.tissue)
    data: dict[str, np.ndarray] = {"array_row": rows, "array_col": columns, "is_measured": section.is_measured[section.tissue]}
    for layer, values in layers_of(section):
        for gene, plane in zip(section.genes, values[:, section.tissue], strict=True):
            data[gene if layer == "imputed" else f"{gene}:{layer}"] = plane
    table = pa.table(data).replace_schema_metadata({"s2s": json.dumps(section.provenance)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _numbers(table: pa.Table, name: str, dtype: np.dtype) -> np.ndarray:
    column = table.column(name)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)) or column.null_count:
        raise InputError(f"expected numbers without nulls in column {name!r}, got {column.type} with {column.null_count} nulls")
    numbers = column.to_numpy()
    if dtype.kind == "i" and not (np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all() and (np.abs(numbers) < 2**31).all()):
        raise InputError(f"expected whole numbers in column {name!r}")
    converted: np.ndarray = numbers.astype(dtype)
    return converted


def _check_messages(body: bytes) -> None:
    """Walk the messages of a stream without decoding any: schema first, then record batches that are not compressed.

    Source: the Arrow columnar format, "Encapsulated message format", and FlatBuffers' internals.
    """
    place, is_first = 0, True
    while place + 8 <= len(body):
        marker, length = struct.unpack_from("<Ii", body, place)
        if marker != 0xFFFFFFFF or length < 0:
            raise InputError("expected an Arrow IPC stream, the body is none, or of a version before 0.15")
        if length == 0:
            return
        message = memoryview(body)[place + 8 : place + 8 + length]
        table = struct.unpack_from("<I", message, 0)[0]
        kind = message[_field(message, table, HEADER_TYPE)]
        if kind != (SCHEMA if is_first else RECORD_BATCH):
            raise InputError("expected a schema and then record batches without dictionaries in the Arrow stream")
        if kind == RECORD_BATCH:
            at = _field(message, table, HEADER)
            if _field(message, at + struct.unpack_from("<I", message, at)[0], COMPRESSION):
                raise InputError("expected an Arrow stream that is not compressed; write it without IpcWriteOptions(compression=...)")
        body_length = _field(message, table, HEADER + 1)
        place += 8 + length + (struct.unpack_from("<q", message, body_length)[0] if body_length else 0)
        is_first = False


def _field(message: memoryview, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table lies; 0 where it is absent."""
    vtable = table - struct.unpack_from("<i", message, table)[0]
    if vtable < 0:
        raise InputError("expected an Arrow IPC stream, the body is damaged")
    offset = 4 + 2 * number
    if offset + 2 > struct.unpack_from("<H", message, vtable)[0]:
        return 0
    away = struct.unpack_from("<H", message, vtable + offset)[0]
    return table + int(away) if away else 0
