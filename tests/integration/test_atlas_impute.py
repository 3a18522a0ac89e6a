"""An atlas imputed on a real stack: like single imputations, done once, gone on with after a kill, its holes explained."""

import os
import shutil
import signal
import time
from pathlib import Path

import anndata
import numpy as np
import pytest
import yaml
import zarr

from s2s.contracts.atlas import AtlasManifest, SectionImputation
from s2s.contracts.loading import atlas_run_config
from s2s.contracts.settings import Settings, load_settings
from s2s.recipes.atlas.status import find_plan
from s2s.recipes.imputing import ImputationRequest
from s2s.recipes.release_folder import read_release
from s2s.recipes.run import ledger_of, silent
from s2s.recipes.tiled.section import Destination, TiledRequest, impute_tiled
from s2s.storage.location import join
from s2s.storage.objects import list_below, list_names, read_bytes, write_bytes
from s2s.storage.sections import open_section

RUN = {
    "photographs": None,
    "network": {"features": 8, "blocks": 1, "layers": 2, "growth": 4, "window": 4, "heads": 2, "cascades": 2, "fill": "smooth"},
    "training": {"max_steps": 40, "batch": 4, "window": 16, "validate_every": 20, "precision": "float32"},
    "imputation": {"tile": 32, "overlap": 8},
}
SMALL = {"kind": "layers", "id": "synthetic-filled-a", "tissue": "filled cortex", "height": 32, "width": 32, "num_genes": 8, "seed": 1}
TALL = {**SMALL, "id": "synthetic-filled-tall", "height": 760, "width": 24, "num_genes": 6, "seed": 2}
OTHER = {**SMALL, "kind": "glands", "id": "synthetic-filled-b", "tissue": "filled breast", "seed": 3}


def write_job(folder: Path, name: str, *sections: dict) -> Path:
    atlas = {"kind": "atlas", "version": 1, "name": name, "sections": list(sections), "preset": None, "set": RUN, "releases": None}
    atlas |= {"resources": {"cpus": 1, "memory_gb": 0.5}, "tracking": {"experiment": name}, "fleet": {"lease_s": 5}}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(atlas), encoding="utf-8")
    return path


def by_section(out: str) -> dict[str, SectionImputation]:
    return {section.section_id: section for section in AtlasManifest.model_validate_json(out).sections}


def opened(uri: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> anndata.AnnData:
    """As the command says at its end: with keys from the environment."""
    assert settings.aws_access_key_id is not None
    assert settings.aws_secret_access_key is not None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", settings.aws_access_key_id.get_secret_value())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", settings.aws_secret_access_key.get_secret_value())
    try:
        return anndata.read_zarr(zarr.open_group(uri, mode="r", storage_options={"endpoint_url": settings.s3_endpoint}))
    finally:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


def assert_same(some: anndata.AnnData, other: anndata.AnnData) -> None:
    assert some.layers.keys() == other.layers.keys()
    for name in some.layers.keys() - {"observed"}:
        np.testing.assert_array_equal(some.layers[name], other.layers[name], err_msg=name)
    np.testing.assert_array_equal(some.X, some.layers["imputed"])
    assert (some.layers["observed"] != other.layers["observed"]).nnz == 0
    assert some.var.equals(other.var)
    assert some.obs.equals(other.obs)


def test_an_atlas_is_imputed_once_with_own_models_then_with_champions(ray_door, tmp_path, monkeypatch) -> None:
    job, settings = write_job(tmp_path, "filled", SMALL, OTHER), load_settings()
    assert ray_door("atlas", "run", job, "--out", tmp_path / "out").code == 0
    said = ray_door("atlas", "impute", "filled", "--with", "own")
    assert said.code == 0, said.err
    assert "filled, imputed with own: 2 done" in said.out
    assert "manifest: s3://atlas/atlases/filled/imputed.json" in said.out
    assert "anndata.read_zarr(zarr.open_group(" in said.out
    own = by_section(ray_door("atlas", "impute", job, "--with", "own", "--json").out)
    assert own == by_section(read_bytes(join(settings.root, "atlases", "filled", "imputed.json"), settings).decode())
    first = own["synthetic-filled-a"]
    assert first.uri is not None
    assert len(list_names(join(settings.root, "imputed", str(first.key)), settings)) == 1, "the second launch did nothing anew"
    assert (first.num_bins, first.num_genes) == (32 * 32, 8)

    # The same by `s2s impute`, with the release of the training run in a folder.
    model = tmp_path / "model"
    model.mkdir()
    for name in ("release.json", "weights.safetensors"):
        (model / name).write_bytes(read_bytes(join(str(first.model), name), settings))
    alone = ray_door("impute", "--model", model, "--section", "synthetic-filled-a", "--out", tmp_path / "alone.h5ad")
    assert alone.code == 0, alone.err
    assert_same(opened(first.uri, settings, monkeypatch), anndata.read_h5ad(tmp_path / "alone.h5ad"))

    # A champion of one tissue: the section of the other is a hole, and no failure.
    run = {"kind": "run", "version": 1, "name": "champion", "section": "synthetic-filled-a", "seed": 7, **RUN}
    (tmp_path / "champion.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")
    assert ray_door("train", tmp_path / "champion.yaml", "--out", tmp_path / "trained").code == 0
    said = ray_door("atlas", "impute", "filled", "--json")
    assert said.code == 0, said.err
    filled = by_section(said.out)
    assert filled["synthetic-filled-a"].state == "done"
    assert filled["synthetic-filled-a"].model == "models:/s2s-synthetic-filled-cortex/1"
    assert filled["synthetic-filled-a"].weights_sha256 != first.weights_sha256
    assert filled["synthetic-filled-b"].state == "missing"
    assert "there is no 's2s-synthetic-filled-breast'" in filled["synthetic-filled-b"].reason
    data = opened(str(filled["synthetic-filled-a"].uri), settings, monkeypatch)
    assert data.uns["s2s"]["model"] == "models:/s2s-synthetic-filled-cortex/1"
    status = ray_door("atlas", "status", "filled", "--out", tmp_path / "out")
    assert "imputed: 1 done, 1 missing" in status.out
    assert "not imputed: expected a registered model" in (tmp_path / "out" / "map.html").read_text()


def wait_for_band(key: str, settings: Settings) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for attempt in list_names(join(settings.root, "imputed", key), settings):
            if list_names(join(settings.root, "imputed", key, attempt, "bands"), settings):
                return
        time.sleep(0.02)
    raise AssertionError("no band was finished in two minutes")


def test_a_killed_worker_is_replaced_and_the_bits_are_those_of_a_quiet_imputation(ray_door, start, tmp_path, monkeypatch) -> None:
    job, settings = write_job(tmp_path, "tall", TALL), load_settings()
    assert ray_door("atlas", "run", job, "--out", tmp_path / "out").code == 0
    launched = start("atlas", "impute", "tall", "--with", "own", "--json")
    deadline = time.monotonic() + 60
    while "imputed.json" not in list_names(join(settings.root, "atlases", "tall"), settings):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    manifest = AtlasManifest.model_validate_json(read_bytes(join(settings.root, "atlases", "tall", "imputed.json"), settings))
    key = str(manifest.sections[0].key)
    wait_for_band(key, settings)
    lease = ledger_of(settings).last_lease(key)
    assert lease is not None
    os.kill(int(lease.holder.rpartition(":")[2]), signal.SIGKILL)
    out, err = launched.communicate(timeout=100)
    assert launched.returncode == 0, err
    section = by_section(out)["synthetic-filled-tall"]
    commit = ledger_of(settings).find_commit(key)
    assert commit is not None
    assert commit.token == 2
    assert ledger_of(settings).survey().failures[key] == [1]
    left = list_below(join(settings.root, "imputed", key), settings)
    assert {path.partition("/")[0] for path in left} == {commit.attempt}, "what the killed worker left is gone"

    run = find_plan("tall", settings).runs[0]
    config = atlas_run_config(find_plan("tall", settings).config, run.section, 0)
    release, weights = read_release(str(section.model), settings)
    request = ImputationRequest(
        model="quiet", section=run.section, sampling=config.sampling, genes=config.genes, imputation=config.imputation
    )
    quiet = TiledRequest(request=request, section=open_section(run.section, settings), release=release, weights=weights)
    impute_tiled(quiet, Destination(folder=str(tmp_path / "quiet"), predecessors=(), settings=settings, on_progress=silent))
    assert_same(opened(str(section.uri), settings, monkeypatch), anndata.read_zarr(tmp_path / "quiet" / "section.zarr"))


def test_a_damaged_release_is_a_failure_that_can_be_mended(door, tmp_path, s2s_home) -> None:
    job = write_job(tmp_path, "mended", SMALL)
    assert door("atlas", "run", job, "--local", "--out", tmp_path / "out").code == 0
    settings = load_settings(is_local=True)
    run = find_plan("mended", settings).runs[0]
    commit = ledger_of(settings).find_commit(run.key)
    assert commit is not None
    weights = join(settings.root, "runs", run.key, commit.attempt, "weights.safetensors")
    whole = read_bytes(weights, settings)
    write_bytes(weights, whole[:-1] + bytes([whole[-1] ^ 1]), settings)
    said = door("atlas", "impute", "mended", "--with", "own", "--local")
    assert said.code == 1
    assert "1 failed" in said.out
    assert "damaged or exchanged" in " ".join(said.out.split())
    assert "Traceback" not in said.err
    write_bytes(weights, whole, settings)
    assert "now: s2s atlas impute mended" in door("atlas", "retry", "mended", "--local").out
    said = door("atlas", "impute", "mended", "--with", "own", "--local")
    assert said.code == 0, said.err
    assert "anndata.read_zarr(" in said.out
    shutil.rmtree(Path(settings.root) / "runs")
    assert door("atlas", "impute", "mended", "--with", "own", "--local", "--json").code == 0, "what is left out of a manifest is said in it"


def test_a_section_without_a_training_run_is_a_hole(door, tmp_path) -> None:
    job = write_job(tmp_path, "untrained", SMALL, {**OTHER, "num_genes": 9})
    assert door("atlas", "run", job, "--local", "--out", tmp_path / "out", "--set", "set.genes.names=[layers-0]").code == 1
    said = door("atlas", "impute", "untrained", "--with", "own", "--local", "--json")
    assert said.code == 0, said.err
    holes = by_section(said.out)
    assert {section.state for section in holes.values()} == {"missing"}
    assert holes["synthetic-filled-a"].reason == "its training run is not done; `s2s atlas run` does it"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(("nowhere",), "there is no 'nowhere'", id="never-run"),
        pytest.param(("nowhere.yaml",), "expected a YAML file, found none", id="no-file"),
        pytest.param(("nowhere", "--with", "best"), "expected --with to be one of champion, own, got best", id="another-choice"),
    ],
)
def test_a_mistake_gets_one_message(door, words, message) -> None:
    outcome = door("atlas", "impute", *words, "--local")
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
