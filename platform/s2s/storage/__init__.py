"""Floor 1: where bytes lie. The only folder that imports zarr, obstore, s3fs or boto3.

Sections and photographs are Zarr v3 groups that exist once their commit object does; checkpoints are single objects.
Import from the modules: `sections`, `photographs`, `checkpoints`, `objects`, `location`, `bucket`.
"""
