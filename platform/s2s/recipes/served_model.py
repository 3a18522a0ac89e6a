"""The code that MLflow logs beside a release's weights ("models from code"): no pickle, the network rebuilt from its contract.

Input `(batch, 2, y, x)` float32: channel 0 log1p expression with NaN where not measured, channel 1 the tissue mask (0, 1).
The sampled lattice must be anchored at (0, 0). Output `(batch, 1, y, x)`: log1p expression, measured values kept exactly.
"""

from pathlib import Path

import numpy as np

from s2s.contracts.release import Release
from s2s.recipes.release import build_network, impute_planes
from s2s.tracking.pyfunc import INPUT, RELEASE, WEIGHTS, PythonModel, PythonModelContext, set_model


class ServedImputer(PythonModel):  # type: ignore[misc]  # mlflow has no types
    """A release as an MLflow pyfunc."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the network from `release.json` and `weights.safetensors`.

        Reads:
            Both artifacts.
        """
        self.release = Release.model_validate_json(Path(context.artifacts[RELEASE]).read_bytes())
        self.network = build_network(self.release, Path(context.artifacts[WEIGHTS]).read_bytes())

    def predict(self, context: PythonModelContext, model_input: np.ndarray, params: dict[str, object] | None = None) -> np.ndarray:
        """Impute planes; see the module for shapes and units."""
        planes = model_input[INPUT] if isinstance(model_input, dict) else model_input
        return impute_planes(self.network, self.release, planes)


set_model(ServedImputer())
