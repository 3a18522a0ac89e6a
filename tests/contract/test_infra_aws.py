"""`ray_cluster.yaml` is one that Ray accepts and that nobody can walk into, and the policies of its roles allow no more than they must."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CLUSTER: dict[str, Any] = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
TYPES: dict[str, Any] = CLUSTER["available_node_types"]
POLICIES = sorted((ROOT / "infra" / "aws" / "iam").glob("*.json"))
PERMISSIONS = [path for path in POLICIES if not path.stem.startswith("trust_")]
BY_DIGEST = re.compile(r"[\w./-]+@sha256:[0-9a-f]{64}")
ON_ALL = {"ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ecr:GetAuthorizationToken"}
"""Actions that AWS lets nobody restrict to a resource."""


def each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in paths])


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def statements(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["Statement"]


def every_statement() -> Iterator[dict[str, Any]]:
    for path in PERMISSIONS:
        yield from statements(path)


def allowing(action: str) -> list[dict[str, Any]]:
    return [statement for statement in every_statement() if action in as_list(statement["Action"])]


def faults_of(statement: dict[str, Any]) -> list[str]:
    """Name what makes a statement wider than this house allows."""
    actions, resources = as_list(statement["Action"]), as_list(statement["Resource"])
    faults = [f"allows {action}" for action in actions if "*" in action]
    if "*" in resources and not set(actions) <= ON_ALL:
        faults.append(f"{actions} on everything")
    if any(action.startswith("s3:") for action in actions):
        faults += [
            f"not the atlas: {name}" for name in resources if name not in ("arn:aws:s3:::my-bucket", "arn:aws:s3:::my-bucket/atlas/*")
        ]
    if "s3:ListBucket" in actions and statement.get("Condition", {}).get("StringLikeIfExists") != {"s3:prefix": "atlas/*"}:
        faults.append("lists beyond the prefix")
    return faults


FILL_IN = """
import json, sys
from ray.autoscaler._private.util import fillout_defaults, validate_config
filled = fillout_defaults(json.load(sys.stdin))
validate_config(filled)
print(json.dumps(filled))
"""


def test_rays_own_schema_accepts_the_cluster() -> None:
    found = find_spec("ray")  # found, not imported: Ray reads its environment then, and a later test of this process sets it
    assert found is not None
    assert found.origin is not None
    schema = json.loads((Path(found.origin).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(CLUSTER, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**CLUSTER, "unknown": 1}, schema)


def test_ray_fills_in_no_command_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FILL_IN], input=json.dumps(CLUSTER), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    filled = json.loads(done.stdout.splitlines()[-1])
    assert {name: filled[name] for name in CLUSTER} == CLUSTER
    assert not filled["setup_commands"] + filled["head_setup_commands"] + filled["worker_setup_commands"]


def test_the_head_runs_no_task_and_the_pools_are_the_three_that_are_promised() -> None:
    assert TYPES[CLUSTER["head_node_type"]]["resources"] == {"CPU": 0, "GPU": 0}
    pools = {name: (pool["resources"]["GPU"], "InstanceMarketOptions" in pool["node_config"]) for name, pool in TYPES.items()}
    assert pools == {"head": (0, False), "cpu": (0, False), "spot_gpu": (1, True), "multi_gpu": (4, False)}
    assert TYPES["spot_gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert all(pool["min_workers"] == 0 for name, pool in TYPES.items() if name != "head")
    assert CLUSTER["max_workers"] == sum(pool.get("max_workers", 0) for pool in TYPES.values())


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in TYPES])
def test_an_instance_has_our_role_and_group_guarded_metadata_and_a_closed_disk(name: str) -> None:
    node = TYPES[name]["node_config"]
    role = "s2s-atlas-head" if name == "head" else "s2s-atlas-worker"
    assert node["IamInstanceProfile"] == {"Arn": f"arn:aws:iam::123456789012:instance-profile/{role}"}
    assert node["MetadataOptions"]["HttpTokens"] == "required"
    assert node["SecurityGroupIds"], "Ray's own group would open port 22 to the world"
    assert all(disk["Ebs"]["Encrypted"] and disk["Ebs"]["DeleteOnTermination"] for disk in node["BlockDeviceMappings"])


def test_every_image_is_named_by_digest() -> None:
    docker = [CLUSTER["docker"], *(pool["docker"] for pool in TYPES.values() if "docker" in pool)]
    images = [value for part in docker for key, value in part.items() if key.endswith("image")]
    assert len(images) == 4
    assert all(BY_DIGEST.fullmatch(image) for image in images)


def test_nodes_ask_for_a_token_and_the_dashboard_stays_on_the_head() -> None:
    assert "-e RAY_AUTH_MODE=token" in CLUSTER["docker"]["run_options"]
    assert "-e RAY_AUTH_TOKEN_PATH=/home/s2s/.ray/auth_token" in CLUSTER["docker"]["run_options"]
    assert "/home/s2s/.ray" in CLUSTER["file_mounts"]
    start = " ".join(CLUSTER["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in start
    assert "s2s node watch" in " ".join(CLUSTER["worker_start_ray_commands"])


@each(PERMISSIONS)
def test_a_policy_names_actions_one_by_one_and_one_prefix_of_one_bucket(path: Path) -> None:
    for statement in statements(path):
        assert statement["Effect"] == "Allow"
        assert faults_of(statement) == [], statement["Sid"]


def test_bucket_and_prefix_are_those_of_the_nodes() -> None:
    objects = allowing("s3:GetObject")
    assert [as_list(statement["Resource"]) for statement in objects] == [["arn:aws:s3:::my-bucket/atlas/*"]]
    assert "-e S2S_BUCKET=my-bucket/atlas" in CLUSTER["docker"]["run_options"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param({"Action": "s3:*"}, "allows s3:*", id="every action"),
        pytest.param({"Resource": "*"}, "on everything", id="every bucket"),
        pytest.param({"Resource": "arn:aws:s3:::my-bucket/*"}, "not the atlas", id="every prefix"),
        pytest.param({"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::my-bucket"}, "lists beyond", id="no condition"),
    ],
)
def test_a_wider_statement_would_be_found(change: dict[str, str], fault: str) -> None:
    statement = {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::my-bucket/atlas/*", **change}
    assert fault in " ".join(faults_of(statement))


def test_the_head_launches_and_ends_only_nodes_of_this_cluster() -> None:
    name = CLUSTER["cluster_name"]
    launch = next(statement for statement in allowing("ec2:RunInstances") if "instance/" in as_list(statement["Resource"])[0])
    only = launch["Condition"]["StringEquals"]
    assert only["aws:RequestTag/ray-cluster-name"] == name
    assert only["ec2:MetadataHttpTokens"] == "required"
    assert set(only["ec2:InstanceType"]) == {pool["node_config"]["InstanceType"] for kind, pool in TYPES.items() if kind != "head"}
    assert launch["Condition"]["ArnEquals"] == {"ec2:InstanceProfile": TYPES["cpu"]["node_config"]["IamInstanceProfile"]["Arn"]}
    (end,) = allowing("ec2:TerminateInstances")
    assert end["Condition"]["StringEquals"] == {"aws:ResourceTag/ray-cluster-name": name}


def test_the_head_hands_out_the_workers_role_and_no_other() -> None:
    (handed,) = allowing("iam:PassRole")
    assert handed["Resource"] == "arn:aws:iam::123456789012:role/s2s-atlas-worker"
    assert handed["Condition"] == {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    assert [action for statement in every_statement() for action in as_list(statement["Action"]) if action.startswith("iam:")] == [
        "iam:PassRole"
    ]


@pytest.mark.parametrize(
    ("stem", "service"), [pytest.param("trust_ec2", "ec2", id="instances"), pytest.param("trust_pods", "pods.eks", id="pods")]
)
def test_a_role_is_lent_to_one_service(stem: str, service: str) -> None:
    (statement,) = statements(ROOT / "infra" / "aws" / "iam" / f"{stem}.json")
    assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}


# --- infra/README.md


def shell_blocks() -> list[str]:
    return re.findall(r"```bash\n(.*?)```", (ROOT / "infra" / "README.md").read_text(), re.DOTALL)


def test_every_command_of_the_readme_is_one_that_a_shell_understands() -> None:
    blocks = shell_blocks()
    assert len(blocks) > 10
    for block in blocks:
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stderr}\n{block}"


def test_the_line_that_fills_in_leaves_no_placeholder(tmp_path: Path) -> None:
    for name in ("ray_cluster.yaml", "infra/aws/iam", "infra/kubernetes"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    (fill,) = (block for block in shell_blocks() if block.startswith("sed -i"))
    digest = "sha256:" + "c" * 64
    names = {
        "ACCOUNT": "210987654321",
        "REGION": "eu-west-1",
        "BUCKET": "ours",
        "AMI": "ami-0a",
        "SG": "sg-0b",
        "CPU_DIGEST": digest,
        "GPU_DIGEST": digest,
    }
    subprocess.run(["bash", "-ec", fill], cwd=tmp_path, env={"PATH": "/usr/bin:/bin", **names}, check=True)
    for path in (item for item in tmp_path.rglob("*") if item.suffix in (".yaml", ".json")):
        said = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
        assert not re.search(r"123456789012|us-east-1|my-bucket|0{17}", said), path.name
    filled = yaml.safe_load((tmp_path / "ray_cluster.yaml").read_text())
    assert filled["docker"]["head_image"] == f"210987654321.dkr.ecr.eu-west-1.amazonaws.com/s2s-atlas-cpu@{digest}"
    assert "-e S2S_BUCKET=ours/atlas" in filled["docker"]["run_options"]
    assert json.loads((tmp_path / "infra/aws/iam/data.json").read_text())["Statement"][1]["Resource"] == "arn:aws:s3:::ours/atlas/*"
