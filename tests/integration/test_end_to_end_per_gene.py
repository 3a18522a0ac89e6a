"""`training.scheme: per_gene` from the command line: a network for each gene, imputed, scored and recorded as any run, and no model."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd

from s2s.contracts.run import RunReport
from s2s.contracts.settings import load_settings
from s2s.storage.location import join
from s2s.storage.objects import list_names

EACH = ("genes.limit=5", "training.scheme=per_gene", "tracking.register_model=false", "training.max_steps=20", "training.window=16")
EACH += ("training.batch=2", "photographs=null")


def sets(*changes: str) -> tuple[str, ...]:
    return tuple(word for change in changes for word in ("--set", change))


def test_every_gene_by_its_own_network(door, s2s_home: Path, small_section: tuple[str, ...], job: Path, tmp_path: Path) -> None:
    assert door(*small_section, "--local").code == 0
    said = door("train", job, "--local", "--json", "--out", tmp_path / "out", *sets(*EACH))
    assert said.code == 0, said.err
    report = RunReport.model_validate_json(said.out)
    genes = pd.read_parquet(io.BytesIO((tmp_path / "out" / "genes.parquet").read_bytes()))
    own = genes[genes["method"] == report.scores[0].method].set_index("gene")
    table = (tmp_path / "out" / "networks.md").read_text()
    assert len(own) == report.scores[0].num_genes == 5
    assert all(f"| {gene} " in table for gene in own.index)
    assert report.model_name is None
    assert "release.json" not in list_names(report.folder, load_settings(is_local=True))
    packs = [name for name in list_names(join(report.folder, "checkpoint"), load_settings(is_local=True)) if name.startswith("genes-")]
    assert packs == ["genes-000000-000004"]

    # A gene's scores are those of a run of that gene alone.
    gene = str(own.index[2])
    alone = ("training.scheme=shared", f"genes.names=[{json.dumps(gene)}]", "name=alone")
    said = door("train", job, "--local", "--json", "--out", tmp_path / "alone", *sets(*EACH, *alone))
    assert said.code == 0, said.err
    single = RunReport.model_validate_json(said.out)
    assert single.scores[0].num_genes == 1
    np.testing.assert_allclose(own.loc[gene, "rmse"], single.scores[0].rmse, rtol=1e-4)


def test_a_model_is_refused_before_any_work(door, small_section: tuple[str, ...], job: Path) -> None:
    assert door(*small_section, "--local").code == 0
    said = door("train", job, "--local", *sets("training.scheme=per_gene"))
    assert said.code == 2
    assert "expected tracking.register_model false with training.scheme per_gene" in said.err
