"""A section of any size imputed tile by tile into one AnnData-Zarr; read `section.py` first."""
