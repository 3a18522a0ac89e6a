"""One code draws: an imputation just made, the file it became, and the figure that training logs are the same picture, byte for byte."""

from dataclasses import replace

import numpy as np
import pytest

from s2s.errors import InputError, MissingError
from s2s.evaluation import plots
from s2s.evaluation.plots import section_figure
from s2s.exchange.anndata_out import ImputedSection, write_imputed
from s2s.lattice.prediction import Prediction
from s2s.recipes.delivering import deliver
from s2s.recipes.exporting import check_figure, export_figure, open_imputed
from s2s.recipes.picturing import as_measured, imputed_figure
from s2s.recipes.recording import figure_title


@pytest.fixture
def said_of(make_run, make_section, make_measured):
    """What a run saw and what its network says, and the same as the imputed section that `s2s impute` hands over."""

    def make(*, is_synthetic: bool = False):
        run = make_run(make_section(stride=2, is_synthetic=is_synthetic))
        measured, meta = make_measured(run), run.section.meta
        mean = np.where(measured.observed, measured.expression, np.float32(0.5))
        prediction = Prediction(mean=mean, std=np.where(measured.observed, np.float32(0), mean / 4))
        imputed = ImputedSection(
            genes=measured.genes, observed=measured.expression, imputed=mean, std=prediction.std, tissue=measured.tissue,
            is_measured=measured.observed, pitch_um=measured.pitch_um, origin_um=(0, 0), lattice="square", reliability=np.zeros(3),
            provenance={"section": meta.model_dump(mode="json"), "sampling": {"stride": measured.stride, "phase": list(measured.phase)}},
        )  # fmt: skip
        return run, measured, prediction, imputed

    return make


@pytest.mark.parametrize("is_synthetic", [pytest.param(True, id="synthetic"), pytest.param(False, id="real")])
def test_the_picture_of_an_imputed_section_is_that_of_a_training(said_of, is_synthetic) -> None:
    run, measured, prediction, imputed = said_of(is_synthetic=is_synthetic)
    # As `recipes.recording.record` calls it for section.png, where there is no truth.
    logged = section_figure(measured, prediction, title=figure_title(run, 0))
    assert imputed_figure(imputed) == logged
    assert imputed_figure(imputed, ["B"]) != logged


@pytest.mark.parametrize("name", [pytest.param("out.h5ad", id="h5ad"), pytest.param("out.zarr", id="zarr")])
def test_the_picture_of_a_file_is_that_of_what_was_written(said_of, settings, tmp_path, name) -> None:
    *_, imputed = said_of(is_synthetic=True)
    write_imputed(tmp_path / name, imputed)
    export_figure(open_imputed(str(tmp_path / name), settings).section(), tmp_path / "out.png", None)
    assert (tmp_path / "out.png").read_bytes() == imputed_figure(imputed)
    assert sorted(item.name for item in tmp_path.iterdir() if item.is_file()) == sorted(
        {"out.png", name} if name == "out.h5ad" else {"out.png"}
    )


def test_a_store_of_another_place_is_read_by_its_uri(said_of, settings) -> None:
    *_, imputed = said_of()
    deliver(imputed, "memory://picturing/out.zarr", settings, replace=True)
    assert imputed_figure(open_imputed("memory://picturing/out.zarr", settings).section()) == imputed_figure(imputed)


def test_training_and_files_call_one_function(said_of, monkeypatch) -> None:
    *_, imputed = said_of()
    monkeypatch.setattr(plots, "section_figure", lambda *_, **words: words["title"].encode())
    assert imputed_figure(imputed) == "tiny · 25 µm bins".encode()


def test_a_leaky_release_is_said(said_of) -> None:
    *_, imputed = said_of()
    leaky = replace(imputed, provenance={**imputed.provenance, "release": {"is_leaky": True}})
    assert imputed_figure(leaky) != imputed_figure(imputed)


def test_stride_and_phase_come_from_the_provenance(said_of) -> None:
    *_, imputed = said_of()
    measured = as_measured(replace(imputed, provenance={"sampling": {"stride": 3, "phase": [1, 2]}}))
    assert (measured.stride, measured.phase) == (3, (1, 2))
    unknown = as_measured(replace(imputed, provenance={}))
    assert (unknown.stride, unknown.phase) == (1, (0, 0))


def test_a_gene_that_was_not_imputed_and_a_section_without_tissue_are_refused(said_of) -> None:
    *_, imputed = said_of()
    with pytest.raises(MissingError, match=r"got 'b'; did you mean B\?"):
        imputed_figure(imputed, ["b"])
    nowhere = np.zeros_like(imputed.tissue)
    with pytest.raises(InputError, match="bins on tissue, found none"):
        imputed_figure(replace(imputed, tissue=nowhere, is_measured=nowhere))


def test_a_figure_is_a_png(tmp_path) -> None:
    with pytest.raises(InputError, match=r"ends in \.png"):
        check_figure(tmp_path / "out.jpg", replace=False)
