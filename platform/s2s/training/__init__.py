"""Floor 2: optimise a network over batches. Knows neither Zarr nor MLflow: it takes batches, callbacks and gives weights back."""
