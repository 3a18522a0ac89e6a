"""Clusters of bins by their expression, as a scanpy user would make them. The only home of scanpy, which is an optional extra.

Decision: PCA, neighbours and Leiden with scanpy's defaults, the same for truth and imputation, and nothing tuned: an agreement is
worth more when nobody chose the resolution. The price is that an imputation with fewer or more clusters than the truth is marked down
for it, which is what a downstream user would meet.
"""

import warnings
from types import ModuleType

import numpy as np
from jaxtyping import Float32, Int

from s2s.contracts.panel import ClusterAgreement
from s2s.errors import MissingError

NUM_COMPONENTS = 30
NUM_NEIGHBOURS = 15
SEED = 0

Bins = Float32[np.ndarray, "gene position"]


def cluster_agreement(truth: Bins, estimate: Bins) -> ClusterAgreement:
    """Cluster bins by truth and by estimate and compare the two.

    Args:
        truth: log1p units, one column per bin.
        estimate: The same bins.

    Raises:
        MissingError: scanpy or igraph is not installed.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score  # takes a second, and few want a panel

    ours, theirs = clusters(truth), clusters(estimate)
    return ClusterAgreement(
        in_truth=len(np.unique(ours)),
        in_imputed=len(np.unique(theirs)),
        ari=float(np.clip(adjusted_rand_score(ours, theirs), -1, 1)),
        nmi=float(np.clip(normalized_mutual_info_score(ours, theirs), 0, 1)),
    )


def clusters(values: Bins) -> Int[np.ndarray, " position"]:
    """Number of each bin's cluster; a single cluster where no gene varies or there are fewer than three bins.

    Args:
        values: log1p units, one column per bin.

    Raises:
        MissingError: scanpy or igraph is not installed.
    """
    varying = values[np.ptp(values, axis=1) > 0] if values.shape[1] else values[:0]
    num_genes, num_bins = varying.shape
    if num_genes == 0 or num_bins < 3:
        return np.zeros(values.shape[1], np.int64)
    scanpy = _scanpy()
    with warnings.catch_warnings():
        # Its dependencies deprecate each other; nothing of that concerns whoever reads a panel.
        warnings.simplefilter("ignore")
        bins = scanpy.AnnData(np.ascontiguousarray(varying.T))
        num_components = min(NUM_COMPONENTS, num_genes - 1, num_bins - 1)
        # A single gene, or two, has no components to find: bins are compared by what there is.
        if num_components > 1:
            scanpy.pp.pca(bins, n_comps=num_components, random_state=SEED)
        scanpy.pp.neighbors(
            bins, n_neighbors=min(NUM_NEIGHBOURS, num_bins - 1), use_rep="X_pca" if num_components > 1 else "X", random_state=SEED
        )
        scanpy.tl.leiden(bins, flavor="igraph", n_iterations=2, directed=False, random_state=SEED)
    numbers: np.ndarray = bins.obs["leiden"].astype(np.int64).to_numpy()
    return numbers


def _scanpy() -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import igraph  # noqa: F401 -- scanpy says only halfway through that it is missing
            import scanpy
    except ImportError as error:
        raise MissingError(
            f"expected scanpy and igraph to compare clusters, {error.name} is not installed; pip install 's2s-atlas[analysis]', or leave "
            "the panel out"
        ) from None
    module: ModuleType = scanpy
    return module
