"""Images and `infra/compose.yaml`: nothing runs as root or holds a secret, and what listens beyond loopback asks who is there."""

import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
DOCKERFILES = [pytest.param(path, id=path.name) for path in sorted((INFRA / "docker").glob("*.Dockerfile"))]
COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
SECRETS = (
    "POSTGRES_PASSWORD",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "MLFLOW_PASSWORD",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "RAY_AUTH_TOKEN",
)
GUARDS = {
    ("docker/serve-mlflow", "MLFLOW_HOST:-0.0.0.0"): "--app-name basic-auth",
    ("compose.yaml", "--dashboard-host=0.0.0.0"): "RAY_AUTH_MODE: token",
}
"""Everything that may listen on every address -> the setting, in the same file, that makes it ask who is there."""


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, its words) of a Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n", " ", "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")))
    return [(first.upper(), rest) for first, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())]


def of(path: Path, name: str) -> list[str]:
    return [words for instruction, words in instructions(path) if instruction == name]


def named_versions(path: Path) -> Iterator[Requirement]:
    yield from (Requirement(line) for line in path.read_text().splitlines() if line and not line.startswith("#"))


# --- images


@pytest.mark.parametrize("path", DOCKERFILES)
def test_an_image_has_a_named_base_a_plain_user_and_a_check_of_its_health(path: Path) -> None:
    assert [base.split()[0] for base in of(path, "FROM")] == ["python:3.11-slim-bookworm"] * 2
    assert of(path, "USER") == ["1000"]
    last_root = max(place for place, (name, words) in enumerate(instructions(path)) if "pip install" in words or "apt-get" in words)
    assert last_root < [name for name, _ in instructions(path)].index("USER")
    assert len(of(path, "HEALTHCHECK")) == 1


@pytest.mark.parametrize("path", DOCKERFILES)
def test_an_image_is_the_wheel_under_the_constraints_with_torch_first(path: Path) -> None:
    installs = [step for words in of(path, "RUN") for step in words.split("&&") if "pip install" in step]
    assert all("--constraint /opt/s2s/constraints.txt" in step for step in installs if "setuptools" not in step)
    assert installs[0].split()[-1] == f"torch=={pinned('torch')}"
    assert "/opt/s2s/wheels/*.whl" in installs[1]
    assert any("pip wheel" in words and "--no-deps" in words for words in of(path, "RUN"))


def test_deepspeed_comes_last_and_compiles_nothing() -> None:
    (step,) = (
        step
        for words in of(INFRA / "docker" / "gpu.Dockerfile", "RUN")
        for step in words.split("&&")
        if "deepspeed.txt" in step and "DS_" in step
    )
    assert "DS_BUILD_OPS=0 pip install" in step
    assert "--no-build-isolation" in step


def pinned(name: str) -> str:
    found = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith(f"{name}==")]
    return found[0].removeprefix(f"{name}==")


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in ("servers", "deepspeed")])
def test_what_an_image_adds_is_exact_and_contradicts_no_constraint(name: str) -> None:
    constraints = {item.name.lower(): str(item.specifier) for item in named_versions(ROOT / "constraints.txt")}
    for item in named_versions(INFRA / "docker" / f"{name}.txt"):
        assert str(item.specifier).startswith("=="), item.name
        assert constraints.get(item.name.lower(), str(item.specifier)) == str(item.specifier)


@pytest.mark.parametrize("path", DOCKERFILES)
def test_no_secret_and_nothing_unasked_goes_into_an_image(path: Path) -> None:
    assert not re.search(r"(?i)\b(ARG|ENV)\s.*(PASSWORD|TOKEN|SECRET|KEY)", path.read_text())
    ignore = path.with_name(path.name + ".dockerignore").read_text().splitlines()
    assert next(line for line in ignore if not line.startswith("#")) == "*", "everything stays out that is not let in by name"
    copied = [word for words in of(path, "COPY") if "--from" not in words for word in words.split()[:-1] if not word.startswith("--")]
    assert all((ROOT / name).exists() for name in copied)
    let_in = [line.removeprefix("!") for line in ignore if line.startswith("!")]
    assert all(any(name == allowed or name.startswith(f"{allowed}/") for allowed in let_in) for name in copied)


# --- compose


def test_every_port_is_published_on_loopback_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:5000:5000", "127.0.0.1:8265:8265"]
    assert {name: service.get("network_mode") for name, service in SERVICES.items() if name != "net"} == dict.fromkeys(
        ("postgres", "s3", "mlflow", "ray"), "service:net"
    )


def test_no_password_stands_in_the_file_and_none_may_be_missing() -> None:
    given = {name: str(value) for service in SERVICES.values() for name, value in service.get("environment", {}).items()}
    for name, value in given.items():
        if re.search(r"PASSWORD|TOKEN|SECRET|KEY", name):
            assert re.fullmatch(r"\$\{[A-Z_]+:\?run infra/new-secrets\.sh\}", value), name
    assert set(re.findall(r"\$\{([A-Z_]+):\?", (INFRA / "compose.yaml").read_text())) == set(SECRETS)


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in SERVICES])
def test_a_service_is_watched_started_again_and_gains_no_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["security_opt"] == ["no-new-privileges:true"]
    if name not in ("net", "ray"):  # net serves nothing, ray has the check of its image
        assert service["healthcheck"]["test"][0] == "CMD"
    assert all(volume.split(":")[0] in COMPOSE["volumes"] or volume.endswith(":ro") for volume in service.get("volumes", []))


def test_ray_and_mlflow_ask_who_is_there_and_mlflow_never_unpickles() -> None:
    assert SERVICES["ray"]["environment"]["RAY_AUTH_MODE"] == "token"
    assert SERVICES["mlflow"]["command"] == ["serve-mlflow"]
    script = (INFRA / "docker" / "serve-mlflow").read_text()
    assert "--app-name basic-auth" in script
    assert "MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false" in script


def test_mlflow_does_not_start_without_a_password() -> None:
    settings = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "MLFLOW_BACKEND_STORE_URI": "x", "S2S_BUCKET": "x", "S2S_S3_ENDPOINT": "x"}
    done = subprocess.run(["sh", INFRA / "docker" / "serve-mlflow"], env=settings, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "expected the password of admin" in done.stderr


def test_fresh_secrets_are_long_private_and_never_overwritten(tmp_path: Path) -> None:
    script = tmp_path / "new-secrets.sh"
    script.write_text((INFRA / "new-secrets.sh").read_text())
    subprocess.run(["sh", script], check=True)
    written = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    assert tuple(written) == SECRETS
    assert all(len(value) >= 20 for value in written.values())
    assert len(set(written.values())) == len(SECRETS)
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert subprocess.run(["sh", script], check=False, capture_output=True).returncode == 2
    assert ".env" in (INFRA / ".gitignore").read_text().splitlines()


# --- everything


def open_to_all() -> Iterator[tuple[str, str]]:
    """(file, line) of everything of infra/ and `ray_cluster.yaml` that listens, or might, on every address."""
    files = [ROOT / "ray_cluster.yaml", *(path for path in sorted(INFRA.rglob("*")) if path.is_file() and path.suffix != ".md")]
    for path in files:
        for line in path.read_text().splitlines():
            if re.search(r"0\.0\.0\.0|\[::\]", line) and not line.lstrip().startswith("#"):
                yield path.relative_to(INFRA if path.is_relative_to(INFRA) else ROOT).as_posix(), line


def test_whatever_listens_on_every_address_asks_who_is_there() -> None:
    found = list(open_to_all())
    for name, line in found:
        guards = [guard for (file, words), guard in GUARDS.items() if file == name and words in line]
        assert guards, f"{name} listens on every address, and nothing is known to guard it: {line.strip()}"
        assert guards[0] in (INFRA / name).read_text()
    assert len(found) == len(GUARDS), "a guard that guards nothing"
