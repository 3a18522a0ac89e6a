"""How many runs share a graphics processor: worked out by hand for cards of 24 and 80 GB, then whatever hypothesis thinks of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.contracts.atlas import AtlasRun
from s2s.contracts.run import GpuUse, Resources
from s2s.orchestration.packing import HEADROOM, Packer, largest_first, runs_per_gpu, share_of
from s2s.training.gpu import CONTEXT_BYTES, fraction_of

GB = 10**9


def use(peak: float, total: float = 80) -> GpuUse:
    return GpuUse(share=1.0, peak_bytes=int(peak * GB), total_bytes=int(total * GB))


@pytest.mark.parametrize(
    ("peak", "total", "limit", "expected"),
    [
        # 0.85 * 80 GB = 68 GB; a run takes its peak and 0.63 GB of context.
        pytest.param(14, 80, 8, 4, id="68-over-14.6"),
        pytest.param(16.3, 80, 8, 4, id="just-fits"),
        pytest.param(16.4, 80, 8, 3, id="just-does-not"),
        pytest.param(1, 80, 8, 8, id="limit"),
        pytest.param(0, 80, 64, 64, id="nothing-but-context"),
        pytest.param(60, 80, 8, 1, id="alone"),
        pytest.param(79, 80, 8, 1, id="alone-without-headroom"),
        pytest.param(14, 24, 8, 1, id="small-card"),
        pytest.param(4, 24, 8, 4, id="small-card-small-run"),
        pytest.param(4, 24, 1, 1, id="never-shared"),
    ],
)
def test_as_many_share_as_fit_with_headroom(peak: float, total: float, limit: int, expected: int) -> None:
    assert runs_per_gpu(int(peak * GB), int(total * GB), limit) == expected


@given(peak=st.integers(0, 100 * GB), total=st.integers(1 * GB, 200 * GB), limit=st.integers(1, 64))
def test_what_shares_fits_and_one_more_would_not(peak: int, total: int, limit: int) -> None:
    num = runs_per_gpu(peak, total, limit)
    room = (1 - HEADROOM) * total
    assert 1 <= num <= limit
    assert num == 1 or num * (peak + CONTEXT_BYTES) <= room
    assert num == limit or (num + 1) * (peak + CONTEXT_BYTES) > room
    if num > 1:
        assert fraction_of(share_of(num), total) * total >= peak, "the cap of a process leaves it what it needs"


@pytest.mark.parametrize("num_runs", [pytest.param(num, id=str(num)) for num in (1, 2, 3, 6, 7, 64)])
def test_all_shares_together_are_one_processor_in_rays_own_count(num_runs: int) -> None:
    share = share_of(num_runs)
    assert round(share * 10_000) * num_runs <= 10_000
    assert share * 10_000 == pytest.approx(round(share * 10_000))
    assert round(share * 10_000) * (num_runs + 1) > 10_000, "and one more would not fit"


def test_until_something_was_measured_a_run_gets_what_the_atlas_asks_for() -> None:
    packer = Packer(Resources(cpus=1, gpus=1), limit=8)
    assert packer.is_measuring
    assert packer.resources.gpus == 1
    packer.learn(None)
    assert packer.is_measuring, "a run without a processor tells nothing of one"
    packer.learn(use(14))
    assert not packer.is_measuring
    assert packer.resources == Resources(cpus=1, gpus=0.25)


def test_the_largest_run_and_the_smallest_card_decide() -> None:
    packer = Packer(Resources(gpus=1), limit=8)
    for seen in (use(4), use(14), use(1)):
        packer.learn(seen)
    assert packer.resources.gpus == 0.25
    packer.learn(use(1, total=40))  # 34 over 14.6
    assert packer.resources.gpus == 0.5
    packer.learn(use(1, total=80))
    assert packer.resources.gpus == 0.5


@pytest.mark.parametrize(
    ("gpus", "limit"),
    [
        pytest.param(0, 8, id="no-gpu"),
        pytest.param(2, 8, id="several-gpus"),
        pytest.param(1, 1, id="not-asked-for"),
        pytest.param(0.5, 1, id="the-user's-own-fraction"),
    ],
)
def test_what_is_not_to_be_shared_stays_as_asked(gpus: float, limit: int) -> None:
    packer = Packer(Resources(gpus=gpus), limit=limit)
    packer.learn(use(1))
    assert not packer.is_on
    assert not packer.is_measuring
    assert packer.resources.gpus == gpus


def test_the_largest_section_goes_first() -> None:
    about = {"section": "s", "tissue": "t", "organism": "o", "technology": "x", "seed": 0, "data_sha256": "", "is_synthetic": True}
    runs = [
        AtlasRun(key=f"{place:016x}", section_id=name, num_bins=bins, num_genes=genes, **about)
        for place, (name, bins, genes) in enumerate([("small", 10, 10), ("many-genes", 10, 90), ("many-bins", 80, 10)])
    ]
    assert [run.section_id for run in largest_first(runs)] == ["many-genes", "many-bins", "small"]
