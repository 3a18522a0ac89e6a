"""What a computation took of the machine, and what it stood on.

Decision: on Linux the peak is `VmHWM` of the process's own address space and not `ru_maxrss`, which a child inherits
from the process that started it, however large that one was.
"""

import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")


def own_peak_memory_bytes() -> int:
    """Largest resident memory of this process since it began to run its program.

    Reads:
        `/proc/self/status`, where there is one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        fields = dict(line.split(":", 1) for line in status.read_text(encoding="ascii", errors="replace").splitlines() if ":" in line)
        if "VmHWM" in fields:
            return int(fields["VmHWM"].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that numbers come from, those that are installed."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
