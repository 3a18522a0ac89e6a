import pytest
from pydantic import ValidationError

from s2s.contracts.release import release_name
from s2s.contracts.run import NetworkConfig, RunConfig
from s2s.contracts.section import Lattice

RUN = {"name": "tiny", "section": "breast"}


@pytest.mark.parametrize(
    ("stride", "phase", "is_valid"),
    [
        pytest.param(1, (0, 0), True, id="every-bin"),
        pytest.param(2, (1, 0), True, id="odd-rows"),
        pytest.param(1, (0, 1), False, id="phase-of-a-full-grid"),
        pytest.param(2, (2, 0), False, id="phase-equals-stride"),
        pytest.param(2, (0, -1), False, id="negative"),
    ],
)
def test_a_phase_lies_below_its_stride(stride: int, phase: tuple[int, int], is_valid: bool) -> None:
    if is_valid:
        assert Lattice(stride=stride, phase=phase).phase == phase
        return
    with pytest.raises(ValidationError, match=f"both parts from 0 to {stride - 1}"):
        Lattice(stride=stride, phase=phase)


def test_heads_divide_features_only_where_there_is_attention() -> None:
    with pytest.raises(ValidationError, match="features 30, heads 4"):
        NetworkConfig(features=30, heads=4)
    assert NetworkConfig(features=30, heads=4, has_attention=False).features == 30


def test_the_papers_network_sees_no_masks() -> None:
    masks = {"network": {"has_mask_inputs": True}}
    assert RunConfig.model_validate({**RUN, **masks, "preset": "laptop"}).network.has_mask_inputs
    with pytest.raises(ValidationError, match="has_mask_inputs false under preset paper"):
        RunConfig.model_validate({**RUN, **masks, "preset": "paper"})


EACH = {"training": {"scheme": "per_gene"}, "tracking": {"register_model": False}}


def test_a_run_trains_one_network_for_all_genes_or_one_for_each() -> None:
    assert RunConfig.model_validate(RUN).training.scheme == "shared"
    assert RunConfig.model_validate({**RUN, **EACH}).training.scheme == "per_gene"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"tracking": {}}, "register_model false with training.scheme per_gene, got true", id="model"),
        pytest.param({"sharding": {"workers": 2}}, "one worker and strategy single .* got workers 2", id="workers"),
        pytest.param({"sharding": {"strategy": "zero1"}}, "got workers None, strategy zero1", id="strategy"),
        pytest.param({"training": {"scheme": "per_gene", "max_minutes": 5}}, "max_minutes null .* got 5", id="time-limit"),
    ],
)
def test_networks_of_genes_refuse_what_they_cannot_do(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RunConfig.model_validate({**RUN, **EACH, **changes})


def test_a_document_does_not_change() -> None:
    config = RunConfig.model_validate(RUN)
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 1


def test_a_document_refuses_values_that_are_no_numbers() -> None:
    with pytest.raises(ValidationError, match="finite"):
        RunConfig.model_validate({**RUN, "expression_scale": float("inf")})


@pytest.mark.parametrize(
    ("organism", "tissue", "expected"),
    [
        pytest.param("human", "breast", "s2s-human-breast", id="one-word"),
        pytest.param("mus musculus", "lymph node", "s2s-mus-musculus-lymph-node", id="spaces"),
    ],
)
def test_a_model_is_named_after_organism_and_tissue(organism: str, tissue: str, expected: str) -> None:
    assert release_name(organism, tissue) == expected
