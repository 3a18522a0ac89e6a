"""What a build need not write: sections that the page it replaces, or a build that was stopped, holds as they would be written again.

Decision: a section is the same when its store says the same of itself. That names the version of s2s that wrote it and what it was made
from, by the names, sizes and ETags of the objects, so that nothing of it has to be read.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from s2s.contracts.page import PageStore
from s2s.errors import ExistsError
from s2s.exchange.placing import in_place_of


@contextmanager
def workshop(folder: Path) -> Iterator[None]:
    """Hold the folder in which one page is put together; what an interrupt, or a kill, leaves there the next build goes on from.

    Args:
        folder: Made where it is not there; deleted when the block raises anything but an interrupt.

    Raises:
        ExistsError: another build holds it.
    """
    folder.mkdir(exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ExistsError(f"expected no other build of this page, one holds {folder}; wait for it, or choose another --out") from None
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def keep_section(store: PageStore, folder: Path, old: Path, *, has_download: bool) -> PageStore | None:
    """Keep a section that is there as it would be written.

    Args:
        store: What would be written, without a download.
        folder: Where it is to lie.
        old: Where the page that is replaced may have it; hard links are made of it.
        has_download: It is to have one.

    Returns:
        What is there; None where it has to be written.

    Writes:
        The folder.
    """
    for place in (folder, old):
        found = _read(place)
        if found is None or found.model_copy(update={"download": None}) != store or (found.download is not None) != has_download:
            continue
        if place != folder:
            with in_place_of(folder) as scratch:
                shutil.copytree(place, scratch, copy_function=_link)
        return found
    return None


def remove_others(folder: Path, names: Iterable[str]) -> None:
    """Delete what an earlier build left in a folder, but for some names."""
    kept = set(names)
    for item in folder.iterdir() if folder.is_dir() else ():
        if item.name not in kept:
            shutil.rmtree(item)


def _read(folder: Path) -> PageStore | None:
    try:
        return PageStore.model_validate(json.loads((folder / "zarr.json").read_bytes())["attributes"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError):  # none, or of another version
        return None


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
    return target
