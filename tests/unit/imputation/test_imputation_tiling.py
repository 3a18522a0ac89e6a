"""Units cover a section exactly once, keep its lattice, and whatever lies within a unit's reach is not cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.imputation.tiling import GENE_STEP, Span, UnitSize, cut
from s2s.lattice.sampling import sampled_positions

SIDES = st.integers(1, 90)
LATTICES = st.sampled_from(["square", "hexagonal"])


@given(height=SIDES, width=SIDES, num_genes=st.integers(1, 200), lattice=LATTICES, stride=st.integers(1, 4))
def test_every_bin_and_gene_is_in_one_core(height, width, num_genes, lattice, stride):
    tiling = cut((height, width), num_genes, UnitSize(core=12, halo=5, genes=48), stride=stride, lattice=lattice)
    covered = np.zeros((num_genes, height, width), int)
    for rows in tiling.rows:
        for columns in tiling.columns:
            for genes in tiling.genes:
                covered[genes, rows.core, columns.core] += 1
    assert (covered == 1).all()
    assert tiling.num_units == len(tiling.rows) * len(tiling.columns) * len(tiling.genes)


@given(height=SIDES, width=SIDES, lattice=LATTICES, stride=st.integers(1, 4), down=st.integers(0, 3), right=st.integers(0, 3))
def test_a_reach_has_the_phase_and_the_row_parity_of_the_section(height, width, lattice, stride, down, right):
    phase = (down % stride, right % stride)
    whole = sampled_positions((height, width), stride, phase, lattice)
    tiling = cut((height, width), 1, UnitSize(core=12, halo=5, genes=48), stride=stride, lattice=lattice)
    for rows in tiling.rows:
        assert lattice == "square" or rows.reach.start % 2 == 0
        for columns in tiling.columns:
            part = whole[rows.reach, columns.reach]
            np.testing.assert_array_equal(sampled_positions(part.shape, stride, phase, lattice), part)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        pytest.param(22, [(0, 22, 0, 22)], id="as-long-as-a-reach"),
        pytest.param(23, [(0, 12, 0, 18), (12, 23, 6, 23)], id="a-bin-longer"),
        pytest.param(36, [(0, 12, 0, 18), (12, 24, 6, 30), (24, 36, 18, 36)], id="three-cores"),
        pytest.param(37, [(0, 10, 0, 16), (10, 20, 4, 26), (20, 30, 14, 36), (30, 37, 24, 37)], id="equal-parts-no-sliver"),
    ],
)
def test_a_side_is_cut_into_equal_parts_with_what_lies_around(length, expected):
    tiling = cut((length, 5), 1, UnitSize(core=12, halo=5, genes=48), stride=2, lattice="square")
    assert [(span.core.start, span.core.stop, span.reach.start, span.reach.stop) for span in tiling.rows] == expected
    assert tiling.columns == (Span(core=slice(0, 5), reach=slice(0, 5)),)


@pytest.mark.parametrize(
    ("num_genes", "expected"),
    [
        pytest.param(48, [48], id="one-group"),
        pytest.param(49, [32, 17], id="a-gene-more"),
        pytest.param(100, [48, 48, 4], id="whole-chunks"),
    ],
)
def test_gene_groups_are_whole_chunks(num_genes, expected):
    groups = cut((5, 5), num_genes, UnitSize(core=12, halo=5, genes=48), stride=2, lattice="square").genes
    assert [group.stop - group.start for group in groups] == expected
    assert all(later.start == sooner.stop and later.start % GENE_STEP == 0 for sooner, later in pairwise(groups))


def test_the_core_is_found_in_its_reach():
    span = Span(core=slice(10, 20), reach=slice(4, 26))
    assert span.core_in_reach == slice(6, 16)


@given(height=SIDES, width=SIDES, num_genes=st.integers(1, 200), most_values=st.integers(1, 40_000))
def test_strips_hold_every_tile_of_a_band_and_no_more_than_asked(height, width, num_genes, most_values):
    tiling = cut((height, width), num_genes, UnitSize(core=12, halo=5, genes=48), stride=2, lattice="square")
    for row, rows in enumerate(tiling.rows):
        for group, genes in enumerate(tiling.genes):
            strips = list(tiling.strips(row, group, most_values))
            assert tuple(columns for strip in strips for columns in strip) == tiling.columns
            for strip in strips:
                across = strip[-1].reach.stop - strip[0].reach.start
                assert len(strip) == 1 or across * (rows.reach.stop - rows.reach.start) * (genes.stop - genes.start) <= most_values
    assert all(len(list(tiling.strips(row, 0, 10**9))) == 1 for row in range(len(tiling.rows)))
