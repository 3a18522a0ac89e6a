"""The readers on the real sections of the protocol; skipped where these are absent."""

import anndata
import numpy as np
import pytest
from scipy.spatial import cKDTree

from s2s.exchange.anndata_in import open_spatial_table
from s2s.ingest.lattice_fit import fit_sites
from s2s.ingest.readers import read_section
from s2s.lattice.geometry import positions
from s2s.lattice.sampling import sampled_positions

pytestmark = pytest.mark.shared


@pytest.mark.parametrize(("pitch_um", "shape"), [pytest.param(25.0, (83, 119), id="25 um"), pytest.param(50.0, (42, 60), id="50 um")])
def test_breast_xenium_has_the_grid_of_the_protocol(shared_data, make_source, pitch_um, shape):
    path = shared_data / "breast_xenium_cells.h5ad"
    section = read_section(make_source(path, "cells", pitch_um))
    cells = anndata.read_h5ad(path)
    assert section.meta.shape == shape
    assert section.genes == tuple(cells.var_names)
    # Every count of every cell is in some bin, whatever the pitch.
    np.testing.assert_array_equal(section.counts.sum(axis=1), cells.X.sum(axis=0).T)


def test_breast_visium_has_one_spot_per_site(shared_data, make_source):
    path = shared_data / "breast_visium_spots.h5ad"
    section = read_section(make_source(path, "spots", 100.0, shape="hexagonal"))
    assert section.meta.shape == (24, 31)
    assert section.observed.sum() == 709
    with open_spatial_table(path, None) as table:
        sites = fit_sites(table.coordinates, 100.0, "hexagonal", where="visium")
    assert sites.residuals.max() < 0.004
    # Both technologies were registered to one frame: the first spot is where the array says.
    row, column = sites.rows[0], sites.columns[0]
    x = section.meta.origin_um[0] + 100 * (0.5 + column + 0.5 * (row % 2))
    y = section.meta.origin_um[1] + 100 * np.sqrt(3) / 2 * (0.5 + row)
    assert np.hypot(x - table.coordinates[0, 0], y - table.coordinates[0, 1]) < 25


def test_breast_visium_on_a_grid_twice_as_fine(shared_data, make_source):
    path = shared_data / "breast_visium_spots.h5ad"
    section = read_section(make_source(path, "spots", 100.0, shape="hexagonal", stride=2, phase=(1, 0)))
    assert section.meta.shape == (48, 63)
    assert (section.observed.sum(), section.tissue.sum()) == (709, 4 * 709)
    np.testing.assert_array_equal(section.observed, section.observed & sampled_positions((48, 63), 2, (1, 0), "hexagonal"))
    with open_spatial_table(path, None) as table:
        spots = table.coordinates
    x_um, y_um = section.meta.origin_um
    centres = positions((48, 63), "hexagonal")[section.observed][:, ::-1] * 50 + (x_um + 25, y_um + 25 * np.sqrt(3) / 2)
    # As near as on the lattice of the spots themselves.
    assert cKDTree(centres).query(spots)[0].max() < 25


@pytest.mark.parametrize(
    ("name", "shape", "num_spots", "num_genes"),
    [
        pytest.param("A1", (24, 17), 346, 15045, id="A1"),
        pytest.param("B1", (23, 21), 295, 15109, id="B1"),
    ],
)
def test_her2st_spots_lie_on_their_array(shared_data, make_source, name, shape, num_spots, num_genes):
    section = read_section(make_source(shared_data / "her2st" / f"{name}.tsv.gz", "st", 200.0))
    assert section.meta.shape == shape
    assert section.observed.sum() == num_spots
    assert len(section.genes) == num_genes


def test_hippocampus_counts_every_transcript(shared_data, make_source):
    path = shared_data / "hippocampus_iss_transcripts.csv.gz"
    section = read_section(make_source(path, "transcripts", 25.0, um_per_unit=0.325))
    assert section.meta.shape == (71, 99)
    assert section.counts.sum() == 72_336
    assert len(section.genes) == 92
