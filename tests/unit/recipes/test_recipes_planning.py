"""The choice of how to train: the simplest way that fits, what the run says itself, and words for why."""

import pytest

from s2s.contracts.loading import validate
from s2s.contracts.run import RunConfig
from s2s.contracts.sharding import MemoryPlan
from s2s.errors import ConfigError
from s2s.recipes.planning import announce, plan_run, trainings_at_once
from s2s.training.memory import LIBRARIES_BYTES

WIDE = {"features": 64, "growth": 64, "blocks": 2, "layers": 2, "cascades": 8}
"""Three million parameters."""
EACH = {"training": {"scheme": "per_gene"}, "tracking": {"register_model": False}}


def plan(memory_gb: float = 16, *, is_local: bool = False, **changes: object) -> MemoryPlan:
    # 16 GB hold the usual network in float32 too, which processors without bfloat16 compute in.
    tree = {"name": "x", "section": "y", "resources": {"cpus": 1, "memory_gb": memory_gb}, **changes}
    return plan_run(validate(RunConfig, tree, where="test"), is_local=is_local)


def each(memory_gb: float, **resources: float) -> RunConfig:
    tree = {"name": "x", "section": "y", "resources": {"memory_gb": memory_gb, **resources}, **EACH}
    return validate(RunConfig, tree, where="test")


def words(found: MemoryPlan) -> tuple[str, int, bool]:
    return found.chosen.strategy, found.chosen.workers, found.chosen.recompute


def test_what_fits_on_one_device_is_trained_on_one() -> None:
    found = plan(network={"features": 8, "blocks": 1, "layers": 1, "growth": 4})
    assert words(found) == ("single", 1, False)
    assert found.reason.endswith("fit into 16.0 GB, and nothing is simpler")


def test_activations_that_do_not_fit_are_computed_again() -> None:
    whole = plan(100, network=WIDE).options[0]
    found = plan((whole.total + 0.6e9) / 1e9, network=WIDE)
    assert words(found) == ("single", 1, True)
    assert f"what is simpler takes {whole.total / 1e9:.1f} GB or more" in found.reason


def test_weights_that_do_not_fit_are_spread_over_as_few_workers_as_hold_them() -> None:
    large, small = {**WIDE, "features": 256, "growth": 256}, {"batch": 16, "window": 8, "pass_bins": 64}
    options = plan(1000, network=large, training=small).options
    assert [option.workers for option in options] == sorted(option.workers for option in options)
    found = plan(options[0].total / 2e9 + 0.7, network=large, training=small)
    assert found.chosen.strategy in {"zero1", "zero2", "zero3"}
    assert found.chosen.total <= options[0].total / 2
    before = [option for option in found.options if option.workers < found.chosen.workers]
    assert all(option.total > options[0].total / 2 for option in before)


def test_workers_that_are_asked_for_share_the_least_that_fits() -> None:
    assert words(plan(sharding={"workers": 2})) == ("data_parallel", 2, False)


def test_networks_of_genes_stay_in_one_process_whatever_they_take() -> None:
    assert words(plan(1, network=WIDE, **EACH)) == ("single", 1, True)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        pytest.param({"cpus": 1}, 1, id="a-core"),
        pytest.param({"cpus": 3.5}, 3, id="several"),
        pytest.param({"cpus": 0.5}, 1, id="part-of-a-core"),
        pytest.param({"cpus": 4, "gpus": 1}, 1, id="gpu"),
    ],
)
def test_networks_of_genes_train_at_once_on_as_many_cores_as_there_are(resources: dict[str, float], expected: int) -> None:
    assert trainings_at_once(each(64, **resources)) == expected


def test_no_more_networks_of_genes_train_at_once_than_fit_into_memory() -> None:
    one = plan_run(each(64), is_local=True).chosen.total
    assert trainings_at_once(each((2.5 * one + LIBRARIES_BYTES) / 1e9, cpus=64)) == 2
    assert trainings_at_once(each(0.1, cpus=64)) == 1


@pytest.mark.parametrize("strategy", ["zero1", "zero2", "zero3"])
def test_the_run_overrules(strategy: str) -> None:
    found = plan(sharding={"workers": 4, "strategy": strategy, "recompute": True})
    assert words(found) == (strategy, 4, True)
    assert found.reason.startswith("asked for; ")
    assert len(found.options) == 1


def test_where_nothing_fits_the_least_is_taken_and_said() -> None:
    found = plan(0.8, network=WIDE, sharding={"workers": 1})
    assert found.chosen.total == min(option.total for option in found.options)
    assert "nothing fits into 0.8 GB: this takes" in found.reason


def test_where_nothing_fits_no_number_of_workers_is_made_up() -> None:
    found = plan(0.71, network=WIDE)
    assert words(found) == ("single", 1, True)
    assert max(option.workers for option in found.options) == 16


def test_graphics_memory_is_what_counts_where_there_is_a_processor() -> None:
    found = plan(1, network=WIDE, resources={"cpus": 1, "gpus": 0.5, "memory_gb": 1, "gpu_memory_gb": 20})
    assert (found.of, found.budget) == ("graphics memory", 10_000_000_000)


@pytest.mark.parametrize("sharding", [{"workers": 2}, {"strategy": "zero1"}])
def test_one_process_is_one_worker(sharding: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="one worker with --local"):
        plan(is_local=True, sharding=sharding)


def test_alone_means_alone_however_large() -> None:
    assert plan(0.8, network=WIDE, is_local=True).chosen.workers == 1


def test_a_group_that_may_shrink_is_planned_for_its_smallest() -> None:
    fixed, elastic = (plan(sharding={"workers": 4, "strategy": "zero3", **more}).chosen for more in ({}, {"min_workers": 1}))
    assert (fixed.workers, elastic.workers) == (4, 4)
    assert elastic.weights == 4 * fixed.weights


def test_nothing_is_offloaded_from_a_processor_that_is_not_there() -> None:
    options = {"zero_optimization": {"stage": 2, "offload_optimizer": {}}}
    with pytest.raises(ConfigError, match=r"resources\.gpus above 0 with offload_optimizer"):
        plan(sharding={"workers": 2, "strategy": "zero2", "deepspeed": options})


def test_only_what_nobody_expects_is_announced() -> None:
    told: list[tuple[str, str]] = []
    for found in (plan(), plan(sharding={"workers": 2}), plan(sharding={"recompute": True})):
        announce(found, lambda stage, done, total, note="": told.append((stage, note)))
    assert [stage for stage, _ in told] == ["plan: 2 workers, data_parallel", "plan: 1 worker, single, recompute"]
    assert all("fit into 16.0 GB" in note for _, note in told)
