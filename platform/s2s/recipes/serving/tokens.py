"""Who may: tokens in the store, their secrets as hashes only.

    service/tokens/<id>.json

Decision: a token is `s2s_<id>_<secret>` with 256 random bits, which nobody guesses, so one SHA-256 hides it as well as a slow hash would
and costs no time per request; the price is that a token cannot be chosen.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError

from s2s.contracts.service import Action, TokenRecord
from s2s.contracts.settings import Settings
from s2s.errors import ConfigError, InputError, MissingError, StorageError
from s2s.storage.location import join
from s2s.storage.objects import list_names, read_bytes, write_bytes

FORM = re.compile(r"^s2s_([0-9a-f]{12})_([0-9a-f]{64})$")
DAY_S = 86_400.0
FRESH_S = 10.0
"""How long a token is believed without asking the store: a revoked one works that much longer."""
STALE_S = 300.0
"""How long it is believed while the store does not answer."""
MAX_KNOWN = 10_000
MAX_RECORD_BYTES = 1_000_000


def create_token(
    name: str, settings: Settings, *, tissues: tuple[str, ...] | None, actions: tuple[Action, ...], days: float | None
) -> tuple[str, TokenRecord]:
    """Make a token.

    Args:
        name: Who gets it.
        settings: Where the store is.
        tissues: Models that it opens; None for all.
        actions: What may be done with it.
        days: How long it is good; None for ever.

    Returns:
        The token, which is shown this once, and what is kept of it.

    Raises:
        ConfigError: a name, tissue or action that cannot be.
        StorageError: the store refused or does not answer.

    Writes:
        One record.
    """
    secret, now = secrets.token_hex(32), time.time()
    try:
        record = TokenRecord(
            id=secrets.token_hex(6),
            name=name,
            secret_sha256=_hash(secret),
            tissues=tissues,
            actions=actions,
            created_at=now,
            expires_at=None if days is None else now + days * DAY_S,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(f"expected a token that can be, {first['loc'][0]}: {first['msg']}, got {first['input']!r}") from None
    write_bytes(_place(record.id, settings), record.model_dump_json(indent=2).encode(), settings, if_absent=True)
    return f"s2s_{record.id}_{secret}", record


def list_tokens(settings: Settings) -> list[TokenRecord]:
    """Every token there ever was, newest first.

    Raises:
        StorageError: the store refused or does not answer.
    """
    names = list_names(join(settings.root, "service", "tokens"), settings)
    found = [_read(name.removesuffix(".json"), settings) for name in names if name.endswith(".json")]
    return sorted(found, key=lambda record: record.created_at, reverse=True)


def revoke_token(token_id: str, settings: Settings) -> TokenRecord:
    """Shut a token out; services notice within `FRESH_S`.

    Raises:
        MissingError: no such token; lists those there are.
        StorageError: the store refused or does not answer.

    Writes:
        The record, with `revoked_at`.
    """
    try:
        record = _read(token_id, settings)
    except (MissingError, InputError):
        known = ", ".join(f"{record.id} ({record.name})" for record in list_tokens(settings)[:8]) or "none yet"
        raise MissingError(f"expected the id of a token, there is none {token_id!r}; there are: {known}") from None
    if record.revoked_at is None:
        record = record.model_copy(update={"revoked_at": time.time()})
        write_bytes(_place(token_id, settings), record.model_dump_json(indent=2).encode(), settings)
    return record


@dataclass(frozen=True, slots=True)
class _Known:
    record: TokenRecord | None
    asked_at: float


class Doorkeeper:
    """Tells whose a token is, asking the store now and then."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._clock = settings, clock
        self._known: dict[str, _Known] = {}
        self._silent_until = 0.0

    def find_silent(self) -> None:
        """Learn that the store takes too long: for a while it is not asked about tokens that were seen lately."""
        self._silent_until = self._clock() + FRESH_S

    def holder(self, token: str) -> TokenRecord | None:
        """The record of a token that is good now; None for any other.

        Raises:
            StorageError: the store does not answer, and the token was not seen lately.
        """
        match = FORM.match(token)
        # The same work for every token, so that time tells nothing of it.
        record = self._record(match[1]) if match else None
        expected = record.secret_sha256 if record else "0" * 64
        is_right = hmac.compare_digest(expected, _hash(match[2] if match else token))
        if record is None or not is_right or record.revoked_at is not None:
            return None
        return None if record.expires_at is not None and record.expires_at <= self._clock() else record

    def _record(self, token_id: str) -> TokenRecord | None:
        now, known = self._clock(), self._known.get(token_id)
        if known is not None and now - known.asked_at < (STALE_S if now < self._silent_until else FRESH_S):
            return known.record
        try:
            record: TokenRecord | None = _read(token_id, self._settings)
        except (MissingError, InputError):
            record = None
        except StorageError:
            self.find_silent()
            if known is not None and now - known.asked_at < STALE_S:
                return known.record
            raise
        if len(self._known) >= MAX_KNOWN:  # somebody tries ids; those who are in use are asked for again
            self._known.clear()
        self._known[token_id] = _Known(record, now)
        return record


def _read(token_id: str, settings: Settings) -> TokenRecord:
    data = read_bytes(_place(token_id, settings), settings, max_bytes=MAX_RECORD_BYTES)
    try:
        return TokenRecord.model_validate_json(data)
    except ValidationError:
        raise InputError(f"expected a token in {_place(token_id, settings)}, it holds something else; delete it") from None


def _place(token_id: str, settings: Settings) -> str:
    return join(settings.root, "service", "tokens", f"{token_id}.json")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
