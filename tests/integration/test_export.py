"""From a synthetic section to a SpatialData store and figures, through the door, and what others make of the store."""

import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest
from matplotlib.image import imread

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated class Scaler:DeprecationWarning")

PLOT = """
import sys, matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt, spatialdata, spatialdata_plot
data = spatialdata.read_zarr(sys.argv[1])
gene = str(data["imputed"].coords["c"].to_numpy()[0])
figure, axes = plt.subplots(1, 2)
data.pl.render_images("imputed", channel=gene).pl.show(ax=axes[0])
data.pl.render_shapes("bins", color=gene, table_layer="imputed").pl.show(ax=axes[1])
figure.savefig(sys.argv[2])
"""


def test_a_section_is_imputed_exported_and_opened(door, job: Path, small_section: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("spatialdata", reason="the extra `spatial` is not installed")
    from spatialdata import get_extent, match_element_to_table, read_zarr  # noqa: PLC0415

    assert door(*small_section, "--local").code == 0
    assert door("train", job, "--local", "--set", "training.max_steps=10", "--out", tmp_path / "out").code == 0
    h5ad, picture = tmp_path / "glands.h5ad", tmp_path / "glands.png"
    model = ("--model", "models:/s2s-synthetic-glands@champion", "--section", "synthetic-glands", "--local")
    said = door("impute", *model, "--out", h5ad, "--figure", picture)
    assert said.code == 0, said.err
    assert "2304 bins" in said.out

    # The figure of the imputation, and that of its file, are one.
    assert door("export", "figure", h5ad, "--out", tmp_path / "again.png", "--local").code == 0
    assert (tmp_path / "again.png").read_bytes() == picture.read_bytes()
    assert imread(picture).shape[0] > 1000

    said = door("export", "spatialdata", h5ad, "--out", tmp_path / "glands.zarr", "--local")
    assert said.code == 0, said.err
    data, source = read_zarr(tmp_path / "glands.zarr"), anndata.read_h5ad(h5ad)
    on_tissue = source[source.obs["in_tissue"]]
    elements, table = match_element_to_table(data, "bins", "table")
    assert len(elements["bins"]) == table.n_obs == on_tissue.n_obs
    assert set(table.layers) == set(source.layers)
    np.testing.assert_array_equal(table.layers["std"], on_tissue.layers["std"])
    centres = np.stack([elements["bins"].geometry.x, elements["bins"].geometry.y], axis=1)
    np.testing.assert_allclose(centres, on_tissue.obsm["spatial"], rtol=0, atol=1e-6)
    assert table.uns["s2s"]["statement"] == source.uns["s2s"]["statement"]
    pitch, extent = source.uns["s2s"]["pitch_um"], get_extent(data["imputed"], coordinate_system="global")
    np.testing.assert_allclose([extent["x"], extent["y"]], [(0, 48 * pitch), (0, 48 * pitch)], rtol=0, atol=1e-6)

    pytest.importorskip("spatialdata_plot", reason="spatialdata-plot is not installed")
    plotted = tmp_path / "plotted.png"
    # In a process of its own: importing it warns, and here warnings are errors.
    command = [sys.executable, "-W", "ignore", "-c", PLOT, str(tmp_path / "glands.zarr"), str(plotted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert plotted.stat().st_size > 5_000
