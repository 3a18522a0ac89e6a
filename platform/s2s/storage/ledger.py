"""The ledger: for every run who works on it, how attempts ended, and its one result. One page on it: `infra/ledger.md`.

    ledger/leases/<key>/000001.json     the right to work, numbered; written by its holder alone, again to renew it
    ledger/failures/<key>/000001.json   how that attempt ended without a result
    ledger/pardons/<key>/000001.json    attempts up to this one no longer count
    ledger/commits/<key>.json           the result: written once, on condition that there is none

Decision: clocks decide only who works, never who wins. A lease runs out by the clocks of its holder and of whoever asks, so
clocks that differ cost work done twice; the result is whoever's commit object came first, which S3 decides. One LIST of each
folder tells the state of a hundred thousand runs.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import uuid4

from pydantic import ValidationError

from s2s.contracts.document import Document
from s2s.contracts.ledger import Cause, Failure, Lease, Pardon, RunCommit
from s2s.contracts.run import GpuUse
from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, InputError, LeaseError, MissingError
from s2s.storage.location import join
from s2s.storage.objects import delete_object, delete_prefix, exists, list_below, read_bytes, write_bytes

LEASES, FAILURES, PARDONS, COMMITS = "leases", "failures", "pardons", "commits"
LONGEST_NOTE = 200
READERS = 32
"""Entries that are read at once."""

RENEWALS = 3
"""Renewals per duration of a lease, by whoever holds it."""

D = TypeVar("D", bound=Document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What exists in the ledger, from names alone: nothing of it was read.

    Attributes:
        commits: Keys of finished runs.
        leases: Key -> tokens, rising.
        failures: Key -> tokens of attempts that failed, rising.
        pardons: Key -> token up to which failures are forgiven.
    """

    commits: frozenset[str]
    leases: Mapping[str, Sequence[int]]
    failures: Mapping[str, Sequence[int]]
    pardons: Mapping[str, int]

    def counted(self, key: str) -> Sequence[int]:
        """Tokens of the failures of a run that are not forgiven."""
        return [token for token in self.failures.get(key, ()) if token > self.pardons.get(key, 0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The ledger below one root.

    Attributes:
        root: URI below which `ledger/` lies.
        settings: Endpoint and credentials.
        clock: Seconds since 1970.
        holder: Host and process that asks, for people to read.
    """

    root: str
    settings: Settings
    clock: Callable[[], float] = field(default=time.time)
    holder: str = "unknown"

    def find_commit(self, key: str) -> RunCommit | None:
        """The result of a run; None while there is none.

        Raises:
            StorageError: the store refused or does not answer.
        """
        return self._read(RunCommit, COMMITS, f"{key}.json")

    def take(self, key: str, *, lease_s: float, takes_over: bool = False) -> Lease | None:
        """Take the right to work on a run.

        Args:
            key: Of the run.
            lease_s: How long the right lasts unless it is renewed.
            takes_over: Take it from a holder whose lease still lasts: its attempt can then no longer commit.

        Returns:
            The lease; None where the run is finished, or another holds it or was faster.

        Raises:
            StorageError: the store refused or does not answer.
            KeyboardInterrupt: told to stop meanwhile.

        Writes:
            One lease, on condition that nobody has this token; with an interrupt, that it failed.
        """
        if self.find_commit(key) is not None:
            return None
        tokens = self._tokens(LEASES, key)
        last = self._read(Lease, LEASES, key, _file(tokens[-1])) if tokens else None
        if last is not None and not takes_over and self._is_held(last):
            return None
        now, token = self.clock(), (tokens[-1] if tokens else 0) + 1
        lease = Lease(
            key=key,
            token=token,
            attempt=f"attempt-{token:06d}-{uuid4().hex}",
            holder=self.holder,
            taken_at=now,
            expires_at=now + lease_s,
            predecessors=(last.attempt, *last.predecessors) if last else (),
        )
        try:
            self._write(lease, LEASES, key, _file(token), if_absent=True)
        except ExistsError:
            # Another was faster, or it is our own write that was sent twice because its answer was lost on the way.
            return lease if self._is_written(lease) else None
        except KeyboardInterrupt:
            if self._is_written(lease):  # nobody shall wait for a lease that nobody knows of
                self.fail(lease, "stopped", "stopped while it began")
            raise
        return lease

    def renew(self, lease: Lease, *, lease_s: float, note: str = "") -> Lease:
        """Make a lease last longer.

        Args:
            lease: Of the attempt that works.
            lease_s: How long it lasts from now.
            note: What the attempt is doing, for people to read; cut to what a lease holds.

        Raises:
            LeaseError: another has taken the run over.
            StorageError: the store refused or does not answer.

        Writes:
            The lease anew; nobody else writes it.
        """
        self._check_not_fenced(lease)
        longer = lease.model_copy(update={"expires_at": self.clock() + lease_s, "note": note[:LONGEST_NOTE]})
        self._write(longer, LEASES, lease.key, _file(lease.token), if_absent=False)
        return longer

    def commit(
        self, lease: Lease, *, peak_memory_bytes: int = 0, gpu: GpuUse | None = None, figures: Mapping[str, float] | None = None
    ) -> RunCommit:
        """Make an attempt the result of its run.

        Args:
            lease: Of the attempt, everything of which is written.
            peak_memory_bytes: Main memory of the worker.
            gpu: What it took of a graphics processor.
            figures: Main results.

        Raises:
            LeaseError: another has taken the run over, or finished it.
            StorageError: the store refused or does not answer; whether it was committed, `find_commit` tells.

        Writes:
            The commit object, on condition that there is none.
        """
        self._check_not_fenced(lease)
        now = self.clock()
        made = RunCommit(
            key=lease.key,
            token=lease.token,
            attempt=lease.attempt,
            holder=lease.holder,
            at=now,
            seconds=max(0.0, now - lease.taken_at),
            peak_memory_bytes=peak_memory_bytes,
            gpu=gpu,
            figures=dict(figures or {}),
        )
        try:
            self._write(made, COMMITS, f"{lease.key}.json", if_absent=True)
        except ExistsError:
            found = self.find_commit(lease.key)
            if found is None or found.attempt != lease.attempt:
                raise LeaseError(f"run {lease.key} was finished by {found.holder if found else 'another'} before {lease.holder}") from None
            return found
        return made

    def fail(self, lease: Lease, cause: Cause, message: str) -> None:
        """Say how an attempt ended without a result; what was said first stays.

        Raises:
            StorageError: the store refused or does not answer.

        Writes:
            One failure, on condition that there is none.
        """
        failure = Failure(key=lease.key, token=lease.token, cause=cause, message=message[:4000], holder=lease.holder, at=self.clock())
        try:
            self._write(failure, FAILURES, lease.key, _file(lease.token), if_absent=True)
        except ExistsError:
            return

    def last_lease(self, key: str) -> Lease | None:
        """The lease with the highest token, whether it lasts or not; None where nobody ever worked on the run."""
        tokens = self._tokens(LEASES, key)
        return self._read(Lease, LEASES, key, _file(tokens[-1])) if tokens else None

    def pardon(self, key: str) -> None:
        """Forgive the failures of a run so far.

        Writes:
            One pardon, or nothing where nobody ever worked on the run.
        """
        if tokens := self._tokens(LEASES, key):
            self._write(Pardon(key=key, token=tokens[-1], at=self.clock()), PARDONS, key, _file(tokens[-1]), if_absent=False)

    def survey(self) -> Survey:
        """List what there is.

        Raises:
            StorageError: the store refused or does not answer.
        """
        # Commits last: a run that is finished meanwhile is then seen as finished, never as abandoned.
        with ThreadPoolExecutor(max_workers=3) as pool:
            leases, failures, pardons = pool.map(self._listed, (LEASES, FAILURES, PARDONS))
        commits = frozenset(name.removesuffix(".json") for name in list_below(join(self.root, "ledger", COMMITS), self.settings))
        forgiven = {key: tokens[-1] for key, tokens in pardons.items()}
        return Survey(commits=commits, leases=leases, failures=failures, pardons=forgiven)

    def forget(self, key: str) -> None:
        """Delete every entry of a run, its result included, so that it starts anew.

        Raises:
            StorageError: the store refused or does not answer.
        """
        delete_object(join(self.root, "ledger", COMMITS, f"{key}.json"), self.settings)
        for folder in (FAILURES, PARDONS, LEASES):
            delete_prefix(join(self.root, "ledger", folder, key), self.settings)

    def read_commits(self, keys: Sequence[str]) -> dict[str, RunCommit]:
        """Read the commits of some runs, many at once; what is not there is left out."""
        with ThreadPoolExecutor(max_workers=READERS) as pool:
            return {key: found for key, found in zip(keys, pool.map(self.find_commit, keys), strict=True) if found is not None}

    def read_failures(self, places: Sequence[tuple[str, int]]) -> list[Failure]:
        """Read some failures by key and token, many at once; what is not there is left out."""
        with ThreadPoolExecutor(max_workers=READERS) as pool:
            found = pool.map(lambda place: self._read(Failure, FAILURES, place[0], _file(place[1])), places)
            return [failure for failure in found if failure is not None]

    def read_leases(self, places: Sequence[tuple[str, int]]) -> list[Lease]:
        """Read some leases by key and token, many at once; what is not there is left out."""
        with ThreadPoolExecutor(max_workers=READERS) as pool:
            found = pool.map(lambda place: self._read(Lease, LEASES, place[0], _file(place[1])), places)
            return [lease for lease in found if lease is not None]

    def _is_held(self, lease: Lease) -> bool:
        return self.clock() < lease.expires_at and self._read(Failure, FAILURES, lease.key, _file(lease.token)) is None

    def _is_written(self, lease: Lease) -> bool:
        return self._read(Lease, LEASES, lease.key, _file(lease.token)) == lease

    def _check_not_fenced(self, lease: Lease) -> None:
        # Tokens have no gaps. To ask for one object is a read to S3, which counts a LIST as a write.
        if exists(join(self.root, "ledger", LEASES, lease.key, _file(lease.token + 1)), self.settings):
            raise LeaseError(f"run {lease.key} was taken over (lease {lease.token + 1}) from {lease.holder} (lease {lease.token})")

    def _tokens(self, folder: str, key: str) -> list[int]:
        return sorted(_token(name) for name in list_below(join(self.root, "ledger", folder, key), self.settings))

    def _listed(self, folder: str) -> dict[str, list[int]]:
        found: defaultdict[str, list[int]] = defaultdict(list)
        for path in list_below(join(self.root, "ledger", folder), self.settings):
            key, _, name = path.partition("/")
            found[key].append(_token(name))
        return {key: sorted(tokens) for key, tokens in found.items()}

    def _read(self, model: type[D], *names: str) -> D | None:
        uri = join(self.root, "ledger", *names)
        try:
            return model.model_validate_json(read_bytes(uri, self.settings))
        except MissingError:
            return None
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]["msg"]
            raise InputError(f"expected an entry of the ledger, a {model.__name__}, at {uri}: {problem}; another s2s wrote it") from None

    def _write(self, entry: Document, *names: str, if_absent: bool) -> None:
        write_bytes(join(self.root, "ledger", *names), entry.model_dump_json().encode(), self.settings, if_absent=if_absent)


def _file(token: int) -> str:
    return f"{token:06d}.json"


def _token(name: str) -> int:
    return int(name.removesuffix(".json"))
