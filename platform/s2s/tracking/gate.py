"""Who may carry `@champion`: pure decisions on two releases.

Decision: a candidate replaces a champion only where the two were scored on the same data and the same number of genes,
because figures of different sections are not comparable; the price is that a better model of another section waits as
`@challenger` until an atlas scores both on sections that neither has seen (`Release.trial`). There it must also be better
than the best classical method. The first release of a tissue becomes champion unless it is leaky,
even where a classical baseline is better than it: a tissue with a poor model that says so is of more use than none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from s2s.contracts.release import Release, Trial
from s2s.contracts.run import ScoreRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether the candidate becomes champion, and why or why not in a few words."""

    is_champion: bool
    reason: str


def decide(candidate: Release, champion: Release | None) -> Decision:
    """Decide whether a candidate takes `@champion`.

    Args:
        candidate: The new release of a tissue.
        champion: The one that holds the alias now; None when none does.
    """
    if candidate.is_leaky:
        return Decision(is_champion=False, reason="leaky: held-out bins reached its training")
    if champion is None:
        return Decision(is_champion=True, reason="first")
    if champion.is_synthetic != candidate.is_synthetic:
        return _measured_over_synthetic(candidate)
    if both := _both_judged(candidate.trial, champion):
        return _judge(both)
    if candidate.data_sha256 != champion.data_sha256:
        return Decision(is_champion=False, reason="not comparable: scored on other data than the champion")
    return _compare(own_score(candidate), own_score(champion))


def own_score(release: Release) -> ScoreRow | None:
    """The row of the network itself: by the contract the first; None when nothing was scored."""
    return release.scores[0] if release.scores else None


def best_classical(release: Release) -> ScoreRow | None:
    """The classical row with the highest Pearson correlation; None when none was scored."""
    return max(release.scores[1:], key=lambda row: row.pcc, default=None)


def _measured_over_synthetic(candidate: Release) -> Decision:
    if candidate.is_synthetic:
        return Decision(is_champion=False, reason="synthetic: the champion is of measured tissue")
    return Decision(is_champion=True, reason="first of measured tissue: the champion was synthetic")


def _both_judged(trial: Trial | None, champion: Release) -> list[tuple[float, float]]:
    """Gains over the best classical method of candidate and champion, on every section that neither was trained on."""
    if trial is None or trial.champion_weights_sha256 != champion.weights_sha256:
        return []
    return [(score.gain, score.champion_pcc - score.best_classical_pcc) for score in trial.scores if score.champion_pcc is not None]


def _judge(both: Sequence[tuple[float, float]]) -> Decision:
    own, champions = (sum(gains) / len(both) for gains in zip(*both, strict=True))
    figures = f"{own:+.4f} pcc over the best classical method on {len(both)} sections new to both, the champion {champions:+.4f}"
    if own <= champions:
        return Decision(is_champion=False, reason=f"not better: {figures}")
    if own <= 0:
        return Decision(is_champion=False, reason=f"better than the champion, but not than classical methods: {figures}")
    return Decision(is_champion=True, reason=f"better: {figures}")


def _compare(candidate: ScoreRow | None, champion: ScoreRow | None) -> Decision:
    if candidate is None:
        return Decision(is_champion=False, reason="not comparable: it has no scores")
    if champion is None:
        return Decision(is_champion=True, reason="better: the champion has no scores")
    if candidate.num_genes != champion.num_genes:
        reason = f"not comparable: scored on {candidate.num_genes} genes, the champion on {champion.num_genes}"
        return Decision(is_champion=False, reason=reason)
    figures = f"pcc {candidate.pcc:.4f}, the champion's {champion.pcc:.4f}"
    if candidate.pcc > champion.pcc:
        return Decision(is_champion=True, reason=f"better: {figures}")
    return Decision(is_champion=False, reason=f"not better: {figures}")
