"""What the benchmarks of the fleet share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from s2s.contracts.settings import Settings, load_settings
from s2s.stack import local


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """A local stack of this module's own; whoever asks for it joins its Ray."""
    with tempfile.TemporaryDirectory(prefix="s2s-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_HOME", folder)
        try:
            local.up(Path(folder), lambda what: None)
            yield load_settings()
        finally:
            import ray  # noqa: PLC0415 - it reads its environment when imported

            ray.shutdown()
            local.down(Path(folder), lambda what: None)
