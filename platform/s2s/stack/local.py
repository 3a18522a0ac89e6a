"""The story of the local stack: `up`, `status`, `down`.

Decision: no supervisor. Each server runs on its own and `up` mends what is dead, so nothing has to watch; the price is that
a server that dies stays dead until the next `up`.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from s2s.contracts.settings import LOOPBACK_ENV
from s2s.errors import StackError
from s2s.stack import seaweedfs
from s2s.stack.env_file import write_env_file
from s2s.stack.folder import StackFolder
from s2s.stack.plan import PARTS, Part, Plan, replacement
from s2s.stack.ports import choose_ports
from s2s.stack.processes import ProcessRecord, is_alive, spawn, stop, wait_until_healthy
from s2s.storage.bucket import ensure_bucket

PATIENCE_S = 15.0
"""How long a living part may stay silent before `up` takes it for stuck and starts it anew."""

_log = logging.getLogger(__name__)


class PartStatus(BaseModel):
    """What `status` says about one part."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    state: Literal["running", "silent", "stopped"]
    is_external: bool
    address: str | None = None
    pid: int | None = None
    uptime_s: float | None = None
    log: Path | None = None


def up(home: Path, on_wait: Callable[[str], None]) -> list[PartStatus]:
    """Start every part that is not running, keep those that are, and wait until all answer.

    Args:
        home: `$S2S_HOME`.
        on_wait: Told what is being waited for, for a progress line.

    Returns:
        One status per part, as `status`.

    Raises:
        StackError: a part is not installed, ended, or did not answer in time; the message shows the end of its log.
        StorageError: the bucket could not be made.

    Writes:
        `$S2S_HOME/stack/`, and `$S2S_HOME/stack.env` once all parts answer.
    """
    place = StackFolder(home)
    with place.lock(on_wait):
        own = [part for part in PARTS if replacement(part, place) is None]
        for part in PARTS:
            _clear(part, place, on_wait, is_wanted=part in own)
        plan = Plan(place, _ports(own, place))
        place.keep_ports(place.last_ports() | plan.ports)
        records = {part.name: _started(part, plan) for part in own}
        for part in own:
            on_wait(part.title)
            _await(part, records[part.name], part.start_timeout_s)
            if part.name == seaweedfs.NAME:
                ensure_bucket(plan.s3_settings())
        write_env_file(place.env_file, plan.environment())
        _warn_of_hidden_values(plan)
    return status(home)


def status(home: Path) -> list[PartStatus]:
    """Say of each part whether it answers, where it is, and where its log lies."""
    place = StackFolder(home)
    return [_status(part, place) for part in PARTS]


def down(home: Path, on_wait: Callable[[str], None]) -> list[str]:
    """End every process that `up` started; data, keys and ports stay.

    Returns:
        Titles of the parts that were ended; empty if no stack was up.

    Raises:
        StackError: a process could not be ended.

    Writes:
        Removes `$S2S_HOME/stack.env` and the records.
    """
    place = StackFolder(home)
    if not place.path.is_dir():
        return []
    ended: list[str] = []
    with place.lock(on_wait):
        place.env_file.unlink(missing_ok=True)
        for part in reversed(PARTS):  # MLflow before the S3 server that it writes to
            record = place.record(part.name)
            if record is None:
                continue
            on_wait(f"{part.title} to end")
            if stop(record):
                ended.append(part.title)
            place.forget(part.name)
    return ended


def _clear(part: Part, place: StackFolder, on_wait: Callable[[str], None], *, is_wanted: bool) -> None:
    # What is left of a dead, stuck or replaced part must go first: orphans of a killed parent may still hold its ports.
    record = place.record(part.name)
    if record is None:
        return
    if is_wanted and is_alive(record):
        on_wait(part.title)
        try:
            _await(part, record, PATIENCE_S)
        except StackError:
            _log.warning("%s runs but does not answer; starting it anew", part.title)
        else:
            return
    stop(record)
    place.forget(part.name)


def _await(part: Part, record: ProcessRecord, timeout_s: float) -> None:
    wait_until_healthy(record, lambda: part.is_healthy(record.ports), timeout_s=timeout_s)


def _ports(parts: list[Part], place: StackFolder) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for part in parts:
        record = place.record(part.name)
        taken = {port for ports in found.values() for port in ports.values()}
        found[part.name] = record.ports if record else choose_ports(part.ports, last=place.last_ports().get(part.name, {}), taken=taken)
    return found


def _started(part: Part, plan: Plan) -> ProcessRecord:
    launch = plan.launch(part)
    record = plan.place.record(part.name)
    if record is not None and record.recipe == launch.recipe:
        return record
    if record is not None:
        _log.warning("%s was started with other settings; starting it anew", part.title)
        stop(record)
        launch = plan.launch(part)
    record = spawn(launch)
    plan.place.remember(record)
    return record


def _status(part: Part, place: StackFolder) -> PartStatus:
    given = replacement(part, place)
    if given is not None:
        state: Literal["running", "silent", "stopped"] = "running" if part.is_replacement_healthy(given) else "silent"
        return PartStatus(name=part.name, title=part.title, state=state, is_external=True, address=given)
    record = place.record(part.name)
    log = place.log(part.name) if place.log(part.name).exists() else None
    if record is None or not is_alive(record):
        return PartStatus(
            name=part.name, title=part.title, state="stopped", is_external=False, address=None, pid=None, uptime_s=None, log=log
        )
    return PartStatus(
        name=part.name,
        title=part.title,
        state="running" if part.is_healthy(record.ports) else "silent",
        is_external=False,
        address=part.address(record.ports),
        pid=record.pid,
        uptime_s=time.time() - record.created_s,
        log=log,
    )


def _warn_of_hidden_values(plan: Plan) -> None:
    # The environment wins over stack.env, so keys of another S3 in this shell would be sent to ours.
    hidden = [name for name, value in plan.environment().items() if os.environ.get(name, value) != value]
    if seaweedfs.NAME in plan.ports and "AWS_SESSION_TOKEN" in os.environ:
        hidden.append("AWS_SESSION_TOKEN")
    hidden = [name for name in hidden if name not in LOOPBACK_ENV]
    if hidden:
        _log.warning("this shell's %s differ from the stack's and win over them; run `unset %s`", ", ".join(hidden), " ".join(hidden))
