"""The memory of a graphics processor: what this process may take of it, and what it took. Nothing here does anything without one.

Decision: what torch reserves is measured and capped, because only that can be; the driver and the libraries take some of the
device per process that torch does not count, `CONTEXT_BYTES` by our reckoning.
"""

import torch

from s2s.contracts.run import GpuUse

CONTEXT_BYTES = 600 * 2**20
"""Memory per process beside torch's own: CUDA's context and the kernels of cuDNN and cuBLAS, 300 to 600 MiB by card and version."""

SMALLEST_FRACTION = 0.01


def limit_to_share(share: float) -> None:
    """Keep this process to its part of the device; more raises torch's `OutOfMemoryError` here instead of in a neighbour.

    Args:
        share: Of the whole device, above 0, at most 1.
    """
    torch.cuda.set_per_process_memory_fraction(fraction_of(share, _total_bytes()))


def forget_peak() -> None:
    """Measure anew from here on; what an earlier run of this process left in torch's cache is given back."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def gpu_use() -> GpuUse | None:
    """What this process took of its device since `forget_peak`; None where it has none or never touched it."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    total = _total_bytes()
    share = share_of(torch.cuda.get_per_process_memory_fraction(), total)
    return GpuUse(share=share, peak_bytes=torch.cuda.max_memory_reserved(), total_bytes=total)


def fraction_of(share: float, total_bytes: int) -> float:
    """Part of the device that torch may reserve, where a process may have `share` of it for everything."""
    return 1.0 if share >= 1 else max(SMALLEST_FRACTION, share - CONTEXT_BYTES / total_bytes)


def share_of(fraction: float, total_bytes: int) -> float:
    """The other way round: `fraction_of` of this is `fraction`."""
    return min(1.0, fraction + CONTEXT_BYTES / total_bytes)


def _total_bytes() -> int:
    return int(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory)
