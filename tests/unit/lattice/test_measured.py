import numpy as np

from s2s.lattice.measured import Measured, without

NAN = np.nan


def test_hidden_positions_are_as_if_never_measured() -> None:
    measured = Measured(
        expression=np.array([[[1, NAN], [3, NAN]], [[5, NAN], [7, NAN]]], np.float32),
        observed=np.array([[True, False], [True, False]]),
        tissue=np.ones((2, 2), bool),
        genes=("ESR1", "PGR"),
        stride=1,
        phase=(0, 0),
        pitch_um=25.0,
    )
    less = without(measured, np.array([[False, True], [True, False]]))
    np.testing.assert_array_equal(less.expression, np.array([[[1, NAN], [NAN, NAN]], [[5, NAN], [NAN, NAN]]], np.float32))
    np.testing.assert_array_equal(less.observed, [[True, False], [False, False]])
    assert less.expression.dtype == np.float32
    assert (less.genes, less.pitch_um) == (measured.genes, measured.pitch_um)
    # The original is untouched, and so is the tissue.
    assert measured.expression[0, 1, 0] == 3
    np.testing.assert_array_equal(less.tissue, measured.tissue)
