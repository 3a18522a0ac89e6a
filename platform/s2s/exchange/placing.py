"""Putting a file or a folder in its place whole or not at all: written beside it under a hidden name, renamed when complete.

What is written is the business of others. Decision: a folder can only be swapped, not replaced in one step, so that a reader may miss it
for the time of two renames; the price of doing without a lock that foreign readers would not know.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from s2s.errors import ExistsError, InputError, MissingError, S2SError, StorageError


def check_place(path: Path, suffixes: tuple[str, ...], *, replace: bool = False) -> None:
    """Refuse an output path before the work is done, not after.

    Args:
        path: Where something is to be written.
        suffixes: How its name may end.
        replace: Something may be there.

    Raises:
        InputError: it ends otherwise.
        MissingError: the folder to write into is not there.
        ExistsError: something is at `path` and `replace` was not asked for.
    """
    if path.suffix not in suffixes:
        raise InputError(f"expected an output that ends in {' or '.join(suffixes)}, got {path}")
    if not path.parent.is_dir():
        raise MissingError(f"expected a folder to write {path.name} into, found none at {path.parent}; create it first")
    if path.exists() and not replace:
        raise ExistsError(f"expected nothing at {path}, found a file or folder; choose another name or add --replace")


@contextmanager
def in_place_of(path: Path) -> Iterator[Path]:
    """Give a hidden neighbour to write to, and put it at `path` when the block ends well; nothing is left of it otherwise.

    Args:
        path: Where the file or folder is to be; what is there is replaced.

    Raises:
        StorageError: the disk refused.

    Writes:
        `path`.
    """
    scratch = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        with writing_to(path):
            yield scratch
            swap(scratch, path)
    finally:
        _remove(scratch)


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Say in our words what the disk refuses; that nothing is left behind is for the block to see to.

    Args:
        path: Where something is to be.

    Raises:
        StorageError: the disk refused.
    """
    try:
        yield
    except S2SError:  # some are OSErrors too, and they already say what is wrong
        raise
    except OSError as error:
        raise StorageError(f"expected to write {path}, but the file system refused: {error}; nothing was left behind") from None


def swap(scratch: Path, path: Path) -> None:
    """Put what is complete in its place.

    Args:
        scratch: A file or folder beside `path`.
        path: Where it is to be; what is there is replaced.
    """
    if path.is_dir() or (path.exists() and scratch.is_dir()):
        old = scratch.with_name(f"{scratch.name}.old")
        path.rename(old)
        scratch.rename(path)
        _remove(old)
    else:
        scratch.replace(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
