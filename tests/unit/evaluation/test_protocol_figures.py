"""The protocol's first test: the tables of the published figures come back, every row, to three digits."""

import anndata
import numpy as np
import pytest

from s2s.evaluation.baselines import baseline_named, classical_baselines
from s2s.evaluation.protocol import compare, mean_over_phases, summarise

COLUMNS = ("pcc", "mae", "rmse", "marker_pcc", "marker_mae", "marker_rmse")
FIGURES = {
    25.0: {
        "median": (0.0000, 0.3509, 0.5694, 0.0000, 0.5100, 0.7426),
        "mean": (0.0000, 0.4099, 0.5240, 0.0000, 0.5444, 0.6882),
        "nearest": (0.1846, 0.4199, 0.6519, 0.3445, 0.5389, 0.7644),
        "bilinear": (0.2232, 0.3861, 0.5775, 0.3581, 0.5142, 0.7388),
        "bicubic": (0.1904, 0.4550, 0.6722, 0.3491, 0.5627, 0.7897),
        "gaussian_cv": (0.2628, 0.3755, 0.4926, 0.4160, 0.4860, 0.6162),
        "svd_gaussian": (0.3094, 0.3629, 0.4820, 0.4880, 0.4527, 0.5773),
    },
    50.0: {
        "median": (0.0000, 0.4759, 0.6834, 0.0000, 0.5691, 0.7770),
        "nearest": (0.2070, 0.5534, 0.7899, 0.3464, 0.6243, 0.8472),
        "bilinear": (0.2687, 0.4862, 0.6709, 0.4130, 0.5393, 0.7351),
        "bicubic": (0.2482, 0.5397, 0.7362, 0.4172, 0.5802, 0.7708),
        "gaussian_cv": (0.2895, 0.4720, 0.6028, 0.4191, 0.5295, 0.6784),
        "svd_gaussian": (0.3387, 0.4568, 0.5869, 0.4855, 0.5046, 0.6446),
    },
}
GRIDS = {25.0: ((83, 119), 283), 50.0: ((42, 60), 304)}


def bin_cells(path, pitch_um):
    cells = anndata.read_h5ad(path)
    places = np.asarray(cells.obsm["spatial"], float)
    x, y = np.floor((places - places.min(axis=0)) / pitch_um).astype(int).T
    counts = np.zeros((y.max() + 1, x.max() + 1, cells.n_vars))
    np.add.at(counts, (y, x), cells.X.toarray())
    return np.moveaxis(counts, 2, 0), list(cells.var_names)


@pytest.mark.shared
@pytest.mark.parametrize("pitch_um", [pytest.param(25.0, id="25um"), pytest.param(50.0, id="50um")])
def test_the_tables_come_back(shared_data, split_counts, pitch_um):
    counts, genes = bin_cells(shared_data / "breast_xenium_cells.h5ad", pitch_um)
    phases = []
    for phase in np.ndindex(2, 2):
        measured, held_out = split_counts(counts, pitch_um=pitch_um, phase=phase, genes=genes)
        phases.append([summarise(scores) for scores in compare(measured, held_out, classical_baselines())])
    rows = {row.method: row for row in mean_over_phases(phases)}
    shape, num_genes = GRIDS[pitch_um]
    assert (counts.shape[1:], rows["mean"].num_genes) == (shape, num_genes)
    for method, expected in FIGURES[pitch_um].items():
        assert [getattr(rows[method], column) for column in COLUMNS] == pytest.approx(expected, abs=1e-4), method


@pytest.mark.shared
def test_weighing_bins_by_their_molecules_pays_on_real_tissue(shared_data, split_counts):
    counts, genes = bin_cells(shared_data / "breast_xenium_cells.h5ad", 50.0)
    measured, held_out = split_counts(counts, pitch_um=50.0, genes=genes)
    rivals = [baseline_named(name) for name in ("kriged_fill", "svd_kriging", "svd_gaussian")]
    filled, equal, smoothed = (summarise(scores) for scores in compare(measured, held_out, rivals))
    assert filled.pcc > equal.pcc > smoothed.pcc
    assert filled.rmse < equal.rmse < smoothed.rmse
