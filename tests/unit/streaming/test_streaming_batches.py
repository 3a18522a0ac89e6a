"""The four terms of a step, written out on windows of a few positions."""

from collections.abc import Mapping
from itertools import islice

import numpy as np
import pytest
import torch

from s2s.contracts.run import LossWeights, TrainingConfig
from s2s.lattice.geometry import NUM_SYMMETRIES, turn
from s2s.network.batch import TERMS, Batch, TermBatch
from s2s.streaming.batches import BatchStream, photo_sparse_to_dense, sparse_to_dense, sparser_to_sparse
from s2s.streaming.photographs import PhotographPool
from s2s.streaming.sections import Crops, SampledWindows

ANY = np.random.default_rng(0)
FIELDS = ("sparse", "observed", "tissue", "target", "scored")


def one_window(values: list[list[float]], known: list[list[int]] | None = None, tissue: np.ndarray | None = None) -> Crops:
    array = np.array([values], np.float32)
    everywhere = np.ones(array.shape, np.bool_)
    dense = np.ones((1, 2 * array.shape[1], 2 * array.shape[2]), np.bool_) if tissue is None else tissue[None]
    return Crops(values=array, known=everywhere if known is None else np.array([known], np.bool_), tissue=dense)


def assert_term(term: TermBatch, expected: Mapping[str, object]) -> None:
    for name, values in expected.items():
        tensor = getattr(term, name)
        assert tensor.shape[:2] == (1, 1), name
        assert tensor.dtype == (torch.float32 if name in {"sparse", "target"} else torch.bool), name
        np.testing.assert_array_equal(tensor[0, 0].numpy(), values, err_msg=name)


def test_sparser_to_sparse_gives_a_quarter_and_asks_for_all():
    tissue = np.ones((8, 8), np.bool_)
    tissue[0, 4] = tissue[1, 1] = tissue[6, 2] = False  # the first and last are samples (0, 2) and (3, 1)
    known = [[1, 1, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 1, 1]]
    crops = one_window([[1, 2, 0, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 0, 15, 16]], known, tissue)
    term = sparser_to_sparse(crops, 10.0)
    assert_term(
        term,
        {
            "sparse": [[1, 0, 0, 0], [0, 0, 0, 0], [9, 0, 11, 0], [0, 0, 0, 0]],
            "observed": [[1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]],
            "target": [[1, 2, 0, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 0, 15, 16]],
            "scored": known,
            "tissue": known,
        },
    )
    assert term.loss_scale == 10.0


def test_sparse_to_dense_of_the_paper_gives_the_samples_and_asks_for_them():
    tissue = np.arange(16).reshape(4, 4) != 5
    term = sparse_to_dense(one_window([[1, 2], [0, 4]], [[1, 1], [0, 1]], tissue), 0.0, ANY, 10.0)
    spread = [[1, 0, 2, 0], [0, 0, 0, 0], [0, 0, 4, 0], [0, 0, 0, 0]]
    at_samples = [[1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert_term(term, {"sparse": spread, "target": spread, "observed": at_samples, "scored": at_samples, "tissue": tissue})


def test_hidden_samples_are_asked_and_the_others_given():
    rng = np.random.default_rng(1)
    values = rng.uniform(1, 2, (3, 20, 20)).astype(np.float32)
    known = rng.random(values.shape) < 0.8
    crops = Crops(values=np.where(known, values, np.float32(0)), known=known, tissue=np.ones((3, 40, 40), np.bool_))
    term = sparse_to_dense(crops, 0.25, rng, 1.0)
    given, asked = (mask[:, 0, ::2, ::2].numpy() for mask in (term.observed, term.scored))
    np.testing.assert_array_equal(given | asked, known)
    assert not (given & asked).any()
    assert 0.2 < asked.sum() / known.sum() < 0.3
    np.testing.assert_array_equal(term.target[:, 0, ::2, ::2].numpy()[asked], values[asked])
    np.testing.assert_array_equal(term.sparse[:, 0, ::2, ::2].numpy(), np.where(given, values, 0))
    for mask in (term.observed, term.scored):
        assert mask.sum() == mask[..., ::2, ::2].sum(), "nothing between the samples"


def test_hidden_samples_are_others_every_time():
    crops = one_window(np.ones((8, 8)).tolist())
    rng = np.random.default_rng(0)
    first, second = (sparse_to_dense(crops, 0.5, rng, 1.0).scored for _ in range(2))
    assert not torch.equal(first, second)


def test_photographs_are_known_everywhere():
    image = np.arange(1, 17, dtype=np.float32).reshape(1, 4, 4) / 16
    term = photo_sparse_to_dense(image)
    everywhere = np.ones((4, 4), np.bool_)
    given = [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    sparse = np.array([[1, 0, 3, 0], [0, 0, 0, 0], [9, 0, 11, 0], [0, 0, 0, 0]], np.float32) / 16
    assert_term(term, {"sparse": sparse, "observed": given, "target": image[0], "scored": everywhere, "tissue": everywhere})
    assert term.loss_scale == 1.0


TILE = np.random.default_rng(5).random((1, 8, 8), np.float32)


@pytest.fixture
def make_stream(make_measured):
    """A stream over a section of 18 x 20 bins with holes, windows of 8 bins, three per step."""

    def make(*, photographs=True, seed=0, **training) -> BatchStream:
        rng = np.random.default_rng(2)
        measured = make_measured(rng.uniform(1, 5, (2, 18, 20)), tissue=rng.random((18, 20)) < 0.9)
        return BatchStream(
            source=SampledWindows(measured, 10.0),
            photographs=PhotographPool(tiles=TILE) if photographs else None,
            training=TrainingConfig(window=8, batch=3, **training),
            expression_scale=10.0,
            seed=seed,
        )

    return make


def step(stream: BatchStream, number: int = 0) -> Batch:
    return next(stream.batches(number))


def assert_same(left: Batch, right: Batch) -> None:
    assert set(left) == set(right)
    for term in left:
        for name in FIELDS:
            assert torch.equal(getattr(left[term], name), getattr(right[term], name)), f"{term} {name}"


def test_a_step_has_every_term_in_its_size(make_stream):
    batch = step(make_stream())
    assert set(batch) == set(TERMS)
    sides = {name: 8 if name.endswith("to_dense") else 4 for name in TERMS}
    for name, term in batch.items():
        assert all(getattr(term, field).shape == (3, 1, sides[name], sides[name]) for field in FIELDS), name
    assert {name: term.loss_scale for name, term in batch.items()} == {name: 1.0 if "photo" in name else 10.0 for name in TERMS}


@pytest.mark.parametrize("term", [pytest.param(name, id=name) for name in TERMS])
def test_a_term_of_weight_zero_is_absent_and_the_section_windows_stay(make_stream, term):
    whole, part = step(make_stream()), step(make_stream(weights=LossWeights(**{term: 0})))
    assert set(part) == set(TERMS) - {term}
    of_section = [name for name in part if not name.startswith("photo")]
    assert_same({name: part[name] for name in of_section}, {name: whole[name] for name in of_section})


def test_without_photographs_two_terms_are_left_and_they_are_the_same(make_stream):
    whole, part = step(make_stream()), step(make_stream(photographs=False))
    assert set(part) == {"sparser_to_sparse", "sparse_to_dense"}
    assert_same(part, {name: whole[name] for name in part})


@pytest.mark.parametrize("hide_fraction", [pytest.param(0.0, id="paper"), pytest.param(0.5, id="hidden")])
def test_starting_later_equals_skipping(make_stream, hide_fraction):
    skipped = islice(make_stream(hide_fraction=hide_fraction).batches(0), 3, 6)
    resumed = make_stream(hide_fraction=hide_fraction).batches(3)
    for left, right in zip(skipped, resumed, strict=False):
        assert_same(left, right)


def test_steps_and_seeds_differ(make_stream):
    first, second, other = step(make_stream()), step(make_stream(), 1), step(make_stream(seed=1))
    for batch in (second, other):
        assert not torch.equal(first["sparser_to_sparse"].target, batch["sparser_to_sparse"].target)
        assert not torch.equal(first["photo_sparse_to_dense"].target, batch["photo_sparse_to_dense"].target)


def test_photograph_targets_are_the_photograph(make_stream):
    # The tile is as large as a window, so a crop can only be the tile, turned.
    turned = [turn(TILE[0], symmetry) for symmetry in range(NUM_SYMMETRIES)]
    batch = step(make_stream())
    dense, sparse = (batch[name].target[:, 0].numpy() for name in ("photo_sparse_to_dense", "photo_sparser_to_sparse"))
    for window, sampled in zip(dense, sparse, strict=True):
        assert any(np.array_equal(window, tile) for tile in turned)
        np.testing.assert_array_equal(sampled, window[::2, ::2])


def test_input_never_shows_what_is_not_observed(make_stream):
    for name, term in step(make_stream(hide_fraction=0.5)).items():
        assert not term.sparse[~term.observed].any(), name
        assert torch.equal(term.sparse[term.observed], term.target[term.observed]), name
        assert not (term.observed & ~term.tissue).any(), name
        assert not (term.scored & ~term.tissue).any(), name
