"""A network as a release and back: weights as safetensors, everything else in the contract beside them."""

import hashlib

import numpy as np
import torch
from jaxtyping import Float32
from safetensors import SafetensorError
from safetensors.torch import load, save

from s2s import __version__
from s2s.contracts.release import Coverage, GeneReliability, Release, Seen, release_name
from s2s.contracts.run import ImputationConfig
from s2s.errors import InputError
from s2s.imputation.predict import Imputation
from s2s.imputation.slide import Imputer, impute_section
from s2s.lattice.measured import Measured
from s2s.network import CDCIN
from s2s.recipes.fitting import Fitted
from s2s.recipes.judging import Judgement
from s2s.recipes.run import Run

LARGEST_TILE = 4096
"""Bins: planes that are handed over are imputed in one piece."""


def make_release(run: Run, measured: Measured, fitted: Fitted, imputed: Imputation, judgement: Judgement) -> tuple[Release, bytes]:
    """Describe a trained network as a candidate of its tissue.

    Args:
        run: Where it came from.
        measured: What it was trained on.
        fitted: The network.
        imputed: What it says of that section.
        judgement: Its scores.

    Returns:
        The contract and the safetensors file it names.
    """
    assert isinstance(fitted.imputer, Imputer), "a run with a network for each gene registers none"
    weights = save({name: tensor.detach().cpu().contiguous() for name, tensor in fitted.imputer.network.state_dict().items()})
    meta, config = run.section.meta, run.config
    predicted = zip(measured.genes, imputed.reliability.pcc, strict=True)
    reliability = (GeneReliability(gene=gene, pcc=float(pcc)) for gene, pcc in predicted if np.isfinite(pcc))
    values = measured.expression[:, measured.observed]
    coverage = (Coverage(level=level, measured=share) for level, share in imputed.calibration.coverage.items())
    release = Release(
        name=release_name(meta.organism, meta.tissue),
        tissue=meta.tissue,
        organism=meta.organism,
        technology=meta.technology,
        pitch_um=meta.pitch_um,
        stride=measured.stride,
        normalisation="log1p_median_total" if meta.values == "counts" else "log1p_given",
        expression_scale=config.expression_scale,
        network=config.network,
        trust=fitted.imputer.trust,
        lattice=measured.lattice,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        is_leaky=config.sampling.mode == "paper",
        is_synthetic=meta.is_synthetic,
        run_key=run.key,
        section_id=meta.id,
        data_sha256=meta.data_sha256,
        photographs=run.photographs.meta.id if run.photographs else None,
        code_version=__version__,
        scores=judgement.rows,
        validation_error=fitted.validation_error,
        reliability=tuple(reliability),
        coverage=tuple(coverage),
        licence=meta.licence,
        seen=Seen(mean=float(values.mean(dtype=np.float64)), largest=float(values.max())),
        donor=meta.donor,
    )
    return release, weights


def release_in_key(release: Release) -> dict[str, object]:
    """What of a release decides on what it says of another section, for keys of runs."""
    network = release.network.model_dump(mode="json")
    if release.network.fill == "krige" and release.trust == 0:
        return {"kriging": network["kriging"]}
    return {"weights": release.weights_sha256, "network": network, "trust": release.trust, "scale": release.expression_scale}


def open_imputer(release: Release, weights: bytes) -> Imputer:
    """Rebuild what imputes sections.

    Raises:
        InputError: the weights are not those of the contract's network.
    """
    return Imputer(network=build_network(release, weights), expression_scale=release.expression_scale, trust=release.trust)


def build_network(release: Release, weights: bytes) -> CDCIN:
    """Rebuild the network of a release.

    Args:
        release: Its contract.
        weights: The safetensors file.

    Raises:
        InputError: the file is damaged, or holds other weights than the contract's network has.
    """
    network = CDCIN(release.network, torch.Generator())
    try:
        network.load_state_dict(load(weights))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"expected the weights of {release.name} (run {release.run_key}), the file does not hold them: {error}") from None
    return network.eval()


def impute_planes(network: CDCIN, release: Release, planes: Float32[np.ndarray, "batch 2 y x"]) -> Float32[np.ndarray, "batch 1 y x"]:
    """Impute planes as `mlflow.pyfunc` hands them over.

    Args:
        network: From `build_network`.
        release: Its contract.
        planes: Channel 0 log1p expression, NaN where not measured, the sampled lattice starting at (0, 0); channel 1 the
            tissue mask, 0 or 1.

    Returns:
        log1p expression on tissue, 0 off it; measured values bit for bit.

    Raises:
        InputError: another shape.
    """
    if planes.ndim != 4 or planes.shape[1] != 2 or not len(planes):
        raise InputError(f"expected planes of shape (batch, 2, y, x), at least one, values and tissue mask, got {planes.shape}")
    values, tissue = np.array(planes[:, 0], np.float32), planes[:, 1] > 0
    observed = tissue & ~np.isnan(values)
    imputer = Imputer(network=network, expression_scale=release.expression_scale, trust=release.trust)
    config, filled = ImputationConfig(tile=LARGEST_TILE), np.zeros_like(values)
    # Genes of one section come with the same masks and are imputed together; planes of different sections each for itself.
    same = (observed == observed[0]).all() and (tissue == tissue[0]).all()
    for some in [slice(None)] if same else [slice(index, index + 1) for index in range(len(planes))]:
        measured = Measured(
            expression=np.where(observed[some], values[some], np.float32(np.nan)),
            observed=observed[some][0],
            tissue=tissue[some][0],
            genes=tuple(map(str, range(len(values[some])))),
            stride=release.stride,
            phase=(0, 0),
            pitch_um=release.pitch_um,
            lattice="square" if release.lattice == "square" else "axial",
        )
        if measured.observed.any():
            filled[some] = impute_section(imputer, measured, config)
    return filled[:, None]
