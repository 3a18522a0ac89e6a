"""A release as a page of Markdown: what it was made from, how good it is where nobody had looked, and what it may be used for."""

from collections.abc import Iterator

import numpy as np

from s2s.contracts.release import Release, Trial
from s2s.evaluation.tables import aligned_table, markdown_table

NUM_GENES = 8
"""Named at either end of the list of genes."""


def release_card(release: Release) -> str:
    """Describe a release for people who choose a model: data, accuracy, calibration, genes, licence.

    Args:
        release: Its contract; everything on the card stands there.
    """
    return "\n\n".join(_parts(release)) + "\n"


def _parts(release: Release) -> Iterator[str]:
    yield f"# {release.name}"
    yield from _warnings(release)
    yield (
        f"Fills in the positions between measured ones of {release.organism} {release.tissue}: every second row and column measured, "
        f"{release.pitch_um:g} um from bin to bin, {release.lattice} lattice, values {_NORMALISATION[release.normalisation]}."
    )
    yield "## Data"
    yield aligned_table(
        [
            ["", "trained on"],
            ["section", release.section_id],
            ["technology", release.technology],
            ["licence of the data", release.licence],
            ["SHA-256 of the data", release.data_sha256[:16]],
            ["photographs", release.photographs or "none"],
            ["run", release.run_key],
            ["code", release.code_version],
        ]
    )
    if release.trial is not None:
        yield f"## Chosen among {release.trial.num_candidates} candidates"
        yield from _trial(release.trial)
    if release.scores:
        yield "## Accuracy on held-out positions of its own section"
        yield markdown_table(release.scores)
    if release.coverage:
        yield "## Calibration"
        yield aligned_table([["interval", "holds"], *([f"{row.level:.0%}", f"{row.measured:.1%}"] for row in release.coverage)])
        yield "Share of measured values of its own section inside intervals that were calibrated without them."
    if release.reliability:
        yield "## Genes"
        yield _genes(release)
    yield "## How it works"
    yield _method(release)


_NORMALISATION = {
    "log1p_median_total": "log1p of counts scaled to the median total of measured bins",
    "log1p_given": "log1p as the source gave them",
}


def _warnings(release: Release) -> Iterator[str]:
    if release.is_synthetic:
        yield "**Made from synthetic tissue: a demonstration, not a model of anything alive.**"
    if release.is_leaky:
        yield "**Leaky: held-out positions reached its training, as in the paper's script. Its scores say nothing; not for use.**"


def _trial(trial: Trial) -> Iterator[str]:
    yield f"Of {trial.num_runs} finished runs of atlas {trial.atlas}, {trial.num_candidates} were scored {_BASIS[trial.basis]}."
    if trial.scores:
        rows = [
            [
                score.section_id,
                f"{score.pcc:.4f}",
                f"{score.best_classical_pcc:.4f}",
                "" if score.champion_pcc is None else f"{score.champion_pcc:.4f}",
                f"{score.rmse:.4f}",
                "" if score.coverage_90 is None else f"{score.coverage_90:.1%}",
            ]
            for score in trial.scores
        ]
        yield aligned_table([["section", "PCC", "best classical", "champion before", "RMSE", "90 % intervals hold"], *rows])
        yield f"Mean PCC over genes is {trial.gain:+.4f} above the best classical method's."


_BASIS = {
    "other donors": "on held-out positions of sections of other donors than their own",
    "other sections": "on held-out positions of other sections than their own, whoever these are from",
    "own section": "on held-out positions of their own sections, for want of others",
}


def _genes(release: Release) -> str:
    ordered = sorted(release.reliability, key=lambda gene: -gene.pcc)
    median = float(np.median([gene.pcc for gene in ordered]))
    best, worst = ([f"{gene.gene} {gene.pcc:.2f}" for gene in some] for some in (ordered[:NUM_GENES], ordered[-NUM_GENES:]))
    return (
        f"Expected PCC of {len(ordered)} genes, from measured positions alone: median {median:.2f}. "
        f"Best: {', '.join(best)}. Worst: {', '.join(worst)}."
    )


def _method(release: Release) -> str:
    network = release.network
    parts = [f"CDCIN of {network.cascades} cascades" if release.trust or network.fill != "krige" else ""]
    if network.fill == "krige":
        parts.append(f"kriged fill, of whose change by the network {release.trust:.0%} is kept")
    return f"{', on a '.join(filter(None, parts))}. Measured values are kept bit for bit."
