"""What the script of a served model needs of MLflow, so that the script's folder need not import it.

The script subclasses `PythonModel` and ends with `set_model(...)`. Annotate the input of `predict` as `numpy.ndarray`:
MLflow then neither guesses a schema from the annotation nor warns that there is none. A model that was registered by
`registry.register` is called with an array or with `{"input": array}`; its `context.artifacts` are `WEIGHTS` and `RELEASE`.
"""

from s2s.tracking.vendor import mlflow

PythonModel = mlflow.pyfunc.PythonModel
PythonModelContext = mlflow.pyfunc.PythonModelContext
set_model = mlflow.models.set_model

WEIGHTS = "weights"
RELEASE = "release"
INPUT = "input"
OUTPUT = "output"

__all__ = ["INPUT", "OUTPUT", "RELEASE", "WEIGHTS", "PythonModel", "PythonModelContext", "set_model"]
