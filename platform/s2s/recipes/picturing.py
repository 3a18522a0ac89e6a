"""An imputed section as a figure: the arrays of a file, or of an imputation just made, handed to what draws `section.png` of a training."""

from collections.abc import Mapping, Sequence

from s2s.errors import InputError
from s2s.exchange.anndata_out import ImputedSection
from s2s.exchange.imputed_in import check_genes
from s2s.lattice.measured import Measured
from s2s.lattice.prediction import Prediction


def imputed_figure(section: ImputedSection, genes: Sequence[str] | None = None) -> bytes:
    """Draw some genes of an imputed section: sampled, imputed, and how far off that may be.

    Args:
        section: What to draw.
        genes: The rows; where absent, those that `evaluation.plots.choose_genes` finds worth looking at.

    Returns:
        A PNG, drawn by `evaluation.plots.section_figure`.

    Raises:
        MissingError: a gene is not in the section.
        InputError: the section has no tissue.
    """
    from s2s.evaluation.plots import section_figure

    names = check_genes(genes, section.genes) if genes else None
    if not section.tissue.any():
        raise InputError("expected bins on tissue, found none; there is nothing to draw")
    prediction = Prediction(mean=section.imputed, std=section.std)
    return section_figure(as_measured(section), prediction, genes=names, title=_title(section.provenance, section.pitch_um))


def as_measured(section: ImputedSection) -> Measured:
    """What a method saw of an imputed section; stride and phase from its provenance, every bin for itself where it does not say."""
    sampled = section.provenance.get("sampling")
    stride, phase = (sampled.get("stride"), sampled.get("phase")) if isinstance(sampled, Mapping) else (None, None)
    y, x = phase if isinstance(phase, list) and len(phase) == 2 else (0, 0)
    return Measured(
        expression=section.observed,
        observed=section.is_measured,
        tissue=section.tissue,
        genes=section.genes,
        stride=stride if isinstance(stride, int) else 1,
        phase=(int(y), int(x)),  # type: ignore[arg-type]
        pitch_um=section.pitch_um,
        lattice=section.lattice,
    )


def section_title(section_id: str, pitch_um: float, notes: Mapping[str, bool]) -> str:
    """Name a section above its figure.

    Args:
        section_id: Its id.
        pitch_um: Its pitch.
        notes: What must be said of it, where it holds.
    """
    return " · ".join([section_id, f"{pitch_um:g} µm bins", *(text for text, holds in notes.items() if holds)])


def _title(provenance: Mapping[str, object], pitch_um: float) -> str:
    section, release = (about if isinstance(about := provenance.get(name), Mapping) else {} for name in ("section", "release"))
    notes = {"synthetic": bool(section.get("is_synthetic")), "LEAKY: paper mode": bool(release.get("is_leaky"))}
    return section_title(str(section.get("id", "imputed section")), pitch_um, notes)
