"""Files that only their owner may read, written so that a reader sees the old text or the new one, never half."""

import os
import uuid
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a file with mode 0600, in one step.

    Args:
        path: Its place; the folder is made (0700) where it is missing.
        text: Its content, written as UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
