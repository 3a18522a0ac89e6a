"""Floor 2: from what a laboratory has (cells, spots, transcripts, photographs) to sections and photograph sets of the atlas.

One file per technology, all returning a `BinnedSection`; `readers.read_section` picks the file, `store` writes what it returns.
"""
