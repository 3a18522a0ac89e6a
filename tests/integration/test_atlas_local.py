"""An atlas with `--local`: a defect costs the run that met it and no other, Ctrl-C is written down, and the same command goes on."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from s2s.contracts.atlas import AtlasStatus
from s2s.contracts.settings import Settings
from s2s.recipes.atlas.status import find_plan, survey_atlas
from s2s.recipes.run import ledger_of

SECTIONS = [
    {"kind": "layers", "id": f"synthetic-{name}", "tissue": "cortex", "height": 32, "width": 32, "num_genes": 8, "seed": seed}
    for seed, name in enumerate("ab")
]
RUN = {
    "photographs": None,
    "network": {"features": 8, "blocks": 1, "layers": 2, "growth": 4, "window": 4, "heads": 2, "cascades": 2, "fill": "smooth"},
    "training": {"max_steps": 40, "batch": 4, "window": 16, "validate_every": 20, "precision": "float32"},
    "imputation": {"tile": 32, "overlap": 8},
}


@pytest.fixture
def settings(s2s_home: Path) -> Settings:
    return Settings(home=s2s_home, is_local=True)


@pytest.fixture
def atlas_job(tmp_path: Path) -> Path:
    atlas = {"kind": "atlas", "version": 1, "name": "here", "sections": SECTIONS, "preset": None, "set": RUN}
    path = tmp_path / "here.yaml"
    path.write_text(yaml.safe_dump({**atlas, "tracking": {"experiment": "here"}}), encoding="utf-8")
    return path


def test_a_defect_is_written_down_and_the_next_section_goes_on(door, atlas_job: Path, tmp_path: Path, settings: Settings) -> None:
    assert door("atlas", "plan", atlas_job, "--local").code == 0
    (metadata,) = (settings.home / "local" / "sections" / "synthetic-a").glob("*/zarr.json")
    metadata.write_bytes(b"{not JSON")  # Zarr's own error: nobody foresaw it
    said = door("atlas", "run", atlas_job, "--local", "--json", "--out", tmp_path / "out")
    first, second = AtlasStatus.model_validate_json(said.out).runs
    assert (first.section_id, first.state, first.cause, first.num_failures) == ("synthetic-a", "waiting", "defect", 1)
    assert "JSONDecodeError" in first.message
    assert f"run of synthetic-a: {first.message} (defect)" in said.err
    assert (second.section_id, second.state) == ("synthetic-b", "done")


def test_ctrl_c_is_written_down_and_the_same_command_goes_on(start, door, atlas_job: Path, tmp_path: Path, settings: Settings) -> None:
    process = start("atlas", "run", atlas_job, "--local", "--out", tmp_path / "out")
    wait_for_lease(process, settings)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)  # on a busy machine MLflow alone takes a minute to make its database
    assert process.returncode == 130, err
    assert "the same command goes on from what is kept" in err
    first, second = survey_atlas(find_plan("here", settings), settings).runs
    assert (first.state, first.cause, first.num_failures) == ("waiting", "stopped", 0)
    assert (second.state, second.cause) == ("waiting", None)
    said = door("atlas", "run", atlas_job, "--local", "--json", "--out", tmp_path / "out")
    assert AtlasStatus.model_validate_json(said.out).count("done") == 2


def wait_for_lease(process: "subprocess.Popen[str]", settings: Settings) -> None:
    deadline = time.monotonic() + 120
    while not ledger_of(settings).survey().leases:
        assert process.poll() is None, "the launch ended before anyone disturbed it"
        assert time.monotonic() < deadline, "nothing was begun in two minutes"
        time.sleep(0.05)
