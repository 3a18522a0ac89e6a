"""The models that a replica holds: every champion that it is to hold, followed as the registry changes.

A new champion answers once it is loaded and has filled in a small section as it should; until then, and if it never does, the one before
answers. Decision: what is held is also written below the root, so that a replica that starts while the registry is silent begins with it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import ValidationError

from s2s.contracts.release import Release
from s2s.contracts.run import ImputationConfig
from s2s.contracts.service import Held, HeldChampions, ModelEntry
from s2s.contracts.settings import Settings
from s2s.errors import InputError, MissingError
from s2s.imputation.slide import Imputer, impute_section
from s2s.lattice.measured import Measured
from s2s.lattice.sampling import sampled_positions
from s2s.recipes.release import open_imputer
from s2s.recipes.release_folder import read_release, store_release
from s2s.storage.location import join
from s2s.storage.objects import read_bytes, write_bytes
from s2s.tracking.registry import ModelSummary, list_models
from s2s.tracking.releases import load_release

logger = logging.getLogger(__name__)
CHAMPION = "champion"
PREFIX = "s2s-"
PROOF_SIDE = 16
MAX_LIST_BYTES = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model that is ready to answer.

    Attributes:
        uri: `models:/NAME/VERSION`.
        release: Its contract.
        imputer: Its network.
    """

    uri: str
    release: Release
    imputer: Imputer

    @property
    def version(self) -> int:
        """In the registry."""
        return int(self.uri.rpartition("/")[2])


def load_served(uri: str, settings: Settings) -> Served:
    """Load a version from the registry and try it out.

    Args:
        uri: `models:/NAME/VERSION`.
        settings: Where the registry is.

    Raises:
        MissingError: there is no such version.
        InputError: it is damaged, or does not fill in a small section as it should.
        TrackingError: the registry does not answer.
    """
    return _ready(uri, *load_release(uri, settings))


def _ready(uri: str, release: Release, weights: bytes) -> Served:
    served = Served(uri=uri, release=release, imputer=open_imputer(release, weights))
    prove(served)
    return served


def prove(served: Served) -> None:
    """Fill in a small section: every value must come out finite, and every measured one as it went in.

    Raises:
        InputError: they do not.
    """
    shape = (PROOF_SIDE, PROOF_SIDE)
    observed = sampled_positions(shape, served.release.stride, (0, 0), served.release.lattice)
    values = np.random.default_rng(0).random((2, *shape), np.float32)
    measured = Measured(
        expression=np.where(observed, values, np.float32(np.nan)),
        observed=observed,
        tissue=np.ones(shape, np.bool_),
        genes=("a", "b"),
        stride=served.release.stride,
        phase=(0, 0),
        pitch_um=served.release.pitch_um,
        lattice=served.release.lattice,
    )
    filled = impute_section(served.imputer, measured, ImputationConfig())
    if not np.isfinite(filled).all() or not np.array_equal(filled[:, observed], values[:, observed]):
        raise InputError(f"expected {served.uri} to fill in a small section with finite values and to keep measured ones, it does not")


class Champions:
    """Champions by registry name, and why a newer one is not among them."""

    def __init__(self, settings: Settings, pinned: Sequence[str] | None) -> None:
        self._settings, self._pinned = settings, pinned
        self._held: dict[str, Served] = {}
        self._entries: dict[str, ModelEntry] = {}
        self._refused: dict[str, str] = {}
        self._written: dict[str, Held] = {}
        self._fresh: dict[str, tuple[Release, bytes]] = {}  # held, not yet written down
        self.is_complete = False

    def refresh(self) -> None:
        """Ask the registry and load what is new; what cannot be loaded is written down and tried again only once it changes.

        Raises:
            TrackingError: the registry does not answer; what is held stays.
            StorageError: the store that keeps the weights does not.

        Writes:
            `service/champions.json` and releases, where something changed.
        """
        summaries = list_models(self._settings)
        entries = {}
        for summary in summaries:
            champion = next((version.version for version in summary.versions if CHAMPION in version.aliases), None)
            problem = None
            if champion is not None and self._is_pinned(summary):
                uri = f"models:/{summary.name}/{champion}"
                held = self._held.get(summary.name)
                if (held is None or held.uri != uri) and uri not in self._refused:
                    self._try(summary.name, uri)
                problem = self._refused.get(uri)
            entries[summary.name] = self._entry(summary, champion, problem)
        for name in set(self._held) - set(entries):
            del self._held[name]  # the model was deleted
        self._entries, self.is_complete = entries, True
        if self._fresh:
            self._write_down()

    def recall(self) -> None:
        """Begin with what the service held last, for a start while the registry is silent.

        Raises:
            MissingError: nothing was written down yet.
            StorageError: the store does not answer.
        """
        uri = join(self._settings.root, "service", "champions.json")
        try:
            listed = HeldChampions.model_validate_json(read_bytes(uri, self._settings, max_bytes=MAX_LIST_BYTES))
        except ValidationError:
            raise InputError(f"expected the champions in {uri}, it holds something else; delete it") from None
        for held in listed.champions:
            name = held.uri.rpartition("/")[0].removeprefix("models:/")
            served = _ready(held.uri, *read_release(held.folder, self._settings))
            self._held[name] = served
            self._entries[name] = _described(served, name)
            self._written[name] = held
        self.is_complete = True

    def find(self, asked: str) -> str:
        """The registry name that a caller means.

        Args:
            asked: Tissue, organism and tissue, or registry name.

        Raises:
            MissingError: no model is meant, or more than one; lists those there are.
        """
        wanted = asked.replace(" ", "-")
        names = [
            name
            for name, entry in self._entries.items()
            if wanted in (name, name.removeprefix(PREFIX)) or wanted == entry.tissue.replace(" ", "-")
        ]
        if len(names) == 1:
            return names[0]
        known = ", ".join(sorted(name.removeprefix(PREFIX) for name in (names or self._entries))) or "none yet"
        raise MissingError(f"expected one model for {asked!r}, {'several are meant' if names else 'there is none'}: {known}")

    def champion(self, name: str) -> Served | None:
        """What answers for a model; None where its champion is not held."""
        return self._held.get(name)

    def entries(self) -> tuple[ModelEntry, ...]:
        """Every model of the registry, by name."""
        return tuple(self._entries[name] for name in sorted(self._entries))

    def _is_pinned(self, summary: ModelSummary) -> bool:
        own = {summary.name, summary.name.removeprefix(PREFIX), summary.tissue}
        return self._pinned is None or not own.isdisjoint(self._pinned)

    def _try(self, name: str, uri: str) -> None:
        try:
            release, weights = load_release(uri, self._settings)
            self._held[name] = _ready(uri, release, weights)
        except (InputError, MissingError) as error:
            self._refused[uri] = str(error)
            logger.warning("%s is refused, what was champion before goes on: %s", uri, error)
            return
        self._fresh[name] = (release, weights)
        logger.info("%s answers now", uri)

    def _entry(self, summary: ModelSummary, champion: int | None, problem: str | None) -> ModelEntry:
        served = self._held.get(summary.name)
        if served is not None:
            return _described(served, summary.name).model_copy(update={"problem": problem})
        versions = {version.version: version for version in summary.versions}
        of_champion = versions.get(champion) if champion is not None else None
        return ModelEntry(
            tissue=summary.tissue or summary.name,
            organism=summary.organism or "unknown",
            name=summary.name,
            version=None if problem else champion,
            technology=of_champion.technology if of_champion else None,
            pitch_um=of_champion.pitch_um if of_champion else None,
            pcc=of_champion.pcc if of_champion else None,
            is_synthetic=of_champion.is_synthetic if of_champion else None,
            problem=problem or (None if champion else "no version is champion"),
        )

    def _write_down(self) -> None:
        for name, (release, weights) in self._fresh.items():
            if name in self._held:  # else it was deleted meanwhile
                self._written[name] = Held(uri=self._held[name].uri, folder=store_release(release, weights, self._settings))
        held = tuple(self._written[name] for name in self._held if name in self._written)
        text = HeldChampions(champions=held).model_dump_json(indent=2)
        write_bytes(join(self._settings.root, "service", "champions.json"), text.encode(), self._settings)
        self._fresh.clear()


def _described(served: Served, name: str) -> ModelEntry:
    release = served.release
    return ModelEntry(
        tissue=release.tissue,
        organism=release.organism,
        name=name,
        version=served.version,
        technology=release.technology,
        pitch_um=release.pitch_um,
        lattice=release.lattice,
        pcc=release.scores[0].pcc if release.scores else None,
        is_synthetic=release.is_synthetic,
    )
