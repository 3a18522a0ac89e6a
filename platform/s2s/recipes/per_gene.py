"""A network for each gene, as the paper trains them: in one process, packs of them side by side, a core for each pack.

What a gene's network is taught is what a run of that gene alone (`genes.names: [GENE]`) is taught; section, normalisation, photographs
and judgement are there once for all. Decision: a pack has checkpoints of its own, in a folder named by its genes, so that an interrupted
run repeats no pack that was finished; the price is one checkpoint per pack more than the two of a run. Cores are spent on packs, not on
operations: two threads of one small operation wait for each other, two trainings do not (`packed_genes_2core_202611.md`).
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
from s2s.recipes.abreast import Abreast
from s2s.recipes.learning import Curves, Lessons, Watch, lessons_of, load_photographs, new_network, study, take_device, trusted
from s2s.recipes.planning import trainings_at_once
from s2s.recipes.run import Run
from s2s.tracking.tracker import Tracker
from s2s.training.packed import LEAST_MEMBERS, Member, new_pack, pack_size, packed_batches
from s2s.training.single import Crew
from s2s.training.step import Device
from s2s.training.timing import Tracer
from s2s.training.world import ALONE

Curve = Sequence[tuple[int, float]]

TOGETHER = 4
"""Packs that two or four cores begin and end together; not a setting, for an interrupted run must find its packs whatever its cores are."""


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
    network: CDCIN
    watch: Watch

    def trained(self, place: int, network: CDCIN, best_step: int, error: float | None) -> GeneNetwork:
        """Take down what became of a member, and find out how far it is to be trusted."""
        gene = self.genes[place]
        imputer = trusted(self.run, network, gene, self.lessons[place].known.folds)
        return GeneNetwork(gene=gene.genes[0], best_step=best_step, validation_error=error, imputer=imputer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taught:
    """What became of a pack."""

    networks: list[GeneNetwork]
    known: Hidden
    steps: int
    watch: Watch


class _Teacher:
    """Teaches any pack of the genes of a run; several packs at once, each in a thread."""

    def __init__(self, run: Run, measured: Measured, truth: HeldOut | None, tracker: Tracker, crew: Crew) -> None:
        self._run, self._measured, self._truth, self._tracker, self._crew = run, measured, truth, tracker, crew
        self.device, self._photographs, self._network = take_device(run), load_photographs(run), new_network(run)
        size = 1 if crew.recompute else pack_size(run.config.training, self.device, has_photographs=self._photographs is not None)
        self.packs = packs_of(len(measured.genes), size, self.device)
        self.tracer = Tracer(self.device) if run.config.profile else None
        self.abreast = Abreast(run.on_progress, len(self.packs) * run.config.training.max_steps)

    def teach(self, number: int) -> _Taught:
        """Train the networks of a pack."""
        pack = self._gather(number)
        networks, steps = _learn_alone(pack, self._crew) if len(pack.genes) == 1 else _learn_side_by_side(pack)
        self.abreast.over(pack.run.part, self._run.config.training.max_steps)
        return _Taught(networks=networks, known=_joined([lesson.known for lesson in pack.lessons]), steps=steps, watch=pack.watch)

    def _gather(self, number: int) -> _Pack:
        places, training = self.packs[number], self._run.config.training
        name = f"genes-{places.start:06d}-{places.stop - 1:06d}"
        part = replace(self._run, on_progress=self.abreast.progress_of(name), part=name)
        genes = tuple(one_gene(self._measured, place) for place in places)
        # Photographs are the same for all, as seed and step are: those of the first member are taken by every one.
        lessons = [
            lessons_of(part, gene, _one_truth(self._truth, place), self._photographs if place == places.start else None)
            for place, gene in zip(places, genes, strict=True)
        ]
        curves = Curves(self._tracker, ALONE, training.batch * len(places), number * training.max_steps)
        watch = Watch(device=self.device, curves=curves, tracer=None if number else self.tracer)
        return _Pack(run=part, genes=genes, lessons=tuple(lessons), network=copy.deepcopy(self._network), watch=watch)


def learn_each(run: Run, measured: Measured, truth: HeldOut | None, tracker: Tracker, crew: Crew) -> LearntEach:
    """Train a network for each gene, as many packs at once as `trainings_at_once` says, from their checkpoints where there are any.

    Args:
        run: Configuration and inputs.
        measured: What the networks may see, each its gene.
        truth: As of `learn`.
        tracker: Gets the curves of every pack, numbered as if they had been trained one after the other.
        crew: This process alone; with `recompute` the networks are trained one by one.

    Raises:
        InputError: as of `learn`.
        TrainingError: the loss of a gene is not finite; names it.

    Writes:
        Checkpoints of every pack.
    """
    assert crew.world.size == 1, "networks of genes are trained in one process"
    teacher = _Teacher(run, measured, truth, tracker, crew)
    taught = teacher.abreast.each(teacher.teach, range(len(teacher.packs)), trainings_at_once(run.config))
    watch = Watch(device=teacher.device, curves=Curves(tracker, ALONE, run.config.training.batch), tracer=teacher.tracer)
    sizes = [len(places) for places in teacher.packs]
    watch.curves.losses = _mean_curve([each.watch.curves.losses for each in taught], sizes)
    watch.curves.errors = _mean_curve([each.watch.curves.errors for each in taught], sizes)
    for each in taught:
        watch.phases.add(each.watch.phases)
    return LearntEach(
        networks=tuple(network for each in taught for network in each.networks),
        known=_joined([each.known for each in taught]),
        steps=max(each.steps for each in taught),
        watch=watch,
    )


def packs_of(num_genes: int, most: int, device: Device) -> list[range]:
    """Cut genes into few packs whose sizes differ by one at most; on a CPU into a multiple of `TOGETHER` where they stay large enough."""
    number = -(-num_genes // most)
    if device.name == "cpu":
        number = max(number, min(-(-number // TOGETHER) * TOGETHER, num_genes // LEAST_MEMBERS))
    ends = [num_genes * place // number for place in range(number + 1)]
    return [range(start, stop) for start, stop in pairwise(ends)]


def _learn_side_by_side(pack: _Pack) -> tuple[list[GeneNetwork], int]:
    run, lessons = pack.run, pack.lessons
    members = [Member(gene=gene.genes[0], validate=lesson.validate) for gene, lesson in zip(pack.genes, lessons, strict=True)]
    state = new_pack(pack.network, run.config.training, pack.watch.device, members)
    taught = Lessons(
        known=lessons[0].known,
        batches=lambda step: packed_batches([lesson.batches(step) for lesson in lessons]),
        validate=state.validate if lessons[0].validate else None,
    )
    study(run, state, taught, pack.watch)
    each = enumerate(zip(members, state.each(), strict=True))
    return [
        pack.trained(place, copy.deepcopy(network), member.best_step or state.step, member.best_error if member.best_step else None)
        for place, (member, network) in each
    ], state.step


def _learn_alone(pack: _Pack, crew: Crew) -> tuple[list[GeneNetwork], int]:
    """As a run of this gene would: where a step leaves no room for others beside it, they would gain nothing."""
    pack.network.recompute = crew.recompute
    state = crew.start(pack.network, pack.run.config.training, pack.watch.device)
    state.gene = pack.genes[0].genes[0]
    study(pack.run, state, pack.lessons[0], pack.watch)
    error = state.best_error if state.best_step else None
    return [pack.trained(0, state.network, state.best_step or state.step, error)], state.step


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
