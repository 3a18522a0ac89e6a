"""A network for each gene, as the paper trains them: in one process, packs of them side by side, each as if it were alone.

What a gene's network is taught is what a run of that gene alone (`genes.names: [GENE]`) is taught; section, normalisation, photographs
and judgement are there once for all. Decision: a pack has checkpoints of its own, in a folder named by its genes, so that an interrupted
run repeats no pack that was finished; the price is one checkpoint per pack more than the two of a run.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from s2s.imputation.slide import GeneImputers, Imputer
from s2s.kriging.folds import Fold, Hidden
from s2s.lattice.measured import HeldOut, Measured, one_gene
from s2s.lattice.prediction import Field
from s2s.network import CDCIN
from s2s.recipes.learning import Curves, Lessons, Watch, lessons_of, load_photographs, new_network, study, take_device, trusted
from s2s.recipes.run import Run
from s2s.tracking.tracker import Tracker
from s2s.training.packed import Member, new_pack, pack_size, packed_batches
from s2s.training.single import Crew
from s2s.training.timing import Tracer
from s2s.training.world import ALONE

Curve = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneNetwork:
    """What became of the network of one gene.

    Attributes:
        gene: Its name.
        best_step: Step whose weights were kept.
        validation_error: Of that step, as of a run; None without one.
        imputer: The network, and how far it is trusted.
    """

    gene: str
    best_step: int
    validation_error: float | None
    imputer: Imputer


@dataclass(frozen=True, slots=True, kw_only=True)
class LearntEach:
    """What the trainings of all genes leave behind.

    Attributes:
        networks: In the order of the genes.
        known: The section with its samples hidden in turn, each gene filled by itself.
        steps: Optimiser steps done, of the pack that did most.
        watch: What was written down; its curves are means over the genes.
    """

    networks: tuple[GeneNetwork, ...]
    known: Hidden
    steps: int
    watch: Watch

    @property
    def imputer(self) -> GeneImputers:
        """What imputes the section."""
        return GeneImputers(each=tuple(network.imputer for network in self.networks))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pack:
    """Genes whose networks train side by side; `run` keeps the checkpoints and tells the progress of these."""

    run: Run
    genes: tuple[Measured, ...]
    lessons: tuple[Lessons, ...]
    watch: Watch

    def network(self, place: int, network: CDCIN, best_step: int, error: float | None) -> GeneNetwork:
        """Take down what became of a member, and find out how far it is to be trusted."""
        gene = self.genes[place]
        imputer = trusted(self.run, network, gene, self.lessons[place].known.folds)
        return GeneNetwork(gene=gene.genes[0], best_step=best_step, validation_error=error, imputer=imputer)


def learn_each(run: Run, measured: Measured, truth: HeldOut | None, tracker: Tracker, crew: Crew) -> LearntEach:
    """Train a network for each gene, pack by pack, from their checkpoints where there are any.

    Args:
        run: Configuration and inputs.
        measured: What the networks may see, each its gene.
        truth: As of `learn`.
        tracker: Gets the curves, those of one pack after those of another.
        crew: This process alone; with `recompute` the networks are trained one after the other.

    Raises:
        InputError: as of `learn`.
        TrainingError: the loss of a gene is not finite; names it.

    Writes:
        Checkpoints of every pack.
    """
    assert crew.world.size == 1, "networks of genes are trained in one process"
    training, device, photographs = run.config.training, take_device(run), load_photographs(run)
    size = 1 if crew.recompute else pack_size(training, device, has_photographs=photographs is not None)
    packs = _packs(len(measured.genes), size)
    watch = Watch(device=device, curves=Curves(tracker, ALONE, training.batch), tracer=Tracer(device) if run.config.profile else None)
    networks, known, curves, steps = list[GeneNetwork](), list[Hidden](), list[Curves](), 0
    for number, places in enumerate(packs):
        before = number * training.max_steps
        part = _part(run, places, before, len(packs) * training.max_steps)
        genes = tuple(one_gene(measured, place) for place in places)
        # Photographs are the same for all, as seed and step are: those of the first member are taken by every one.
        lessons = [
            lessons_of(part, gene, _one_truth(truth, place), photographs if place == places.start else None)
            for place, gene in zip(places, genes, strict=True)
        ]
        curves.append(Curves(tracker, ALONE, training.batch * len(places), before))
        own = replace(watch, curves=curves[-1], tracer=None if number else watch.tracer)
        pack = _Pack(run=part, genes=genes, lessons=tuple(lessons), watch=own)
        learnt, done = _learn_alone(pack, crew) if len(places) == 1 else _learn_side_by_side(pack)
        networks, steps = [*networks, *learnt], max(steps, done)
        known.append(_joined([lesson.known for lesson in lessons]))
    sizes = [len(places) for places in packs]
    watch.curves.losses = _mean_curve([each.losses for each in curves], sizes)
    watch.curves.errors = _mean_curve([each.errors for each in curves], sizes)
    return LearntEach(networks=tuple(networks), known=_joined(known), steps=steps, watch=watch)


def _packs(num_genes: int, most: int) -> list[range]:
    """Cut genes into as few packs as hold them, of sizes that differ by one at most."""
    number = -(-num_genes // most)
    ends = [num_genes * place // number for place in range(number + 1)]
    return [range(start, stop) for start, stop in pairwise(ends)]


def _learn_side_by_side(pack: _Pack) -> tuple[list[GeneNetwork], int]:
    run, lessons = pack.run, pack.lessons
    members = [Member(gene=gene.genes[0], validate=lesson.validate) for gene, lesson in zip(pack.genes, lessons, strict=True)]
    state = new_pack(new_network(run), run.config.training, pack.watch.device, members)
    taught = Lessons(
        known=lessons[0].known,
        batches=lambda step: packed_batches([lesson.batches(step) for lesson in lessons]),
        validate=state.validate if lessons[0].validate else None,
    )
    study(run, state, taught, pack.watch)
    each = enumerate(zip(members, state.each(), strict=True))
    return [
        pack.network(place, copy.deepcopy(network), member.best_step or state.step, member.best_error if member.best_step else None)
        for place, (member, network) in each
    ], state.step


def _learn_alone(pack: _Pack, crew: Crew) -> tuple[list[GeneNetwork], int]:
    """As a run of this gene would: where a step leaves no room for others beside it, they would gain nothing."""
    network = new_network(pack.run)
    network.recompute = crew.recompute
    state = crew.start(network, pack.run.config.training, pack.watch.device)
    state.gene = pack.genes[0].genes[0]
    study(pack.run, state, pack.lessons[0], pack.watch)
    error = state.best_error if state.best_step else None
    return [pack.network(0, state.network, state.best_step or state.step, error)], state.step


def _part(run: Run, places: range, before: int, steps: int) -> Run:
    """The run as far as it concerns a pack: checkpoints in a folder of its own, progress counted over all packs."""

    def told(stage: str, done: int, total: int, note: str = "") -> None:
        run.on_progress(stage, *((before + done, steps) if stage == "train" else (done, total)), note)

    return replace(run, on_progress=told, part=f"genes-{places.start:06d}-{places.stop - 1:06d}")


def _one_truth(truth: HeldOut | None, place: int) -> HeldOut | None:
    return None if truth is None else replace(truth, expression=truth.expression[place : place + 1])


def _joined(known: Sequence[Hidden]) -> Hidden:
    """Lay the fills of some genes and of others on each other; the same samples are hidden from all."""
    fills = zip(*(tuple(fold.fill for fold in each.folds) for each in known), strict=True)
    folds = zip((fold.hidden for fold in known[0].folds), fills, strict=True)
    return Hidden(
        folds=tuple(Fold(hidden=hidden, fill=_laid(own)) for hidden, own in folds),
        fill=_laid([each.fill for each in known]),
    )


def _laid(fills: Sequence[Field | None]) -> Field | None:
    present = [fill for fill in fills if fill is not None]
    return np.concatenate(present) if present else None


def _mean_curve(curves: Sequence[Curve], sizes: Sequence[int]) -> list[tuple[int, float]]:
    """Mean over genes, of curves that are means over so many of them, at every step that any of them has."""
    sums: dict[int, tuple[float, int]] = {}
    for curve, size in zip(curves, sizes, strict=True):
        for step, value in curve:
            total, number = sums.get(step, (0.0, 0))
            sums[step] = (total + size * value, number + size)
    return [(step, total / number) for step, (total, number) in sorted(sums.items())]
