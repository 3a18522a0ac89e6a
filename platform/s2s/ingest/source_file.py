"""The bytes of a user's file: there or not, how many are read, their hash. What the bytes mean is the readers' business.

Decision: a file is hashed in a pass of its own, before it is read. That costs one more reading of the file (seconds per gigabyte) and lets
every reader, whatever library parses for it, share one honest `input_sha256`.
"""

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from s2s.errors import InputError, MissingError

OnProgress = Callable[[str, int, int], None]
"""Called with a stage (`hash`, `read`, `bin`, `write`), how much is done, and how much there is."""

HASH_CHUNK_BYTES = 4 << 20
GZIP_MAGIC = b"\x1f\x8b"


def no_progress(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def require_file(file: str) -> Path:
    """Turn a path as the user wrote it into one that exists and holds something.

    Raises:
        MissingError: nothing there, or a folder.
        InputError: an empty file.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise MissingError(
            f"expected a file, found {'a folder' if path.is_dir() else 'nothing'} at {path}; "
            f"check the path (relative paths start at {Path.cwd()})"
        )
    if path.stat().st_size == 0:
        raise InputError(f"expected data in {path}, got an empty file; was its download broken off?")
    return path


def sha256_of_files(paths: list[Path], on_progress: OnProgress = no_progress) -> str:
    """Hash the content of files, one after another, in chunks; several files as if they were joined.

    Reads:
        Every file once, in chunks of 4 MiB.
    """
    digest, done, total = hashlib.sha256(), 0, sum(path.stat().st_size for path in paths)
    for path in paths:
        with path.open("rb") as handle:
            while chunk := handle.read(HASH_CHUNK_BYTES):
                digest.update(chunk)
                done += len(chunk)
                on_progress("hash", done, total)
    return digest.hexdigest()


@contextmanager
def open_text(path: Path) -> Iterator[tuple[TextIO, Callable[[], int]]]:
    """Open a text file, gzip or plain, whatever its name says.

    Yields:
        The text stream, and a function that tells how many bytes of the file itself have been read so far.

    Raises:
        InputError: while reading: a truncated or damaged gzip, or bytes that are no UTF-8 text.
    """
    try:
        with path.open("rb") as raw, _text_over(raw) as text:
            yield text, raw.tell
    except EOFError:
        raise InputError(
            f"expected a complete gzip file, {path} ends in the middle ({path.stat().st_size} bytes); copy or download it again"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"expected a sound gzip file, {path} is damaged ({error}); copy or download it again") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"expected a text table in UTF-8, {path} holds byte {error.object[error.start]:#04x}; "
            "is it the right file and the right --reader?"
        ) from None


def _text_over(raw: io.BufferedReader) -> TextIO:
    # A text layer of our own in both cases: the position of `raw` stays readable while the text is being iterated.
    if raw.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC):
        return gzip.open(raw, "rt", encoding="utf-8", newline="")
    return io.TextIOWrapper(raw, encoding="utf-8", newline="")
