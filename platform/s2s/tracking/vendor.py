"""The one place that imports mlflow at all; everything else of this folder takes it from here.

Decision: importing this module sets defaults of MLflow's own environment variables, because MLflow reads some of them
when it is imported: no telemetry, no progress bars, and short retries, so that a server which is gone costs seconds and
not minutes. A variable that the user set stays. The price: a process that also uses MLflow itself sees these defaults.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from s2s.errors import S2SError, TrackingError

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS"}


def prepare_environment() -> None:
    """Set the defaults that the user did not set."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


prepare_environment()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns about its own type hints and SQLAlchemy's loader when imported
    import mlflow.artifacts
    import mlflow.pyfunc
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, LoggedModelOutput, Metric, Param
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec
    from sqlalchemy.exc import SQLAlchemyError

__all__ = [
    "LoggedModel", "LoggedModelOutput", "Metric", "MlflowClient", "MlflowException", "ModelSignature", "ModelVersion", "Param",
    "RefusedError", "Schema", "TensorSpec", "is_missing", "mlflow", "prepare_environment", "vendor_errors",
]  # fmt: skip


class RefusedError(TrackingError):
    """The server understood a request and will never take it; sending it again is of no use."""


@contextmanager
def vendor_errors(uri: str) -> Iterator[None]:
    """Turn what MLflow raises into this project's errors.

    Args:
        uri: Of the server, for the message.

    Raises:
        RefusedError: the request itself is at fault.
        TrackingError: the server is gone, overloaded, or does not know us.
    """
    try:
        yield
    except S2SError:
        raise
    except MlflowException as error:
        if error.error_code in REFUSALS:
            raise RefusedError(f"MLflow at {uri} refused: {_short(error)}") from error
        raise TrackingError(f"MLflow at {uri} failed: {_short(error)}; `s2s stack up` starts the local one, `s2s doctor` checks") from error
    except (OSError, SQLAlchemyError) as error:
        raise TrackingError(f"MLflow at {uri} or its artifact store cannot be reached: {_short(error)}; `s2s doctor` checks") from error


def is_missing(error: MlflowException) -> bool:
    """Whether MLflow says that the thing does not exist (an unknown alias is an invalid parameter to it)."""
    return error.error_code == "RESOURCE_DOES_NOT_EXIST" or ("alias" in str(error) and error.error_code == "INVALID_PARAMETER_VALUE")


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:300] + " ..."
