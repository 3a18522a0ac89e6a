"""A section imputed with a release from a folder: measured values kept, genes judged, and where it all came from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s2s import __version__
from s2s.contracts.run import GeneConfig, SamplingConfig
from s2s.errors import InputError, MissingError
from s2s.recipes.imputing import ImputationRequest, impute_with_release
from s2s.recipes.judging import Judgement
from s2s.recipes.release import make_release
from s2s.streaming.sections import measure


@pytest.fixture
def model(tmp_path, make_run, make_measured, make_fitted, make_imputed) -> Path:
    """A folder with a release and its weights."""
    run = make_run(expression_scale=5.0)
    release, weights = make_release(run, make_measured(run), make_fitted(run), make_imputed(), Judgement())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "release.json").write_text(release.model_dump_json())
    (folder / "weights.safetensors").write_bytes(weights)
    return folder


def test_another_section_is_imputed_with_provenance(model, make_section, settings):
    section = make_section(seed=5, origin_um=(100.0, 50.0))
    request = ImputationRequest(
        model=str(model), section=section.uri, sampling=SamplingConfig(phase=(1, 0)), genes=GeneConfig(names=("C", "A"))
    )
    imputed = impute_with_release(request, settings)
    measured = measure(section, request.sampling, request.genes)
    assert imputed.genes == ("C", "A")
    np.testing.assert_array_equal(imputed.is_measured, measured.observed)
    np.testing.assert_array_equal(imputed.imputed[:, measured.observed], measured.expression[:, measured.observed])
    assert np.isfinite(imputed.imputed).all()
    assert (np.abs(imputed.reliability) <= 1).all()
    assert imputed.is_reliable.dtype == bool
    assert imputed.std[:, measured.tissue & ~measured.observed].max() > 0
    assert sorted(imputed.intervals) == [0.5, 0.8, 0.9]
    assert (imputed.origin_um, imputed.pitch_um, imputed.lattice) == ((100.0, 50.0), 25, "square")
    said = imputed.provenance
    assert said["model"] == str(model)
    assert said["section_uri"] == section.uri
    assert said["sampling"] == {"stride": 2, "phase": [1, 0]}
    assert said["release"]["expression_scale"] == 5.0
    assert "reliability" not in said["release"], "that of another section's genes would mislead"
    assert said["code_version"] == __version__


def test_judging_genes_does_not_change_the_result_from_one_time_to_the_next(model, make_section, settings):
    request = ImputationRequest(model=str(model), section=make_section(stride=2).uri, genes=GeneConfig(min_detected=0))
    first, second = (impute_with_release(request, settings) for _ in range(2))
    np.testing.assert_array_equal(first.imputed, second.imputed)
    np.testing.assert_array_equal(first.reliability, second.reliability)
    assert first.provenance["sampling"] == {"stride": 2, "phase": [0, 0]}


def test_values_of_another_kind_are_refused(model, make_section, settings):
    request = ImputationRequest(model=str(model), section=make_section(values="log1p").uri)
    with pytest.raises(
        InputError, match=r"expected a section of counts for .*, memory://recipes/.* holds log1p; ingest it with --values counts"
    ):
        impute_with_release(request, settings)


def test_a_model_that_is_not_there_is_said(make_section, settings, tmp_path):
    request = ImputationRequest(model=str(tmp_path / "nowhere"), section=make_section().uri)
    with pytest.raises(MissingError, match="there is no folder"):
        impute_with_release(request, settings)


def test_weights_that_were_exchanged_are_refused(model, make_section, settings):
    weights = model / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    request = ImputationRequest(model=str(model), section=make_section().uri)
    with pytest.raises(InputError, match="damaged or exchanged"):
        impute_with_release(replace(request, genes=GeneConfig(min_detected=0)), settings)
