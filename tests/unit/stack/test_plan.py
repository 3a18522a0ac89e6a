"""Which parts the stack runs itself, and how each is started."""

import sys
from pathlib import Path

import pytest

from s2s.errors import StackError
from s2s.stack import local
from s2s.stack.folder import StackFolder
from s2s.stack.plan import PARTS, Part, Plan, replacement

PORTS = {part.name: {name: 20_000 + 100 * place + index for index, name in enumerate(part.ports)} for place, part in enumerate(PARTS)}
S3, RAY, MLFLOW = PARTS


@pytest.fixture
def plan(s2s_home: Path) -> Plan:
    return Plan(StackFolder(s2s_home), PORTS)


def without(plan: Plan, name: str) -> Plan:
    return Plan(plan.place, {part: ports for part, ports in plan.ports.items() if part != name})


def test_nothing_is_replaced_unless_said(s2s_home: Path) -> None:
    assert [replacement(part, StackFolder(s2s_home)) for part in PARTS] == [None, None, None]


@pytest.mark.parametrize("part", [pytest.param(part, id=part.name) for part in PARTS])
def test_a_part_is_replaced_by_its_variable(part: Part, s2s_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(part.variable, "https://elsewhere.example:1234")
    assert replacement(part, StackFolder(s2s_home)) == "https://elsewhere.example:1234"


@pytest.mark.parametrize("part", [pytest.param(part, id=part.name) for part in PARTS])
def test_the_stacks_own_address_is_no_replacement(part: Part, s2s_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = StackFolder(s2s_home)
    place.keep_ports(PORTS)
    monkeypatch.setenv(part.variable, part.address(PORTS[part.name]))
    assert replacement(part, place) is None


def test_status_of_an_unreachable_replacement_is_silent(s2s_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in PARTS:
        monkeypatch.setenv(part.variable, "http://127.0.0.1:1")
    assert [(part.state, part.is_external) for part in local.status(s2s_home)] == [("silent", True)] * 3


def test_status_and_down_without_a_stack(s2s_home: Path) -> None:
    assert [part.state for part in local.status(s2s_home)] == ["stopped"] * 3
    assert local.down(s2s_home, lambda what: None) == []
    assert not s2s_home.exists()


def test_every_part_stays_on_this_machine(plan: Plan) -> None:
    s3, ray, mlflow = (plan.launch(part).command for part in PARTS)
    assert {"-ip=127.0.0.1", "-ip.bind=127.0.0.1"} <= set(s3)
    assert "--node-ip-address=127.0.0.1" in ray
    assert plan.launch(RAY).env["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert mlflow[mlflow.index("--host") + 1] == "127.0.0.1"


def test_every_port_of_a_part_is_on_its_command_line_or_in_its_environment(plan: Plan) -> None:
    for part in PARTS:
        launch = plan.launch(part)
        said = " ".join([*launch.command, *launch.env.values()])
        assert [name for name, port in PORTS[part.name].items() if str(port) not in said] == []


def test_no_secret_is_on_a_command_line(plan: Plan) -> None:
    secret = plan.environment()["AWS_SECRET_ACCESS_KEY"]
    token = Path(plan.environment()["RAY_AUTH_TOKEN_PATH"])
    for part in PARTS:
        assert secret not in " ".join(plan.launch(part).command)
    assert token.read_text() not in " ".join([*plan.launch(RAY).command, *plan.launch(RAY).env.values()])


def test_the_users_keys_do_not_reach_the_stacks_own_servers(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "mine")
    for part in PARTS:
        assert "AWS_SESSION_TOKEN" not in plan.launch(part).inherited


def test_the_users_keys_reach_mlflow_where_s3_is_theirs(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "mine")
    monkeypatch.setenv("S2S_S3_ENDPOINT", "https://elsewhere.example")
    launch = without(plan, "s3").launch(MLFLOW)
    assert launch.inherited["AWS_SESSION_TOKEN"] == "mine"
    assert launch.env["MLFLOW_S3_ENDPOINT_URL"] == "https://elsewhere.example"


def test_tasks_do_not_inherit_what_stack_env_says(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2S_S3_ENDPOINT", "http://127.0.0.1:20003")
    monkeypatch.setenv("S2S_MLFLOW_URI", "https://elsewhere.example")
    inherited = without(plan, "mlflow").launch(RAY).inherited
    assert "S2S_S3_ENDPOINT" not in inherited
    assert inherited["S2S_MLFLOW_URI"] == "https://elsewhere.example"


def test_a_moved_s3_server_changes_mlflows_recipe(plan: Plan) -> None:
    moved = Plan(plan.place, plan.ports | {"s3": {name: port + 50 for name, port in plan.ports["s3"].items()}})
    assert plan.launch(MLFLOW).recipe == plan.launch(MLFLOW).recipe
    assert moved.launch(MLFLOW).recipe != plan.launch(MLFLOW).recipe


def test_a_missing_server_says_what_to_install(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(StackError, match=r"pip install 's2s-atlas\[stack\]'"):
        plan.launch(S3)
