"""One section, end to end, on the real local stack: from a file on S3 to a registered model and an imputed AnnData.

Training is done once, by two commands in processes of their own, as a user says them; the tests look at what it left.
"""

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import anndata
import jsonschema
import numpy as np
import pandas as pd
import pytest
import torch

from s2s import __version__
from s2s.contracts.release import Release
from s2s.contracts.run import RunConfig, RunReport
from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import load_settings
from s2s.recipes.recording import flatten
from s2s.recipes.release import build_network, impute_planes
from s2s.stack.env_file import read_env_file
from s2s.storage.location import open_store
from s2s.storage.objects import list_names, read_bytes
from s2s.storage.sections import open_section
from s2s.tracking.releases import load_release
from s2s.tracking.server import Server, connect
from s2s.tracking.thinning import MAX_POINTS

MODEL = "s2s-synthetic-glands"
CHAMPION = f"models:/{MODEL}@champion"
SCHEMA = Path(__file__).parents[2] / "schemas" / "run_report.v1.json"
FILES = {"section.png", "curves.png", "methods.png", "genes.parquet", "scores.md"}
RELOAD = """
import sys, numpy as np, mlflow.pyfunc, torch
torch.set_num_threads(1)
model = mlflow.pyfunc.load_model(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2])))
(given,), (made,) = model.metadata.signature.inputs, model.metadata.signature.outputs
print(given.name, given.shape, given.type, made.name, made.shape, made.type)
"""
SCANPY = """
import sys, scanpy as sc
data = sc.read_h5ad(sys.argv[1])
data = data[data.obs["in_tissue"]].copy()
sc.pp.pca(data, n_comps=3)
sc.pp.neighbors(data, n_neighbors=5)
print(data.n_obs, data.obsm["X_pca"].shape[1], data.obsm["spatial"].shape[1])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What one training said and left in its folder."""

    words: tuple[object, ...]
    out: Path
    report: RunReport
    printed: str
    progress: str


@pytest.fixture(scope="module")
def trained(stack_folder: Path, start, tiny: str, small_section: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    job = folder / "job.yaml"
    job.write_text(tiny, encoding="utf-8")
    words = ("train", job, "--set", "photographs=bundled", "--out", folder / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_HOME", str(stack_folder))
        for command in (small_section, words):
            process = start(*command)
            printed, progress = process.communicate(timeout=300)
            assert process.returncode == 0, progress
    report = RunReport.model_validate_json((folder / "out" / "report.json").read_bytes())
    return Trained(words=words, out=folder / "out", report=report, printed=printed, progress=progress)


@pytest.fixture
def server(stack: Path) -> Server:
    return connect(load_settings())


def fresh_python(code: str, *arguments: object, home: Path) -> str:
    """Run a script that knows of this project only what `s2s stack env` says."""
    env = {**os.environ, **read_env_file(home / "stack.env"), "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_the_report_keeps_the_contract_and_says_what_was_done(trained: Trained) -> None:
    report = trained.report
    jsonschema.validate(json.loads((trained.out / "report.json").read_bytes()), json.loads(SCHEMA.read_bytes()))
    assert (report.steps, report.device, report.is_leaky, report.code_version) == (120, "cpu float32", False, __version__)
    assert report.best_step in range(20, 121, 20)
    assert report.section_uri == "s3://atlas/sections/synthetic-glands"
    assert (report.model_name, report.model_version) == (MODEL, "1")
    assert report.config == RunConfig.model_validate(report.config.model_dump())
    assert [row.method for row in report.scores][:3] == ["CDCIN (custom)", "zero", "median"]
    assert report.scores[0].mae < report.scores[1].mae


def test_the_command_prints_the_table_and_where_things_are(trained: Trained) -> None:
    for text in ("120 steps", "gaussian_cv", f"{MODEL} version 1", f"/#/runs/{trained.report.mlflow_run_id}", str(trained.out)):
        assert text in trained.printed
    assert "train ..." in trained.progress
    assert "Traceback" not in trained.progress


def test_its_folder_holds_figures_and_tables(trained: Trained, stack: Path) -> None:
    assert {path.name for path in trained.out.iterdir()} == {*FILES, "report.json"}
    assert set(trained.report.artifacts) == FILES
    settings = load_settings()
    for name, uri in trained.report.artifacts.items():
        data = read_bytes(uri, settings)
        assert data == (trained.out / name).read_bytes()
        assert data.startswith({"png": b"\x89PNG", "parquet": b"PAR1", "md": b"| method"}[name.rpartition(".")[2]])
    in_atlas = list_names(trained.report.folder, settings)
    assert trained.report.folder.startswith(f"s3://atlas/runs/{trained.report.run_key}/attempt-000001-")
    assert set(in_atlas) == {*FILES, "report.json", "release.json", "weights.safetensors", "checkpoint"}


def test_the_mlflow_run_holds_everything(trained: Trained, server: Server) -> None:
    report, run = trained.report, server.client.get_run(trained.report.mlflow_run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == flatten(report.config.model_dump(mode="json"))
    tags = {
        "tissue": "glands", "organism": "synthetic", "technology": "synthetic", "section": "synthetic-glands", "mode": "strict",
        "is_leaky": "false", "is_synthetic": "true", "seed": "0", "data_sha256": report.data_sha256, "run_key": report.run_key,
        "code_version": __version__, "mlflow.runName": "tiny",
    }  # fmt: skip
    assert tags.items() <= run.data.tags.items()
    own, best = report.scores[0], max(report.scores[1:], key=lambda row: row.pcc)
    for name in ("pcc", "mae", "rmse", "ssim"):
        assert run.data.metrics[f"test/{name}"] == getattr(own, name)
        assert run.data.metrics[f"best_classical/{name}"] == getattr(best, name)


def test_its_curves_are_thinned_and_the_machine_is_watched(trained: Trained, server: Server) -> None:
    run = server.client.get_run(trained.report.mlflow_run_id)
    curves = {name: server.client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    assert {"train/loss", "train/gradient_norm", "validation/error", "system/cpu_percent", "system/memory_mb"} <= set(curves)
    steps = [point.step for point in curves["train/loss"]]
    assert 40 < len(steps) <= MAX_POINTS < trained.report.steps
    assert (min(steps), max(steps)) == (1, 120)
    assert sorted(point.step for point in curves["validation/error"]) == list(range(20, 121, 20))
    assert max(point.value for point in curves["system/memory_mb"]) > 100


def test_its_artifacts_are_those_of_the_folder(trained: Trained, server: Server) -> None:
    client, run_id = server.client, trained.report.mlflow_run_id
    assert {item.path for item in client.list_artifacts(run_id)} == {*FILES, "config.json"}
    settings, root = load_settings(), client.get_run(run_id).info.artifact_uri.removeprefix("mlflow-artifacts:")
    in_s3 = f"s3://atlas/mlflow{root}"
    assert RunConfig.model_validate_json(read_bytes(f"{in_s3}/config.json", settings)) == trained.report.config
    genes = pd.read_parquet(io.BytesIO(read_bytes(f"{in_s3}/genes.parquet", settings)))
    own = genes[genes["method"] == "CDCIN (custom)"]
    assert len(own) == trained.report.scores[0].num_genes
    assert own["pcc"].mean() == pytest.approx(trained.report.scores[0].pcc)


def test_the_model_is_registered_with_tags_aliases_and_no_pickle(trained: Trained, server: Server) -> None:
    version = server.client.get_model_version(MODEL, "1")
    assert (version.run_id, "champion" in version.aliases) == (trained.report.mlflow_run_id, True)
    tags = {
        "tissue": "glands", "organism": "synthetic", "section_id": "synthetic-glands", "pitch_um": "25", "is_synthetic": "true",
        "run_key": trained.report.run_key, "data_sha256": trained.report.data_sha256, "gate": "first",
        "pcc": f"{trained.report.scores[0].pcc:.6g}",
    }  # fmt: skip
    assert tags.items() <= version.tags.items()
    (output,) = server.client.get_run(trained.report.mlflow_run_id).outputs.model_outputs
    location = server.client.get_logged_model(output.model_id).artifact_location
    files = object_names(f"s3://atlas/mlflow{location.removeprefix('mlflow-artifacts:')}")
    assert {"MLmodel", "served_model.py", "weights.safetensors", "release.json"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pt", ".pth", ".joblib"))]


def object_names(uri: str) -> set[str]:
    """The last parts of the names of all objects below a prefix."""
    settings, found = load_settings(), set()
    for name in list_names(uri, settings):
        found |= object_names(f"{uri}/{name}") or {name}
    return found


def test_a_fresh_process_predicts_the_same_values(trained: Trained, stack: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    planes = rng.uniform(0, 6, (3, 2, 20, 26)).astype(np.float32)
    planes[:, 1] = rng.random((20, 26)) < 0.9
    planes[:, 0][~(np.add.outer(np.arange(20) % 2, np.arange(26) % 2) == 0)[None].repeat(3, 0)] = np.nan
    np.save(tmp_path / "in.npy", planes)
    said = fresh_python(RELOAD, CHAMPION, tmp_path / "in.npy", tmp_path / "out.npy", home=stack)
    assert said == "input (-1, 2, -1, -1) float32 output (-1, 1, -1, -1) float32"

    release, weights = load_release(CHAMPION, load_settings())
    assert isinstance(release, Release)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = impute_planes(build_network(release, weights), release, planes)
    torch.set_num_threads(threads)
    made = np.load(tmp_path / "out.npy")
    np.testing.assert_array_equal(made, expected)
    measured = ~np.isnan(planes[:, 0]) & (planes[:, 1] > 0)
    np.testing.assert_array_equal(made[:, 0][measured], planes[:, 0][measured])
    assert np.isfinite(made).all()
    assert made.std() > 0


@pytest.fixture(scope="module")
def imputed(trained: Trained, stack_folder: Path, start) -> Path:
    """An h5ad of every gene, written by a command of its own."""
    path = trained.out.parent / "imputed.h5ad"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_HOME", str(stack_folder))
        process = start("impute", "--model", CHAMPION, "--section", "synthetic-glands", "--phase", "1,0", "--out", path)
        printed, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "2304 bins" in printed
    return path


def test_measured_values_are_the_sections_own(imputed: Path, stack: Path) -> None:
    data = anndata.read_h5ad(imputed)
    section = open_section("s3://atlas/sections/synthetic-glands", load_settings())
    counts, tissue = section.read().astype(float), section.masks().tissue
    rows, columns = np.indices(tissue.shape)
    sampled = tissue & (rows % 2 == 1) & (columns % 2 == 0)
    totals = counts.sum(axis=0)
    expected = np.log1p(counts / np.maximum(totals, 1) * np.median(totals[sampled]))

    assert data.shape == (48 * 48, 12)
    assert tuple(data.var_names) == section.genes
    np.testing.assert_array_equal(data.obs["in_tissue"], tissue.ravel())
    np.testing.assert_array_equal(data.obs["is_measured"], sampled.ravel())
    np.testing.assert_array_equal(data.obs["array_row"], rows.ravel())
    np.testing.assert_array_equal(data.obsm["spatial"][49], [37.5, 37.5])
    made = data.layers["imputed"]
    np.testing.assert_allclose(made[sampled.ravel()], expected[:, sampled].T, rtol=1e-5)
    np.testing.assert_array_equal(data.layers["observed"].toarray()[sampled.ravel()], made[sampled.ravel()])
    assert data.layers["observed"][~sampled.ravel()].nnz == 0
    to_fill = (tissue & ~sampled).ravel()
    assert np.isfinite(made).all()
    assert (made[to_fill] >= 0).all()
    assert np.unique(made[to_fill]).size > 1000
    assert not made[~tissue.ravel()].any()


def test_provenance_names_model_section_and_code(imputed: Path, trained: Trained) -> None:
    data = anndata.read_h5ad(imputed)
    about = data.uns["s2s"]
    assert (about["model"], about["code_version"], about["release"]["run_key"]) == (CHAMPION, __version__, trained.report.run_key)
    assert about["section"]["data_sha256"] == trained.report.data_sha256
    assert bool(about["release"]["is_synthetic"])
    assert "not measurements" in about["statement"]
    assert data.var["reliability_pcc"].between(-1, 1).all()


def test_scanpy_opens_it_as_it_is(imputed: Path, stack: Path) -> None:
    num_tissue = int(anndata.read_h5ad(imputed).obs["in_tissue"].sum())
    assert fresh_python(SCANPY, imputed, home=stack) == f"{num_tissue} 3 2"


def test_the_same_imputation_goes_to_zarr_on_s3(imputed: Path, stack: Path, door) -> None:
    uri = "s3://atlas/imputed/glands.zarr"
    command = ("impute", "--model", CHAMPION, "--section", "synthetic-glands", "--phase", "1,0", "--out", uri)
    said = door(*command, "--json")
    assert said.code == 0, said.err
    with_h5ad, with_zarr = anndata.read_h5ad(imputed), anndata.read_zarr(open_store(uri, load_settings(), read_only=True))
    measured, tissue = int(with_h5ad.obs["is_measured"].sum()), int(with_h5ad.obs["in_tissue"].sum())
    assert json.loads(said.out) == {"out": uri, "bins": 48 * 48, "measured": measured, "imputed": tissue - measured, "genes": 12}
    np.testing.assert_allclose(with_zarr.layers["imputed"], with_h5ad.layers["imputed"], atol=1e-6)
    pd.testing.assert_frame_equal(with_zarr.obs, with_h5ad.obs)
    refused = door(*command)
    assert (refused.code, refused.out) == (2, "")
    assert "--replace" in refused.err


def test_models_are_listed_for_machines(trained: Trained, stack: Path, door) -> None:
    said = door("models", MODEL, "--json")
    (model,) = json.loads(said.out)
    first = model["versions"][-1]
    assert (model["name"], model["tissue"], first["version"], first["section_id"]) == (MODEL, "glands", 1, "synthetic-glands")
    assert "champion" in first["aliases"]
    assert first["pcc"] == pytest.approx(trained.report.scores[0].pcc, rel=1e-5)
    assert first["best_classical_pcc"] == pytest.approx(max(row.pcc for row in trained.report.scores[1:]), rel=1e-5)


def test_doctor_finds_a_healthy_stack(trained: Trained, stack: Path, door) -> None:
    said = door("doctor", "--json")
    states = {check["name"]: check["state"] for check in json.loads(said.out)}
    assert said.code == 0
    assert {states[name] for name in ("python", "packages", "home", "S3", "MLflow", "Ray", "spool")} == {"ok"}


def test_the_same_command_gives_the_same_report_at_once_and_again_trains_anew(trained: Trained, server: Server, ray_door) -> None:
    client, report = server.client, trained.report
    experiment = client.get_experiment_by_name("end to end").experiment_id

    def num_runs() -> int:
        return len(client.search_runs([experiment], f"tags.run_key = '{report.run_key}'"))

    before = num_runs()
    said = ray_door(*trained.words, "--json")
    assert said.code == 0, said.err
    assert RunReport.model_validate_json(said.out) == report
    assert num_runs() == before

    said = ray_door(*trained.words, "--json", "--again")
    assert said.code == 0, said.err
    anew = RunReport.model_validate_json(said.out)
    assert num_runs() == before + 1
    assert anew.mlflow_run_id != report.mlflow_run_id
    assert (anew.run_key, anew.best_step, anew.validation_error) == (report.run_key, report.best_step, report.validation_error)
    assert (
        load_release(f"models:/{MODEL}/{anew.model_version}", load_settings())[1] == load_release(f"models:/{MODEL}/1", load_settings())[1]
    )
    versions = {alias: str(version) for alias, version in client.get_registered_model(MODEL).aliases.items()}
    assert versions == {"champion": "1", "challenger": anew.model_version}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param("resources.cpus=4096", ["CPU 4096 of", "--set resources.cpus="], id="more cores than the cluster has"),
        pytest.param("resources.memory_gb=100000", ["memory 1e+14 of"], id="more memory than the cluster has"),
        pytest.param("section=liver", ["s3://atlas/sections/liver"], id="no such section"),
        pytest.param("photographs=holiday", ["s3://atlas/photographs/holiday"], id="a mistake that the worker finds"),
    ],
)
def test_a_bad_run_on_ray_is_one_message(trained: Trained, stack: Path, ray_door, job: Path, change: str, words: list[str]) -> None:
    runs = list_names("s3://atlas/runs", load_settings())
    said = ray_door("train", job, "--set", change)
    assert (said.code, said.out) == (2, "")
    assert said.err.count("error: ") == 1
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err
    assert list_names("s3://atlas/runs", load_settings()) == runs


def test_the_stored_section_is_labelled_synthetic(trained: Trained, stack: Path) -> None:
    meta = open_section("s3://atlas/sections/synthetic-glands", load_settings()).meta
    assert isinstance(meta, SectionMeta)
    assert (meta.is_synthetic, meta.data_sha256) == (True, trained.report.data_sha256)
