"""Floor 1: files that others made or will open. The only folder that imports anndata, h5py or spatialdata.

`anndata_in` reads cells or spots, `hdf5_images` reads packed photographs, `anndata_out` writes an imputed section, `imputed_in` reads one
back, `spatialdata_out` writes it for viewers; `placing` puts files in their place whole or not at all, for every folder above.
"""
