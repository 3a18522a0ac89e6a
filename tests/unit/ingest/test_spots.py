from math import cos, radians, sin, sqrt

import numpy as np
import pytest

from s2s.errors import InputError
from s2s.ingest.lattice_fit import fit_sites
from s2s.ingest.readers import read_section
from s2s.lattice.geometry import positions
from s2s.lattice.sampling import sampled_positions

PITCH = 100.0
ROW_UM = 100.0 * sqrt(3) / 2


def hexagonal(rows, columns, *, shifted_parity, pitch=PITCH):
    """Sites and positions of a full hexagonal lattice whose rows of one parity are shifted by half a pitch."""
    sites = [(row, column) for row in range(rows) for column in range(columns)]
    positions = [(pitch * (column + 0.5 * (row % 2 == shifted_parity)), pitch * sqrt(3) / 2 * row) for row, column in sites]
    return np.array(sites), np.array(positions)


@pytest.mark.parametrize("rows", [pytest.param(6, id="six rows"), pytest.param(7, id="seven rows")])
@pytest.mark.parametrize(
    ("shifted_parity", "extra_column"),
    [pytest.param(1, 0, id="odd rows shifted"), pytest.param(0, 1, id="even rows shifted: they start one column later")],
)
def test_hexagonal_spots_find_their_sites(rows, shifted_parity, extra_column):
    sites, positions = hexagonal(rows, 5, shifted_parity=shifted_parity)
    found = fit_sites(positions, PITCH, "hexagonal", where="test")
    np.testing.assert_array_equal(found.rows, sites[:, 0])
    np.testing.assert_array_equal(found.columns, sites[:, 1] + extra_column * (sites[:, 0] % 2 == 0))
    assert found.residuals.max() < 1e-9


@pytest.mark.parametrize(
    ("turn_degrees", "stretch", "noise_um"),
    [
        pytest.param(0.0, 1.0, 0.0, id="exact"),
        pytest.param(2.0, 1.0, 0.0, id="turned by two degrees"),
        pytest.param(0.0, 1.012, 0.0, id="stretched by more than a pitch over the section"),
        pytest.param(-1.0, 0.99, 5.0, id="turned, shrunk and noisy"),
    ],
)
@pytest.mark.parametrize("shape", [pytest.param("square", id="square"), pytest.param("hexagonal", id="hexagonal")])
def test_a_turned_and_stretched_lattice_is_found(shape, turn_degrees, stretch, noise_um):
    sites, positions = hexagonal(78, 64, shifted_parity=1)
    if shape == "square":
        positions = sites[:, ::-1] * PITCH
    angle = radians(turn_degrees)
    turned = positions @ np.array([[cos(angle), sin(angle)], [-sin(angle), cos(angle)]]) * stretch + 5000
    turned += np.random.default_rng(0).normal(0, noise_um, turned.shape) if noise_um else 0
    found = fit_sites(turned, PITCH, shape, where="test")
    np.testing.assert_array_equal(np.stack([found.rows, found.columns], axis=1), sites)
    assert found.turn_degrees == pytest.approx(turn_degrees, abs=0.1)


def test_square_spots_with_a_hole(write_h5ad, make_source):
    # A 2 x 3 lattice whose middle spot of the first row is missing.
    positions = [[0, 0], [200, 3], [-2, 100], [101, 99], [199, 101]]
    path = write_h5ad(np.array([[1], [2], [3], [4], [5]]), positions)
    section = read_section(make_source(path, "spots", PITCH))
    assert section.meta.pitch_um == 100.0
    np.testing.assert_array_equal(next(section.blocks(1))[0], [[1, 0, 2], [3, 4, 5]])
    np.testing.assert_array_equal(section.tissue, [[True, False, True], [True, True, True]])
    np.testing.assert_array_equal(section.observed, section.tissue)
    assert section.valid.all()


def test_origin_is_the_corner_of_the_first_bin(write_h5ad, make_source):
    path = write_h5ad(np.ones((4, 1), int), [[1000, 500], [1100, 500], [1000, 600], [1100, 600]])
    section = read_section(make_source(path, "spots", PITCH))
    assert section.meta.origin_um == pytest.approx((950, 450))


def test_hexagonal_origin_is_where_an_unshifted_row_starts(write_h5ad, make_source):
    _, positions = hexagonal(4, 4, shifted_parity=0)
    section = read_section(make_source(write_h5ad(np.ones((16, 1), int), positions), "spots", PITCH, shape="hexagonal"))
    assert section.meta.shape == (4, 5)
    # Even rows hold spots at x = 50, 150, 250, 350: columns 1 to 4. Odd ones, shifted, at 0, 100, 200, 300: columns 0 to 3.
    np.testing.assert_array_equal(section.tissue[:2], [[False, True, True, True, True], [True, True, True, True, False]])
    assert section.meta.origin_um == pytest.approx((-100.0, -0.5 * ROW_UM))


@pytest.mark.parametrize(
    ("phase", "observed"),
    [
        pytest.param((0, 0), [[1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]], id="phase 0 0"),
        pytest.param((1, 0), [[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0]], id="phase 1 0"),
    ],
)
def test_stride_two_makes_the_grid_twice_as_fine(write_h5ad, make_source, phase, observed):
    # Three of four spots: the hole at the top right stays a hole of four bins.
    path = write_h5ad(np.array([[7], [8], [9]]), [[0, 0], [0, 100], [100, 100]])
    section = read_section(make_source(path, "spots", PITCH, stride=2, phase=phase))
    assert section.meta.pitch_um == 50.0
    assert section.meta.lattice.stride == 2
    np.testing.assert_array_equal(section.observed, np.array(observed, bool))
    np.testing.assert_array_equal(section.tissue, np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]], bool))
    assert section.meta.origin_um == pytest.approx((-25 - 50 * phase[1], -25 - 50 * phase[0]))


@pytest.mark.parametrize(
    ("phase", "observed"),
    [
        # Drawn as they lie: odd rows half a bin to the right.
        pytest.param((0, 0), ["x . x . .", " . . . . .", ". x . x .", " . . . . ."], id="phase 0 0"),
        pytest.param((0, 1), [". x . x .", " . . . . .", ". . x . x", " . . . . ."], id="phase 0 1"),
        pytest.param((1, 0), [". . . . .", " x . x . .", ". . . . .", " . x . x ."], id="phase 1 0"),
        pytest.param((1, 1), [". . . . .", " . x . x .", ". . . . .", " . . x . x"], id="phase 1 1"),
    ],
)
def test_stride_two_makes_a_hexagonal_grid_twice_as_fine(write_h5ad, make_source, phase, observed):
    _, spots = hexagonal(2, 2, shifted_parity=1)
    section = read_section(
        make_source(write_h5ad(np.ones((4, 1), int), spots + 300), "spots", PITCH, shape="hexagonal", stride=2, phase=phase)
    )
    drawn = [" " * (y % 2) + " ".join("x" if cell else "." for cell in row) for y, row in enumerate(section.observed)]
    assert drawn == observed
    assert section.meta.pitch_um == 50.0
    assert not np.any(section.observed & ~sampled_positions(section.meta.shape, 2, phase, "hexagonal"))
    # The blocks of the four spots, each a rhombus of four bins, do not depend on where in its block a spot lies.
    np.testing.assert_array_equal(section.tissue.astype(int), [[1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [0, 1, 1, 1, 1], [0, 1, 1, 1, 1]])
    # Every spot is where it was.
    x_um, y_um = section.meta.origin_um
    centres = positions(section.meta.shape, "hexagonal")[section.observed] * 50 + (y_um + 25 * sqrt(3) / 2, x_um + 25)
    np.testing.assert_allclose(centres, spots[:, ::-1] + 300)


def test_a_hole_between_hexagonal_spots_stays_one(write_h5ad, make_source):
    _, spots = hexagonal(2, 2, shifted_parity=1)
    section = read_section(make_source(write_h5ad(np.ones((3, 1), int), spots[[0, 2, 3]]), "spots", PITCH, shape="hexagonal", stride=2))
    np.testing.assert_array_equal(section.tissue.astype(int), [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 1, 1], [0, 1, 1, 1, 1]])


def test_a_spot_without_counts_is_no_tissue(write_h5ad, make_source):
    path = write_h5ad(np.array([[1], [0], [2]]), [[0, 0], [100, 0], [200, 0]])
    section = read_section(make_source(path, "spots", PITCH))
    np.testing.assert_array_equal(section.tissue, [[True, False, True]])


@pytest.mark.parametrize(
    ("positions", "options", "words"),
    [
        pytest.param(
            [[0, 0], [100, 0], [200, 0], [300, 0], [400, 0], [104, 4]],
            {},
            "c1, c5 share row 0, column 1.*duplicated spots.*--pitch-um 100",
            id="duplicated",
        ),
        pytest.param([[0, 0], [100, 0], [0, 0], [100, 0]], {}, "c0, c2 share row 0, column 0 .2 such sites", id="every spot twice"),
        pytest.param([[0, 0], [55, 0], [110, 0], [165, 0]], {}, "100 um apart, they are 55 um apart.*--pitch-um 55", id="wrong pitch"),
        pytest.param([[5, 5]] * 4, {}, "lie at one point", id="one site"),
    ],
)
def test_bad_spots_are_refused(write_h5ad, make_source, positions, options, words):
    path = write_h5ad(np.ones((len(positions), 1), int), positions)
    with pytest.raises(InputError, match=words):
        read_section(make_source(path, "spots", PITCH, **options))


@pytest.mark.parametrize(
    ("true_shape", "other"), [pytest.param("square", "hexagonal", id="square"), pytest.param("hexagonal", "square", id="hexagonal")]
)
def test_the_wrong_shape_of_lattice_is_refused_with_the_other(true_shape, other):
    sites, positions = hexagonal(12, 12, shifted_parity=1)
    if true_shape == "square":
        positions = sites[:, ::-1] * PITCH
    with pytest.raises(InputError, match=f"on a {other} lattice.*--lattice-shape {true_shape}"):
        fit_sites(positions, PITCH, other, where="test")


def test_a_strongly_turned_lattice_is_turned_back_with_a_warning(write_h5ad, make_source, caplog):
    angle = radians(20)
    square = np.array([[column * 100.0, row * 100.0] for row in range(4) for column in range(4)])
    turned = square @ np.array([[cos(angle), sin(angle)], [-sin(angle), cos(angle)]])
    section = read_section(make_source(write_h5ad(np.arange(1, 17).reshape(16, 1), turned), "spots", PITCH))
    np.testing.assert_array_equal(next(section.blocks(1))[0], np.arange(1, 17).reshape(4, 4))
    assert "turned by 20.0 degrees" in caplog.text
