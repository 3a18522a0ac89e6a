"""Is this machine fit, are the versions right, do the servers answer: one check per line, each with what to do.

Every check catches only its own kind of failure and reports it; none changes anything, except that records which waited
for MLflow are sent when it answers.
"""

import os
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Literal

import psutil
from packaging.requirements import Requirement

from s2s.contracts.document import Part
from s2s.contracts.settings import STACK_ENV, Settings
from s2s.errors import S2SError
from s2s.stack.probe import accepts
from s2s.storage.location import join
from s2s.storage.objects import exists
from s2s.tracking.registry import list_models
from s2s.tracking.replay import replay
from s2s.training.step import choose_device

DISTRIBUTION = "s2s-atlas"
MIN_MEMORY_GB, MIN_DISK_GB = 6, 5
GB = 1e9


class Check(Part):
    """What one check found."""

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    advice: str = ""


def check_up(settings: Settings, on_check: Callable[[str], None]) -> list[Check]:
    """Run every check.

    Args:
        settings: Where the servers are; with `--local` they are not asked.
        on_check: Told the name of each check before it starts.
    """
    checks: list[tuple[str, Callable[[Settings], Check]]] = [
        ("python", _python),
        ("packages", _packages),
        ("machine", _machine),
        ("device", _device),
        ("home", _home),
        ("S3", _s3),
        ("MLflow", _mlflow),
        ("Ray", _ray),
        ("spool", _spool),
    ]
    found = []
    for name, check in checks:
        on_check(name)
        found.append(check(settings))
    return found


def _python(_: Settings) -> Check:
    is_good = sys.version_info >= (3, 11)
    return Check(
        name="python",
        state="ok" if is_good else "fail",
        detail=sys.version.split()[0],
        advice="" if is_good else "install Python 3.11 or newer",
    )


def _packages(_: Settings) -> Check:
    wrong, count = [], 0
    for text in requires(DISTRIBUTION) or ():
        need = Requirement(text)
        if need.marker is not None and not need.marker.evaluate({"extra": "platform"}):
            continue
        count += 1
        try:
            have = version(need.name)
        except PackageNotFoundError:
            have = "absent"
        if have == "absent" or not need.specifier.contains(have, prereleases=True):
            wrong.append(f"{need.name} {have}, needs {need.specifier}")
    if wrong:
        return Check(
            name="packages", state="fail", detail="; ".join(wrong), advice="install with the versions of constraints.txt: make setup"
        )
    return Check(name="packages", state="ok", detail=f"s2s {version(DISTRIBUTION)}, {count} libraries as required")


def _machine(settings: Settings) -> Check:
    memory = psutil.virtual_memory()
    folder = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    disk = shutil.disk_usage(folder).free / GB
    free = f"{memory.available / GB:.0f} of {memory.total / GB:.0f} GB memory free, {disk:.0f} GB disk free at {folder}"
    detail = f"{psutil.cpu_count()} cores, {free}"
    if disk < MIN_DISK_GB or memory.available / GB < MIN_MEMORY_GB:
        return Check(
            name="machine",
            state="warn",
            detail=detail,
            advice=f"a training wants {MIN_MEMORY_GB} GB memory and {MIN_DISK_GB} GB disk: free some",
        )
    return Check(name="machine", state="ok", detail=detail)


def _device(_: Settings) -> Check:
    device = choose_device("auto", gpus=1)
    advice = "no GPU: use preset laptop" if device.name == "cpu" else ""
    return Check(name="device", state="ok", detail=f"{device.name}, trains in {device.precision}", advice=advice)


def _home(settings: Settings) -> Check:
    env = settings.home / STACK_ENV
    if env.exists() and env.stat().st_mode & 0o077:
        return Check(name="home", state="fail", detail=f"{env} can be read by others and holds keys", advice=f"chmod 600 {env}")
    folder = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    if not os.access(folder, os.W_OK):
        return Check(name="home", state="fail", detail=f"{folder} cannot be written", advice="set S2S_HOME to a folder of yours")
    return Check(name="home", state="ok", detail=str(settings.home))


def _s3(settings: Settings) -> Check:
    if settings.is_local:
        return Check(name="S3", state="ok", detail=f"not used with --local: files under {settings.root}")
    if settings.s3_endpoint is None:
        return Check(name="S3", state="warn", detail="no server set", advice="s2s stack up, or set S2S_S3_ENDPOINT, or use --local")
    try:
        exists(join(settings.root, "doctor"), settings)
    except S2SError as error:
        return Check(name="S3", state="fail", detail=str(error), advice="s2s stack status")
    return Check(name="S3", state="ok", detail=f"{settings.root} at {settings.s3_endpoint}, client {settings.zarr_client}")


def _mlflow(settings: Settings) -> Check:
    if not settings.is_local and settings.mlflow_uri is None:
        return Check(name="MLflow", state="warn", detail="no server set", advice="s2s stack up, or set S2S_MLFLOW_URI, or use --local")
    try:
        models = list_models(settings)
    except S2SError as error:
        return Check(name="MLflow", state="fail", detail=str(error), advice="s2s stack status")
    return Check(name="MLflow", state="ok", detail=f"{settings.tracking_uri}, {len(models)} tissue models")


def _ray(settings: Settings) -> Check:
    if settings.is_local:
        return Check(name="Ray", state="ok", detail="not used with --local")
    if settings.ray_address is None:
        return Check(name="Ray", state="warn", detail="no head set", advice="s2s stack up, or set S2S_RAY_ADDRESS, or use --local")
    if not accepts(settings.ray_address):
        is_ours = settings.ray_address.startswith("127.")
        advice = "s2s stack status" if is_ours else "check S2S_RAY_ADDRESS, that its head is up, and the network between"
        return Check(name="Ray", state="fail", detail=f"nothing answers at {settings.ray_address}", advice=advice)
    return Check(name="Ray", state="ok", detail=settings.ray_address)


def _spool(settings: Settings) -> Check:
    report = replay(settings)
    if report.num_waiting:
        detail = f"{report.num_waiting} runs wait to be sent to MLflow: {report.problem}"
        return Check(name="spool", state="warn", detail=detail, advice="bring MLflow back, then s2s doctor")
    return Check(
        name="spool", state="ok", detail=f"nothing waits{f', {report.num_shipped} runs were sent now' if report.num_shipped else ''}"
    )
