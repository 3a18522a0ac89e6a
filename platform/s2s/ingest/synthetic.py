"""A synthetic tissue with a known true field, for demos and tests. Nothing it makes can be taken for a measurement.

Cell types occupy smooth domains (`layers`: bands like a cortex; `glands`: rings of epithelium in stroma), every cell type has a
programme of genes, slow gradients modulate them, bins differ in depth, and counts are negative binomial.

Decision: the true field leaves out the depth of a bin, because normalisation removes it; it is what a bin of median depth is expected
to hold. The whole section is dense in memory while it is made, which is fine up to some 10^8 values.
"""

import hashlib

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy import sparse
from scipy.ndimage import gaussian_filter

from s2s import __version__
from s2s.contracts.section import SectionMeta
from s2s.contracts.synthetic import SyntheticTissue
from s2s.ingest.accumulate import as_stored_counts
from s2s.ingest.binned import BinnedSection

LICENCE = "synthetic data, no restrictions"
NUM_GRADIENTS = 3
Plane = Float64[np.ndarray, "y x"]


def make_synthetic(tissue: SyntheticTissue) -> tuple[BinnedSection, Float32[np.ndarray, "gene y x"]]:
    """Make a section and the truth behind it.

    Args:
        tissue: What to make.

    Returns:
        The section, and its true field: expected counts per gene in a bin of median depth, 0 outside the tissue.
    """
    rng = np.random.default_rng([tissue.seed, int(tissue.kind == "glands")])
    outline = _outline(rng, tissue)
    scores = {"layers": _layer_scores, "glands": _gland_scores}[tissue.kind](rng, tissue)
    fractions = np.exp(scores - scores.max(axis=0))
    fractions /= fractions.sum(axis=0)
    proportions = _proportions(rng, tissue, fractions)
    field = proportions * tissue.median_total * outline
    depth = rng.lognormal(0.0, 0.3, size=outline.shape)
    dispersion = rng.uniform(0.1, 0.8, size=(tissue.num_genes, 1, 1))
    # A gamma mixture of Poisson counts is negative binomial: variance = mean + dispersion * mean^2.
    rate = field * depth * rng.gamma(1 / dispersion, dispersion, size=field.shape)
    counts = as_stored_counts(sparse.csr_matrix(rng.poisson(rate).reshape(tissue.num_genes, -1)))
    has_counts = (np.asarray(counts.sum(axis=0)) > 0).reshape(outline.shape)
    section = BinnedSection(
        meta=_meta(tissue),
        genes=tuple(f"SYN{number:04d}" for number in range(1, tissue.num_genes + 1)),
        counts=counts,
        tissue=has_counts,
        observed=has_counts,
        valid=np.ones(outline.shape, bool),
    )
    return section, field.astype(np.float32)


def synthetic_sha256(tissue: SyntheticTissue) -> str:
    """Hash the settings, as `SectionMeta.input_sha256` of a synthetic section does."""
    return hashlib.sha256(tissue.model_dump_json(exclude_none=True).encode()).hexdigest()


def _meta(tissue: SyntheticTissue) -> SectionMeta:
    settings = tissue.model_dump_json(exclude_none=True)
    return SectionMeta(
        id=tissue.id,
        tissue=tissue.tissue or tissue.kind,
        organism="synthetic",
        technology="synthetic",
        pitch_um=tissue.pitch_um,
        shape=(tissue.height, tissue.width),
        num_genes=tissue.num_genes,
        is_synthetic=True,
        source=f"s2s synthetic tissue {settings}",
        licence=LICENCE,
        input_sha256=synthetic_sha256(tissue),
        code_version=__version__,
    )


def _smooth_field(rng: np.random.Generator, tissue: SyntheticTissue, length_bins: float) -> Plane:
    """Gaussian random field of mean 0 and variance 1."""
    field = gaussian_filter(rng.standard_normal((tissue.height, tissue.width)), length_bins, mode="reflect")
    return np.asarray((field - field.mean()) / field.std())


def _outline(rng: np.random.Generator, tissue: SyntheticTissue) -> Bool[np.ndarray, "y x"]:
    y, x = np.linspace(-1, 1, tissue.height)[:, None], np.linspace(-1, 1, tissue.width)[None, :]
    radius = (np.abs(y) ** 4 + np.abs(x) ** 4) ** 0.25
    ragged = _smooth_field(rng, tissue, min(tissue.height, tissue.width) / 10)
    return np.asarray(radius + 0.04 * ragged < 0.95)


def _layer_scores(rng: np.random.Generator, tissue: SyntheticTissue) -> Float64[np.ndarray, "type y x"]:
    depth = np.linspace(0, 1, tissue.height)[:, None] + 0.06 * _smooth_field(rng, tissue, min(tissue.height, tissue.width) / 8)
    centres, widths = np.array([0.05, 0.25, 0.45, 0.65, 0.9]), np.array([0.06, 0.08, 0.08, 0.09, 0.12])
    return np.stack([-0.5 * ((depth - centre) / width) ** 2 for centre, width in zip(centres, widths, strict=True)])


def _gland_scores(rng: np.random.Generator, tissue: SyntheticTissue) -> Float64[np.ndarray, "type y x"]:
    islands, stroma, immune = _smooth_field(rng, tissue, 4), _smooth_field(rng, tissue, 8), _smooth_field(rng, tissue, 3)
    # Height over the plain decides: stroma of two kinds low, epithelium on the slopes, lumen on the tops, immune nests between.
    return np.stack(
        [-2 * islands - stroma, -2 * islands + stroma, 3 - 4 * np.abs(islands - 0.8), 5 * (islands - 1.3), 3 * (immune - 1.2) - 2 * islands]
    )


def _proportions(
    rng: np.random.Generator, tissue: SyntheticTissue, fractions: Float64[np.ndarray, "type y x"]
) -> Float64[np.ndarray, "gene y x"]:
    """Share of every gene in a bin's counts; sums to 1 over genes."""
    num_types, num_genes = len(fractions), tissue.num_genes
    programme = np.repeat(rng.lognormal(0.0, 1.0, size=(num_genes, 1)), num_types, axis=1)
    # Two genes of three mark a cell type; the others are housekeeping.
    marked = rng.integers(0, num_types, size=num_genes)
    fold = np.where(rng.random(num_genes) < 2 / 3, rng.uniform(4, 20, size=num_genes), 1.0)
    programme[np.arange(num_genes), marked] *= fold
    gradients = np.stack([_smooth_field(rng, tissue, min(tissue.height, tissue.width) / 4) for _ in range(NUM_GRADIENTS)])
    loadings = rng.normal(0.0, 0.25, size=(num_genes, NUM_GRADIENTS))
    expected = np.tensordot(programme, fractions, axes=1) * np.exp(np.tensordot(loadings, gradients, axes=1))
    return np.asarray(expected / expected.sum(axis=0))
