import subprocess
import sys
from pathlib import Path

import numpy as np

from s2s.exchange.anndata_out import ImputedSection, write_imputed

SCANPY = """
import sys, anndata, scanpy as sc, squidpy as sq
data = anndata.read_h5ad(sys.argv[1])
data = data[data.obs["in_tissue"]].copy()
sc.pp.pca(data, n_comps=2)
sc.pp.neighbors(data, n_neighbors=5)
sq.gr.spatial_neighbors(data, coord_type="grid", n_neighs=4)
sq.gr.spatial_autocorr(data, mode="moran", genes=["g0"])
print(data.obsm["X_pca"].shape, int(data.obsp["spatial_connectivities"][7].sum()), float(data.uns["moranI"].loc["g0", "I"]) > 0.5)
"""


def test_scanpy_and_squidpy_open_it_as_it_is(tmp_path: Path) -> None:
    rows, columns = np.indices((6, 6)).astype(np.float32)
    values = np.stack([rows, columns, rows * columns])
    is_measured = np.indices((6, 6)).sum(axis=0) % 2 == 0
    whole = ImputedSection(
        genes=("g0", "g1", "g2"),
        observed=np.where(is_measured, values, np.float32(np.nan)),
        imputed=values,
        tissue=np.ones((6, 6), bool),
        is_measured=is_measured,
        pitch_um=25.0,
        origin_um=(0.0, 0.0),
        lattice="square",
        reliability=np.zeros(3, np.float32),
        provenance={},
    )
    write_imputed(tmp_path / "out.h5ad", whole)
    # In a process of its own: importing scanpy and squidpy warns, and here warnings are errors.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCANPY, str(tmp_path / "out.h5ad")], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    # Bin 7 is (1, 1): inside, so four neighbours.
    assert done.stdout.splitlines()[-1] == "(36, 2) 4 True"
