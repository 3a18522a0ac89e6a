"""Networks of genes trained side by side are those that runs of each gene alone train."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from s2s.contracts.run import TrainingConfig
from s2s.errors import TrainingError
from s2s.imputation.predict import predict_section
from s2s.imputation.slide import GeneImputers
from s2s.lattice.measured import Measured
from s2s.network import CDCIN
from s2s.recipes.fitting import Fitted, fit
from s2s.recipes.per_gene import packs_of
from s2s.recipes.run import Run
from s2s.streaming.photographs import PhotographPool
from s2s.streaming.sections import measure
from s2s.tracking.tracker import NullTracker
from s2s.training.packed import LEAST_MEMBERS, pack_size
from s2s.training.step import Device

MakeRun = Callable[..., Run]

STACKED = 5e-6
"""Largest difference of a weight after `STEPS` steps, of some 1e-3 each: stacked convolutions sum in another order (seen: 6e-7)."""
STEPS = 6

GENES = ("A", "B", "C", "D", "E")
PAPER = {"features": 4, "blocks": 1, "layers": 1, "growth": 4, "heads": 2, "cascades": 2}
KRIGED = {"features": 4, "blocks": 1, "layers": 1, "growth": 4, "has_attention": False, "cascades": 2, "fill": "krige", "symmetries": 2}
EITHER = {"max_steps": STEPS, "batch": 2, "window": 16, "validate_every": 2, "precision": "float32", "learning_rate": 1e-3}
FORMS = {
    "paper": {"network": PAPER, "training": EITHER},
    "smooth": {
        "network": {**PAPER, "fill": "smooth", "has_mask_inputs": True},
        "training": {**EITHER, "hide_fraction": 0.5, "clip_norm": 0.05, "schedule": "cosine"},
    },
    "krige": {
        "network": KRIGED,
        "training": {
            **EITHER, "weights": {"sparser_to_sparse": 0, "photo_sparser_to_sparse": 0}, "loss": "l2", "folds": 5, "trust": 0.7
        },
    },
}  # fmt: skip
CPU = Device(name="cpu", precision="float32")
EACH = {"tracking": {"register_model": False}}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def expression() -> np.ndarray:
    """Five smooth log1p fields with noise, `(gene, y, x)`."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((36, 40))
    waves = [2 + np.sin(rows / (4 + phase)) + np.cos(columns / 7 - phase) for phase in range(len(GENES))]
    return np.clip(np.stack(waves) + 0.1 * rng.normal(size=(len(GENES), 36, 40)), 0, None).astype(np.float32)


@pytest.fixture(autouse=True)
def photographs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every run takes noise for its photographs."""
    pool = PhotographPool(tiles=np.random.default_rng(1).random((3, 24, 24), np.float32))
    monkeypatch.setattr("s2s.recipes.learning.load_photographs", lambda run: pool)
    monkeypatch.setattr("s2s.recipes.per_gene.load_photographs", lambda run: pool)
    yield


def form(name: str, scheme: str = "per_gene", **training: object) -> dict[str, object]:
    return {"network": FORMS[name]["network"], "training": {**FORMS[name]["training"], "scheme": scheme, **training}, **EACH}


def look(run: Run, genes: tuple[str, ...] = GENES) -> Measured:
    return measure(run.section, run.config.sampling, run.config.genes.model_copy(update={"names": genes}))


def fit_on(run: Run, genes: tuple[str, ...] = GENES) -> Fitted:
    """Train on some genes."""
    return fit(run, look(run, genes), None, NullTracker())


def imputed_by(fitted: Fitted, run: Run, genes: tuple[str, ...] = GENES) -> np.ndarray:
    """What the networks say of those genes, `(gene, y, x)`."""
    return predict_section(fitted.imputer, look(run, genes), fitted.known, run.config.imputation, run.on_progress).prediction.mean


def largest_difference(one: CDCIN, other: CDCIN) -> float:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def networks_of(fitted: Fitted) -> list[CDCIN]:
    assert isinstance(fitted.imputer, GeneImputers)
    return [imputer.network for imputer in fitted.imputer.each]


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in FORMS])
def test_packed_genes_are_what_runs_of_each_gene_learn(make_run: MakeRun, expression: np.ndarray, name: str) -> None:
    assert (
        pack_size(TrainingConfig.model_validate(form(name)["training"]), Device(name="cpu", precision="float32"), has_photographs=True) > 5
    )
    packed = fit_on(run := make_run(expression, f"packed-{name}", form(name)))
    mean = imputed_by(packed, run)
    first, second = (networks_of(packed)[place] for place in (0, 1))
    assert largest_difference(first, second) > 100 * STACKED
    assert [network.gene for network in packed.networks] == list(GENES)
    for place, gene in list(enumerate(GENES))[::2]:
        alone = fit_on(run := make_run(expression, f"{name}-{gene}", form(name, "shared")), (gene,))
        own = packed.networks[place]
        difference = largest_difference(alone.imputer.network, own.imputer.network)
        assert difference < STACKED
        assert own.best_step == alone.best_step
        assert own.validation_error == pytest.approx(alone.validation_error, rel=1e-5)
        assert own.imputer.trust == pytest.approx(alone.imputer.trust, abs=1e-3)
        np.testing.assert_allclose(mean[place], imputed_by(alone, run, (gene,))[0], atol=1e-5)


def test_a_gene_for_which_there_is_no_room_beside_others_is_trained_as_alone_bit_for_bit(make_run: MakeRun, expression: np.ndarray) -> None:
    genes = ("A", "D")
    each = fit_on(run := make_run(expression, "one-by-one", form("smooth", pass_bins=64)), genes)
    mean = imputed_by(each, run, genes)
    for place, gene in enumerate(genes):
        alone = fit_on(run := make_run(expression, f"bits-{gene}", form("smooth", "shared", pass_bins=64)), (gene,))
        assert largest_difference(alone.imputer.network, networks_of(each)[place]) == 0
        np.testing.assert_array_equal(mean[place], imputed_by(alone, run, (gene,))[0])


@pytest.mark.parametrize("pass_bins", [pytest.param(5200, id="packs"), pytest.param(64, id="one-by-one")])
def test_on_several_cores_the_same_is_learnt_bit_for_bit(make_run: MakeRun, expression: np.ndarray, pass_bins: int) -> None:
    fitted = [
        fit_on(make_run(expression, f"cores-{cpus}", {**form("smooth", pass_bins=pass_bins), "resources": {"cpus": cpus, "memory_gb": 64}}))
        for cpus in (1, 3)
    ]
    alone, abreast = map(networks_of, fitted)
    assert [largest_difference(one, other) for one, other in zip(alone, abreast, strict=True)] == [0] * len(GENES)
    assert fitted[0].losses == fitted[1].losses
    assert fitted[0].errors == fitted[1].errors


class KilledError(Exception):
    """Stands for a killed process."""


@pytest.mark.parametrize("stop_at", [pytest.param(3, id="first-pack"), pytest.param(STEPS + 3, id="second-pack")])
def test_a_killed_training_of_packs_goes_on_bit_for_bit(make_run: MakeRun, expression: np.ndarray, stop_at: int) -> None:
    often = form("smooth", checkpoint_every_s=1e-9, patience=2, pass_bins=5200)  # packs of two and three

    def kill(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "train" and done == stop_at:
            raise KilledError

    broken = make_run(expression, f"broken{stop_at}", often)
    with pytest.raises(KilledError):
        fit_on(replace(broken, on_progress=kill))
    whole, resumed = fit_on(make_run(expression, f"whole{stop_at}", often)), fit_on(broken)
    for one, other in zip(whole.networks, resumed.networks, strict=True):
        assert largest_difference(one.imputer.network, other.imputer.network) == 0
        assert (one.best_step, one.validation_error) == (other.best_step, other.validation_error)


@pytest.mark.parametrize("genes", [pytest.param(GENES, id="packed"), pytest.param(("C", "D"), id="one-by-one")])
def test_a_gene_whose_loss_is_not_finite_is_named(make_run: MakeRun, expression: np.ndarray, genes: tuple[str, ...]) -> None:
    run = make_run(expression, f"nan-{len(genes)}", form("paper", **({} if len(genes) == len(GENES) else {"pass_bins": 64})))
    measured = look(run, genes)
    measured.expression[genes.index("D"), measured.observed] = np.nan
    with pytest.raises(TrainingError, match=r"finite loss .* at step 1 of the network of D; last good checkpoint: none"):
        fit(run, measured, None, NullTracker())


def test_a_member_that_stopped_to_improve_keeps_its_best_while_others_go_on(make_run: MakeRun, expression: np.ndarray) -> None:
    hasty = {"patience": 1, "validate_every": 1, "learning_rate": 3e-3, "max_steps": 12}
    packed = fit_on(make_run(expression, "patience", form("paper", **hasty)))
    stopped = {network.gene: network.best_step for network in packed.networks}
    assert len(set(stopped.values())) > 1, "expected genes that stop at different steps"
    first = min(stopped, key=lambda gene: stopped[gene])
    alone = fit_on(make_run(expression, "patience-alone", form("paper", "shared", **hasty)), (first,))
    assert alone.best_step == stopped[first]
    assert alone.steps < packed.steps
    assert largest_difference(alone.imputer.network, networks_of(packed)[GENES.index(first)]) < 10 * STACKED


def test_the_curves_are_means_over_genes(make_run: MakeRun, expression: np.ndarray) -> None:
    packed = fit_on(make_run(expression, "curves", form("paper", pass_bins=5200)))  # packs of two and three
    alone = [fit_on(make_run(expression, f"curve-{gene}", form("paper", "shared")), (gene,)) for gene in GENES]
    for name in ("losses", "errors"):
        mean = np.mean([[value for _, value in getattr(fitted, name)] for fitted in alone], axis=0)
        steps, values = zip(*getattr(packed, name), strict=True)
        assert steps == tuple(step for step, _ in getattr(alone[0], name))
        np.testing.assert_allclose(values, mean, rtol=1e-5)
    assert math.isclose(packed.validation_error, np.mean([fitted.validation_error for fitted in alone]), rel_tol=1e-5)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"batch": 2, "window": 16}, 12, id="four-terms"),  # 2 x (256 + 64 + 256 + 64) = 1,280 bins of 16,384
        pytest.param({"batch": 2, "window": 16, "weights": {"sparser_to_sparse": 0, "photo_sparser_to_sparse": 0}}, 16, id="two-terms"),
        pytest.param({"batch": 4, "window": 32}, 1, id="room-for-one"),
        pytest.param({"batch": 2, "window": 16, "pass_bins": 1280 * LEAST_MEMBERS}, LEAST_MEMBERS, id="just-enough"),
        pytest.param({"batch": 2, "window": 16, "pass_bins": 1280 * LEAST_MEMBERS - 1}, 1, id="just-too-little"),
    ],
)
def test_a_pack_is_as_large_as_a_pass(changes: dict[str, object], expected: int) -> None:
    training = TrainingConfig.model_validate(changes)
    assert pack_size(training, CPU, has_photographs=True) == expected


@pytest.mark.parametrize(
    ("num_genes", "most", "device", "sizes"),
    [
        pytest.param(16, 6, "cpu", [4] * 4, id="four-cores-end-together"),
        pytest.param(60, 6, "cpu", [5] * 12, id="twelve-rather-than-ten"),
        pytest.param(16, 6, "cuda", [5, 5, 6], id="as-few-as-hold-them"),
        pytest.param(9, 12, "cpu", [4, 5], id="none-smaller-than-four"),
        pytest.param(5, 12, "cpu", [5], id="one"),
        pytest.param(3, 1, "cpu", [1] * 3, id="one-by-one"),
    ],
)
def test_packs_are_cut_so_that_cores_end_together(num_genes: int, most: int, device: str, sizes: list[int]) -> None:
    packs = packs_of(num_genes, most, Device(name=device, precision="float32"))
    assert [len(pack) for pack in packs] == sizes
    assert [place for pack in packs for place in pack] == list(range(num_genes))
