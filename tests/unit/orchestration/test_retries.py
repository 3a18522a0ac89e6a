"""What a fleet does with a run that failed, cause by cause."""

import pytest

from s2s.contracts.ledger import Cause
from s2s.orchestration.retries import Retry, decide


@pytest.mark.parametrize(
    ("cause", "num_failures", "expected"),
    [
        pytest.param("bad-input", 1, None, id="bad-input-never"),
        pytest.param("diverged", 1, None, id="diverged-never"),
        pytest.param("defect", 1, Retry(), id="defect-again"),
        pytest.param("defect", 3, None, id="defect-poison"),
        pytest.param("lost", 2, Retry(), id="lost-again"),
        pytest.param("lost", 3, None, id="lost-poison"),
        pytest.param("storage", 1, Retry(after_s=5), id="storage-pause"),
        pytest.param("storage", 2, Retry(after_s=10), id="storage-longer-pause"),
        pytest.param("storage", 14, Retry(after_s=300), id="storage-patience"),
        pytest.param("storage", 15, None, id="storage-poison"),
        pytest.param("out-of-memory", 1, Retry(factor=2), id="memory-with-more"),
        pytest.param("preempted", 99, Retry(counts=False), id="preempted-always"),
        pytest.param("stopped", 99, Retry(counts=False), id="stopped-always"),
    ],
)
def test_the_cause_decides(cause: Cause, num_failures: int, expected: Retry | None) -> None:
    assert decide(cause, num_failures, 3) == expected


def test_a_pause_has_an_end() -> None:
    assert decide("storage", 19, 20) == Retry(after_s=300)
