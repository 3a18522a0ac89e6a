"""What a benchmark is going to run, and under which keys, before anything is run."""

import pytest

from s2s.contracts.benchmark import BenchmarkConfig
from s2s.errors import ConfigError, ExistsError, InputError, MissingError
from s2s.recipes.benchmark.plan import Plan, check_section, make_plan
from s2s.recipes.run import silent

NET = {"name": "net", "preset": "laptop", "set": {"photographs": None}}


@pytest.fixture
def plan_of(make_section, settings):
    def make(*, stored=None, **changes) -> Plan:
        section = {"section": (stored or make_section()).uri, "genes": {"min_detected": 0}}
        tree = {"name": "b", "sections": [section], "methods": ["zero", NET], "seeds": [3, 5], **changes}
        return make_plan(BenchmarkConfig.model_validate(tree), settings, silent)

    return make


def keys(plan: Plan, method: str) -> list[str]:
    return [cell.key for (_, label), cells in plan.cells.items() for cell in cells if label == method]


def test_a_network_runs_with_every_seed_and_a_baseline_once_per_phase(plan_of) -> None:
    plan = plan_of(phases=[[0, 0], [1, 0], [1, 1]])
    of_net, of_zero = ([cell for (_, label), cells in plan.cells.items() for cell in cells if label == name] for name in ("net", "zero"))
    assert [(cell.phase, cell.seed) for cell in of_zero] == [((0, 0), 0), ((1, 0), 0), ((1, 1), 0)]
    assert [(cell.phase, cell.seed) for cell in of_net] == [
        ((0, 0), 3), ((0, 0), 5), ((1, 0), 3), ((1, 0), 5), ((1, 1), 3), ((1, 1), 5),
    ]  # fmt: skip
    assert all(cell.network is not None and (cell.network.seed, cell.network.sampling.phase) == (cell.seed, cell.phase) for cell in of_net)
    assert len({cell.key for cell in plan.distinct_cells}) == 9


def test_a_key_knows_no_labels_no_resources_and_no_neighbours(plan_of) -> None:
    plan = plan_of()
    renamed = plan_of(name="other", methods=[{**NET, "name": "another label"}], resources={"cpus": 7})
    assert keys(renamed, "another label") == keys(plan, "net")
    assert renamed.key != plan.key


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"methods": ["mean", {**NET, "set": {"photographs": None, "network": {"cascades": 1}}}]}, id="method"),
        pytest.param({"phases": [[0, 1]], "methods": ["zero", NET]}, id="phase"),
    ],
)
def test_what_changes_a_result_changes_its_key(plan_of, changes) -> None:
    one = {"phases": [[0, 0]], "seeds": [3]}
    assert not {cell.key for cell in plan_of(**one).distinct_cells} & {cell.key for cell in plan_of(**{**one, **changes}).distinct_cells}


def test_other_data_and_other_genes_make_other_cells(plan_of, make_section) -> None:
    plans = [plan_of(), plan_of(stored=make_section(1))]
    assert not set(keys(plans[0], "zero")) & set(keys(plans[1], "zero"))
    section = {"section": make_section().uri, "genes": {"min_detected": 0, "limit": 2}}
    fewer = plan_of(sections=[section])
    assert not {cell.key for cell in fewer.distinct_cells} & {cell.key for cell in plans[0].distinct_cells}


def test_two_rows_that_are_the_same_method_share_their_cells(plan_of) -> None:
    plan = plan_of(methods=[NET, {**NET, "name": "again"}])
    assert keys(plan, "net") == keys(plan, "again")
    assert len(plan.distinct_cells) == len(keys(plan, "net"))


def test_an_unknown_method_names_the_nearest(plan_of) -> None:
    with pytest.raises(ConfigError, match="got 'gausian_cv', did you mean 'gaussian_cv'"):
        plan_of(methods=["gausian_cv"])


def test_a_sparse_section_has_nothing_to_be_judged_on(plan_of, make_section) -> None:
    with pytest.raises(InputError, match="measured at stride 2; leave it out"):
        plan_of(stored=make_section(stride=2))


def test_a_section_that_is_not_there_is_named(plan_of) -> None:
    with pytest.raises(MissingError, match="nowhere"):
        plan_of(sections=[{"section": "nowhere"}])


def test_a_synthetic_section_is_made_once_and_never_mistaken_for_another(plan_of) -> None:
    tissue = {"height": 8, "width": 8, "num_genes": 4}
    first, second = (plan_of(sections=[{"section": tissue}]) for _ in range(2))
    assert first.sections["synthetic-glands"].meta == second.sections["synthetic-glands"].meta
    with pytest.raises(ExistsError, match=r'expected section synthetic-glands to hold synthetic glands, .* was made from .*"seed":0'):
        plan_of(sections=[{"section": {**tissue, "seed": 1}}])


@pytest.mark.parametrize(
    ("genes", "error", "message"),
    [
        pytest.param({"names": ["A", "NOPE"]}, MissingError, "NOPE", id="unknown-gene"),
        pytest.param({"min_detected": 1.0}, InputError, "lower genes.min_detected", id="no-gene-passes"),
    ],
)
def test_genes_that_cannot_be_chosen_are_found_before_any_cell(plan_of, make_section, genes, error, message) -> None:
    section = make_section()
    plan = plan_of(stored=section, sections=[{"section": section.uri, "genes": genes}])
    with pytest.raises(error, match=message):
        check_section(section, plan.distinct_cells[0])
