"""Floor 1: files that others made or will open. The only folder that imports anndata or h5py.

`anndata_in` reads cells or spots, `hdf5_images` reads packed photographs, `anndata_out` writes an imputed section.
"""
