"""Files that go to the service and come back."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from s2s.contracts.service import FORMATS, Format
from s2s.errors import ExistsError, InputError, MissingError, StorageError


def file_format(path: Path) -> Format:
    """The format of a file, by its suffix.

    Raises:
        InputError: a suffix that is none of ours.
        MissingError: no such file.
    """
    suffix = path.suffix.removeprefix(".")
    found: Format | None = next((form for form in ("h5ad", "npz", "arrow") if form == suffix), None)
    if found is None:
        raise InputError(f"expected a file that ends in {', '.join('.' + form for form in FORMATS)}, got {path}")
    if not path.is_file():
        raise MissingError(f"expected a section, found no file at {path}")
    return found


@contextmanager
def write_whole(path: Path, *, replace: bool) -> Iterator[Callable[[bytes], None]]:
    """Refuse an output before the work is done, and write it whole or not at all.

    Yields:
        What writes it.

    Raises:
        MissingError: the folder to write into is not there.
        ExistsError: something is there and `replace` is off.
        StorageError: the disk refused.
    """
    if not path.parent.is_dir():
        raise MissingError(f"expected a folder to write {path.name} into, found none at {path.parent}; create it first")
    if path.exists() and not replace:
        raise ExistsError(f"expected nothing at {path}, found a file; choose another name or add --replace")
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")

    def write(data: bytes) -> None:
        try:
            scratch.write_bytes(data)
            scratch.replace(path)
        except OSError as error:
            raise StorageError(f"expected to write {path}, but the file system refused: {error}; nothing was left behind") from None

    try:
        yield write
    finally:
        scratch.unlink(missing_ok=True)
