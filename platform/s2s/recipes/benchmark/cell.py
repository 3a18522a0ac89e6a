"""One cell of a benchmark: a method on one phase of one section, scored and stored. Run as a process of its own.

    benchmarks/cells/<key>/cell.json             the result; written last, so a cell is there whole or not at all
                           attempt-<random>/     genes.parquet, predictions.safetensors

Decision: a cell that is interrupted is repeated whole, because its seconds are part of its result; the price is at most
one cell's work per interruption. What a method could not do is a result too and is kept; what the machine could not do
(a store that is gone) is raised and tried again.
"""

import sys
import time
from functools import partial
from uuid import uuid4

import numpy as np
from jaxtyping import Float32

from s2s import __version__
from s2s.contracts.benchmark import BenchmarkCell, CellResult
from s2s.contracts.run import SamplingConfig
from s2s.contracts.settings import Settings, load_settings
from s2s.errors import EXIT_CODE, ConfigError, ExistsError, InputError, MissingError, S2SError, ShapeError, TrainingError
from s2s.evaluation.coverage import measured_coverage
from s2s.evaluation.protocol import score, summarise
from s2s.evaluation.tables import gene_parquet
from s2s.lattice.measured import HeldOut, Measured
from s2s.recipes.footprint import library_versions, own_peak_memory_bytes
from s2s.recipes.fresh_process import read_message
from s2s.recipes.methods import Answer, baseline_answer, network_answer
from s2s.recipes.run import silent
from s2s.recipes.sources import open_run
from s2s.storage.checkpoints import read_checkpoint, write_checkpoint
from s2s.storage.commits import now_utc
from s2s.storage.location import join
from s2s.storage.objects import delete_prefix, read_bytes, write_bytes
from s2s.storage.sections import Section, open_section
from s2s.streaming.sections import measure_with_truth

METHOD_FAULTS = (InputError, ShapeError, ConfigError, TrainingError)
"""What a method says of a section it cannot work on: the same again next time, so it is kept as the cell's result."""
GENES, PREDICTIONS = "genes.parquet", "predictions.safetensors"
CELLS = ("benchmarks", "cells")


def cell_folder(key: str, settings: Settings) -> str:
    """URI of a cell's folder."""
    return join(settings.root, *CELLS, key)


def find_result(key: str, settings: Settings) -> CellResult | None:
    """Read the result of a cell; None where it has not been finished.

    Raises:
        StorageError: the store refused or does not answer.
    """
    try:
        return CellResult.model_validate_json(read_bytes(join(cell_folder(key, settings), "cell.json"), settings))
    except MissingError:
        return None


def forget_cell(key: str, settings: Settings) -> None:
    """Delete a cell and everything it left."""
    delete_prefix(cell_folder(key, settings), settings)


def read_genes(result: CellResult, settings: Settings) -> bytes:
    """Read the per-gene scores of a cell as Parquet."""
    return read_bytes(join(cell_folder(result.cell.key, settings), result.files[GENES]), settings)


def read_estimate(result: CellResult, settings: Settings) -> Float32[np.ndarray, "gene position"]:
    """Read what a cell's method said at the held-out bins, log1p units, in the order of `HeldOut`; stored as float16."""
    uri = join(cell_folder(result.cell.key, settings), result.files[PREDICTIONS])
    saved = read_checkpoint(uri, settings)
    if saved is None:
        raise MissingError(f"expected the predictions of a finished cell at {uri}, found none; run the benchmark with --again")
    return saved[0]["mean"].astype(np.float32)


def run_cell(cell: BenchmarkCell, settings: Settings) -> CellResult:
    """Run a method, score it and store what came of it; of two that run the same cell the first to finish counts.

    Raises:
        MissingError: the section is gone.
        StorageError: the store refused or does not answer; nothing became visible.

    Reads:
        The section.

    Writes:
        The cell's folder.
    """
    folder, attempt = cell_folder(cell.key, settings), f"attempt-{uuid4().hex}"
    section = open_section(cell.section, settings)
    try:
        result = _try(cell, section, attempt, settings)
        write_bytes(join(folder, "cell.json"), result.model_dump_json(indent=2).encode(), settings, if_absent=True)
    except ExistsError:
        delete_prefix(join(folder, attempt), settings)
        found = find_result(cell.key, settings)
        assert found is not None, "a cell that exists can be read"
        return found
    except BaseException:
        delete_prefix(join(folder, attempt), settings)
        raise
    return result


def _try(cell: BenchmarkCell, section: Section, attempt: str, settings: Settings) -> CellResult:
    result = partial(
        CellResult,
        cell=cell,
        data_sha256=section.meta.data_sha256,
        code_version=__version__,
        versions=library_versions(),
        created_at=now_utc(),
    )
    started = time.perf_counter()
    try:
        measured, truth = _read(cell, section)
        answer = _answer(cell, measured, truth, attempt, settings)
    except METHOD_FAULTS as error:
        seconds = time.perf_counter() - started
        return result(seconds=seconds, peak_memory_bytes=own_peak_memory_bytes(), device="", failure=str(error))
    peak = own_peak_memory_bytes()  # before the scoring, which takes memory of its own
    scores = score(cell.method, answer.prediction, measured, truth, answer.seconds)
    folder = cell_folder(cell.key, settings)
    estimate = answer.prediction.mean[:, truth.positions].astype(np.float16)
    write_checkpoint(join(folder, attempt, PREDICTIONS), {"mean": estimate}, {}, settings)
    write_bytes(join(folder, attempt, GENES), gene_parquet([scores]), settings)
    return result(
        seconds=answer.seconds,
        peak_memory_bytes=peak,
        device=answer.device,
        score=summarise(scores),
        coverage=measured_coverage(answer.prediction, truth),
        files={name: f"{attempt}/{name}" for name in (GENES, PREDICTIONS)},
    )


def _read(cell: BenchmarkCell, section: Section) -> tuple[Measured, HeldOut]:
    measured, truth = measure_with_truth(section, SamplingConfig(phase=cell.phase), cell.genes)
    if truth is None or not truth.positions.any():
        raise InputError(f"expected a fully measured section with bins to hold out, {section.uri} has none at phase {cell.phase}")
    return measured, truth


def _answer(cell: BenchmarkCell, measured: Measured, truth: HeldOut, attempt: str, settings: Settings) -> Answer:
    if cell.network is None:
        return baseline_answer(cell.method, cell.seed, measured)
    run = open_run(cell.network, settings, silent)
    place = "/".join((*CELLS, cell.key, attempt, "training"))
    try:
        return network_answer(run.at(place), measured, truth)
    finally:
        delete_prefix(join(settings.root, place), settings)


def main() -> None:
    """Run the cell whose JSON is the first line of stdin; exit 2 with one message on what a user can mend.

    Ends when stdin is closed, that is with the process that started it.
    """
    cell = BenchmarkCell.model_validate_json(read_message())
    try:
        run_cell(cell, load_settings(is_local=True))
    except S2SError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_CODE)


if __name__ == "__main__":
    main()
