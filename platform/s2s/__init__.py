"""S2S Atlas: impute sparse spatial transcriptomics, from one section to an atlas.

Importing this package loads nothing heavy: torch, ray, mlflow and zarr are imported by the folder that owns them.
"""

__version__ = "0.1.0"
