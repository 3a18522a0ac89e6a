"""One cell: run, scored, stored once, and read back."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from s2s.contracts.benchmark import BenchmarkCell
from s2s.contracts.run import GeneConfig, SamplingConfig
from s2s.errors import MissingError
from s2s.evaluation.baselines import baseline_named
from s2s.evaluation.coverage import measured_coverage
from s2s.evaluation.protocol import score, summarise
from s2s.lattice.measured import HeldOut
from s2s.lattice.prediction import Interval, Prediction
from s2s.recipes.benchmark.cell import cell_folder, find_result, forget_cell, read_estimate, read_genes, run_cell
from s2s.recipes.footprint import library_versions, own_peak_memory_bytes
from s2s.storage.location import join
from s2s.storage.objects import list_names
from s2s.streaming.sections import measure_with_truth

KEY = "0123456789abcdef"


@pytest.fixture
def cell(make_section) -> BenchmarkCell:
    return BenchmarkCell(key=KEY, section=make_section().uri, genes=GeneConfig(min_detected=0), phase=(0, 1), seed=0, method="gaussian_cv")


def test_a_cell_is_what_its_method_gives_by_hand(cell, make_section, settings) -> None:
    measured, truth = measure_with_truth(make_section(), SamplingConfig(phase=(0, 1)), cell.genes)
    imputed = baseline_named("gaussian_cv").impute(measured)
    by_hand = summarise(score("gaussian_cv", Prediction(mean=imputed), measured, truth, 0))

    result = run_cell(cell, settings)
    assert result.score is not None
    assert result.score.model_dump(exclude={"seconds"}) == by_hand.model_dump(exclude={"seconds"})
    assert find_result(KEY, settings) == result
    genes = pd.read_parquet(io.BytesIO(read_genes(result, settings)))
    assert (list(genes["gene"]), genes["pcc"].mean()) == (["A", "B", "C"], pytest.approx(by_hand.pcc))
    # float16 keeps eleven bits of values below 8.
    np.testing.assert_allclose(read_estimate(result, settings), imputed[:, truth.positions], atol=8 / 2**11)
    assert result.peak_memory_bytes > 50_000_000
    assert result.versions["numpy"] == np.__version__


def test_of_two_that_run_a_cell_the_first_counts(cell, settings) -> None:
    first = run_cell(cell, settings)
    assert run_cell(cell, settings) == first
    assert len(list_names(cell_folder(KEY, settings), settings)) == 2, "cell.json and the attempt that counts"


def test_what_a_method_cannot_do_is_a_result(cell, settings) -> None:
    result = run_cell(cell.model_copy(update={"genes": GeneConfig(min_detected=1)}), settings)
    assert result.score is None
    assert "lower genes.min_detected" in str(result.failure)
    assert find_result(KEY, settings) == result


def test_what_the_machine_cannot_do_leaves_nothing(cell, settings) -> None:
    with pytest.raises(MissingError, match="nowhere"):
        run_cell(cell.model_copy(update={"section": "memory://recipes/nowhere"}), settings)
    assert find_result(KEY, settings) is None


def test_a_forgotten_cell_is_gone(cell, settings) -> None:
    run_cell(cell, settings)
    forget_cell(KEY, settings)
    assert find_result(KEY, settings) is None
    assert list_names(join(settings.root, "benchmarks", "cells"), settings) == []


def test_coverage_counts_held_out_values_inside() -> None:
    positions = np.array([[True, True], [True, False]])
    truth = HeldOut(expression=np.array([[[1, 2], [3, np.nan]], [[0, 0], [0, np.nan]]], np.float32), positions=positions)
    zero, low, high = (np.full((2, 2, 2), value, np.float32) for value in (0, 0.5, 2.5))
    prediction = Prediction(mean=low, intervals={0.9: Interval(lower=zero, upper=high), 0.5: Interval(lower=low, upper=high)})
    # From 0.5 to 2.5 lie 1 and 2 of the six values; from 0 also the three zeros, which are the lower bound itself.
    half, most = measured_coverage(prediction, truth)
    assert (half.level, half.measured, half.width) == (0.5, pytest.approx(2 / 6), 2.0)
    assert (most.level, most.measured, most.width) == (0.9, pytest.approx(5 / 6), 2.5)
    assert measured_coverage(Prediction(mean=low), truth) == ()


def test_peak_memory_is_not_that_of_the_process_that_started_this_one() -> None:
    ballast = np.ones(60_000_000)  # 480 MB
    code = "from s2s.recipes.footprint import own_peak_memory_bytes as peak; x = peak(); data = bytearray(200_000_000); print(x, peak())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert own_peak_memory_bytes() > ballast.nbytes
    assert before < 200_000_000 < after


def test_versions_name_what_numbers_rest_on() -> None:
    assert {"python", "numpy", "scipy", "torch"} <= set(library_versions())
