"""The service from Python, with nothing heavy: `Atlas(url, token).impute(adata, tissue="breast")`."""

from s2s.client.atlas import Atlas, Job

__all__ = ["Atlas", "Job"]
