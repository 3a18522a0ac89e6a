"""Floor 1: what a run leaves behind. Records of runs, and the releases of tissues, in MLflow; the only home of mlflow.

`tracker` holds the seam that training sees and imports nothing heavy; `recording` writes to a spool on disk first and
ships from a background thread, `replay` ships what an outage left over; `registry` and `releases` keep and fetch models.
"""
