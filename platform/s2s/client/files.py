"""Files that go to the service."""

from pathlib import Path

from s2s.contracts.service import FORMATS, Format
from s2s.errors import InputError, MissingError


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
