"""Pure arithmetic on the grid of a section: which positions are sampled, how counts are normalised, what was measured.

numpy only; axis order `(gene, y, x)`, origin top left, indices `(y, x)`. Every floor above may use it.
"""
