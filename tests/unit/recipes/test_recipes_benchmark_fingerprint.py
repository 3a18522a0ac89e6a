import pytest

from s2s.recipes.benchmark.fingerprint import code_fingerprint, meaning

CODE = '"""What."""\n\ndef f(x):\n    """How."""\n    return x + 1  # why\n'


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        pytest.param("def f(x):\n    return x + 1\n", True, id="no-words"),
        pytest.param('"""Else."""\ndef f(\n  x):\n    return (x + 1)\n', True, id="other-words-and-layout"),
        pytest.param("def f(x):\n    return x + 2\n", False, id="other-number"),
        pytest.param("def f(x):\n    return 'How.'\n", False, id="a-string-that-is-no-docstring"),
    ],
)
def test_only_what_code_does_is_hashed(other: str, is_same: bool) -> None:
    assert (meaning(CODE) == meaning(other)) is is_same


def test_baselines_and_networks_rest_on_different_code() -> None:
    assert code_fingerprint(is_network=True) != code_fingerprint(is_network=False)
