"""Tissue releases on a real registry: judged on unseen sections, once; beside the champion so far; when the registry is gone."""

from pathlib import Path

import pytest
import yaml

from s2s.contracts.atlas import AtlasStatus, TissueRelease
from s2s.contracts.settings import Settings, load_settings
from s2s.recipes.atlas.status import find_plan, survey_atlas
from s2s.recipes.run import ledger_of
from s2s.tracking.releases import load_release
from s2s.tracking.server import connect

NETWORK = {"features": 8, "blocks": 1, "layers": 2, "growth": 4, "window": 4, "heads": 2, "cascades": 2, "fill": "smooth"}
TRAINING = {"max_steps": 20, "batch": 4, "window": 16, "validate_every": 20, "precision": "float32"}
RUN = {"photographs": None, "network": NETWORK, "training": TRAINING, "imputation": {"tile": 32, "overlap": 8}}
SECTIONS = [
    {"kind": "layers", "id": f"synthetic-released-{name}", "tissue": tissue, "height": 32, "width": 32, "num_genes": 8, "seed": 40 + seed}
    for seed, (name, tissue) in enumerate([("a", "fovea"), ("b", "fovea"), ("c", "fovea"), ("d", "macula")])
]
MODEL = "s2s-synthetic-fovea"


def write_job(folder: Path, name: str, **changes: object) -> Path:
    atlas = {"kind": "atlas", "version": 1, "name": name, "sections": SECTIONS, "preset": None, "set": RUN}
    atlas |= {"resources": {"cpus": 1, "memory_gb": 0.5}, "tracking": {"experiment": name}, **changes}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(atlas), encoding="utf-8")
    return path


def releases(name: str, settings: Settings) -> dict[str, TissueRelease]:
    return {release.model: release for release in survey_atlas(find_plan(name, settings), settings).releases}


def versions(settings: Settings, model: str) -> dict[str, list[str]]:
    """Version -> aliases."""
    client = connect(settings).client
    aliases = client.get_registered_model(model).aliases
    found = {str(item.version): [] for item in client.search_model_versions(f"name = '{model}'")}
    for alias, version in sorted(aliases.items()):
        found[str(version)].append(alias)
    return found


def test_every_tissue_is_released_once_by_its_best_run_on_sections_it_has_not_seen(ray_door, tmp_path: Path) -> None:
    job, settings = write_job(tmp_path, "tissues"), load_settings()
    before = ledger_of(settings).survey().commits
    first = ray_door("atlas", "run", job, "--out", tmp_path / "out")
    assert first.code == 0, first.err
    assert f"{MODEL} version 1 @champion" in first.out
    found = releases("tissues", settings)
    assert set(found) == {MODEL, "s2s-synthetic-macula"}
    fovea, macula = found[MODEL], found["s2s-synthetic-macula"]
    assert (fovea.trial.basis, fovea.trial.num_candidates, fovea.trial.num_runs) == ("other sections", 3, 3)
    others = {f"synthetic-released-{name}" for name in "abc"} - {fovea.section_id}
    assert {score.section_id for score in fovea.trial.scores} == others
    assert (macula.trial.basis, macula.section_id) == ("own section", "synthetic-released-d")

    # What was chosen is what is registered, and its card is the description of the version.
    release, _ = load_release(f"models:/{MODEL}@champion", settings)
    assert (release.trial, release.weights_sha256, release.run_key) == (fovea.trial, fovea.weights_sha256, fovea.run_key)
    description = connect(settings).client.get_model_version(MODEL, "1").description
    assert description.startswith(f"# {MODEL}")
    assert f"{fovea.trial.gain:+.4f} above the best classical" in description
    assert ray_door("models", "card", MODEL).out == description

    # Four runs; three candidates with two judges each; nothing more when the atlas is run again.
    done = ledger_of(settings).survey().commits
    assert len(done - before) == 4 + 6
    again = ray_door("atlas", "run", job, "--out", tmp_path / "out", "--json")
    assert again.code == 0, again.err
    assert {item.model: item for item in AtlasStatus.model_validate_json(again.out).releases} == found
    assert ledger_of(settings).survey().commits == done
    assert versions(settings, MODEL) == {"1": ["challenger", "champion"]}


def test_a_release_takes_the_place_of_a_champion_only_where_it_is_better_on_sections_new_to_both(ray_door, tmp_path: Path) -> None:
    settings, model = load_settings(), "s2s-synthetic-papilla"
    sections = [{**section, "id": f"{section['id']}-papilla", "tissue": "papilla"} for section in SECTIONS[:3]]
    assert ray_door("atlas", "run", write_job(tmp_path, "surpassed", sections=sections), "--out", tmp_path / "out").code == 0
    # The same tissue by kriging, which a network of twenty steps cannot match.
    kriged = {**RUN, "network": {**NETWORK, "fill": "krige"}, "training": {**TRAINING, "weights": {"sparser_to_sparse": 0}}}
    good = ray_door("atlas", "run", write_job(tmp_path, "surpassing", set=kriged, sections=sections), "--out", tmp_path / "out")
    assert good.code == 0, good.err
    better = releases("surpassing", settings)[model]
    assert better.is_champion
    assert "new to both" in better.gate
    assert any(score.champion_pcc is not None for score in better.trial.scores)
    assert versions(settings, model) == {"1": ["previous"], "2": ["challenger", "champion"]}

    # What a person decides stays, however often the atlas is run again.
    assert ray_door("models", "rollback", model).code == 0
    assert ray_door("atlas", "run", tmp_path / "surpassing.yaml", "--out", tmp_path / "out").code == 0
    assert versions(settings, model) == {"1": ["champion"], "2": ["challenger", "previous"]}


def test_without_a_registry_the_atlas_is_done_and_its_releases_wait(ray_door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, settings = write_job(tmp_path, "offline", seeds=[3]), load_settings()
    with monkeypatch.context() as patch:
        patch.setenv("S2S_MLFLOW_URI", "http://127.0.0.1:9")
        first = ray_door("atlas", "run", job, "--out", tmp_path / "out")
    assert first.code == 0, first.err
    assert "releases of atlas offline wait" in first.err
    assert "Traceback" not in first.err
    assert releases("offline", settings) == {}
    before = versions(settings, MODEL)
    assert ray_door("atlas", "run", job, "--out", tmp_path / "out").code == 0
    assert releases("offline", settings)[MODEL].model_version is not None
    assert len(versions(settings, MODEL)) == len(before) + 1
