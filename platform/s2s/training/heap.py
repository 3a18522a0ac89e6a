"""Main memory that is free but still held by the C library."""

import ctypes


def give_back_memory() -> None:
    """Return to the system what was freed in small pieces, as a network is that was copied or spread; does nothing without glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
