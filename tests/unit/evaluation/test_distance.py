from dataclasses import replace

import numpy as np
import pytest

from s2s.evaluation.distance import by_sample_distance, error_curve, to_nearest_sample_um, to_tissue_edge_um


def test_distances_by_hand(split) -> None:
    tissue = np.ones((3, 5), bool)
    tissue[:, 4] = False
    measured, held_out = split(np.ones((1, 3, 5)), tissue=tissue)
    at = {tuple(place): number for number, place in enumerate(np.argwhere(held_out.positions).tolist())}
    to_sample = to_nearest_sample_um(measured, held_out.positions)
    # Bins are 25 um; samples at even rows and columns. (1, 1) lies between four, (0, 1) beside two; (0, 3)'s only sample is (0, 2).
    assert [round(to_sample[at[place]], 2) for place in ((1, 1), (0, 1), (0, 3))] == [35.36, 25.0, 25.0]
    to_edge = to_tissue_edge_um(measured, held_out.positions)
    # Off tissue are column 4 and everything beyond the grid.
    assert [to_edge[at[place]] for place in ((0, 1), (1, 1), (1, 2), (1, 3))] == [25.0, 50.0, 50.0, 25.0]


def test_on_a_hexagonal_lattice_all_six_neighbours_are_one_pitch_away(split) -> None:
    measured, _ = split(np.ones((1, 5, 5)), observed=np.zeros((5, 5), bool))
    observed = np.zeros((5, 5), bool)
    observed[2, 2] = True
    measured = replace(measured, observed=observed, lattice="hexagonal")
    ring = np.zeros((5, 5), bool)
    # Of an even row: the two beside it, and in the rows above and below the one at its own column and the one before.
    ring[[2, 2, 1, 1, 3, 3], [1, 3, 1, 2, 1, 2]] = True
    np.testing.assert_allclose(to_nearest_sample_um(measured, ring), 25.0)
    # Three rows up, half a pitch to the side: (3 sqrt(3) / 2)^2 + (1 / 2)^2 = 7.
    np.testing.assert_allclose(to_tissue_edge_um(measured, observed), 25.0 * 7**0.5)


def test_a_curve_is_the_root_of_the_mean_square_in_each_group() -> None:
    curve = error_curve(np.array([1.0, 16.0, 3.0, 16.0]), np.array([10.0, 22.0, 11.0, 24.0]), 10)
    np.testing.assert_allclose(curve.distance_um, [10.5, 23.0])
    np.testing.assert_allclose(curve.rmse, [2**0.5, 4.0])


def test_a_lonely_position_joins_the_group_before_it() -> None:
    distance = np.concatenate([np.full(100, 10.0), np.full(100, 20.0), [90.0]])
    curve = error_curve(np.concatenate([np.ones(200), [1.0]]), distance, 10)
    assert len(curve.rmse) == 2
    np.testing.assert_allclose(curve.distance_um, [10, (2000 + 90) / 101])


def test_a_lonely_first_position_stays() -> None:
    curve = error_curve(np.ones(201), np.concatenate([[5.0], np.full(200, 30.0)]), 10)
    np.testing.assert_allclose(curve.distance_um, [5, 30])


def test_of_a_single_gene_the_panel_and_a_curve_say_the_same(split) -> None:
    random = np.random.default_rng(5)
    measured, held_out = split(random.random((1, 9, 9)))
    imputed = random.random((1, 9, 9)).astype(np.float32)
    squared_error = np.square((imputed - held_out.expression)[0, held_out.positions].astype(np.float64))
    curve = error_curve(squared_error, to_nearest_sample_um(measured, held_out.positions), 12.5)
    rows = by_sample_distance(imputed, measured, held_out)
    # Beside a sample (1 pitch) or between four (its square root of 2).
    assert [row.num_positions for row in rows] == [40, 16]
    assert [row.distance_um for row in rows] == pytest.approx(curve.distance_um.tolist())
    assert [row.rmse for row in rows] == pytest.approx(curve.rmse.tolist())
