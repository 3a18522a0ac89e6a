"""A release as a model folder of MLflow: the serving script as source, weights and contract as artifacts, no pickle.

Decision: the folder is made while the run still lives, so that a script which does not load fails the one who wrote it
and not a background thread; the price is half a second and an import of what the script imports.
"""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from s2s import __version__
from s2s.contracts.release import Release
from s2s.errors import MissingError
from s2s.tracking.pyfunc import INPUT, OUTPUT, RELEASE, WEIGHTS
from s2s.tracking.vendor import ModelSignature, Schema, TensorSpec, mlflow

WEIGHTS_FILE = "weights.safetensors"
RELEASE_FILE = "release.json"
CARD_FILE = "card.md"
PIP_REQUIREMENTS = (f"s2s-atlas[platform]=={__version__}",)
"""Given, so that MLflow does not infer them, which takes it 10 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Everything a new version of a tissue's model is made of.

    `code_path` is a script that ends with `set_model`; `input_example`, float32 `(batch, 2, y, x)`, is shown to users; `card` says
    in Markdown what the model is good for, and becomes the description of its version.
    """

    release: Release
    weights: bytes
    code_path: Path
    card: str
    input_example: Float32[np.ndarray, "batch 2 y x"] | None = None


def write_model(folder: Path, candidate: Candidate) -> None:
    """Write the model folder of a candidate.

    Args:
        folder: Where; must not exist.
        candidate: What; `release.weights_sha256` must be that of `weights`.

    Raises:
        MissingError: no script at `code_path`.

    Writes:
        `folder`, as `mlflow.pyfunc.load_model` reads it, with the card, and the two artifacts beside it, which it copies.
    """
    assert hashlib.sha256(candidate.weights).hexdigest() == candidate.release.weights_sha256, "release names other weights"
    if not candidate.code_path.is_file():
        raise MissingError(f"expected the serving script of the model, found none at {candidate.code_path}")
    parts = {WEIGHTS: folder.parent / WEIGHTS_FILE, RELEASE: folder.parent / RELEASE_FILE}
    parts[WEIGHTS].write_bytes(candidate.weights)
    parts[RELEASE].write_text(candidate.release.model_dump_json(indent=2), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "no input example", "add type hints": known and meant
        mlflow.pyfunc.save_model(
            folder,
            python_model=str(candidate.code_path),
            artifacts={name: str(path) for name, path in parts.items()},
            signature=signature(),
            input_example=candidate.input_example,
            pip_requirements=list(PIP_REQUIREMENTS),
        )
    for path in parts.values():
        path.unlink()
    (folder / CARD_FILE).write_text(candidate.card, encoding="utf-8")


def signature() -> ModelSignature:
    """What goes in and out, float32, any batch, height and width.

    In `(batch, 2, y, x)`: log1p values, NaN where not measured, and the tissue mask as 0 or 1. Out `(batch, 1, y, x)`: log1p values.
    """
    float32 = np.dtype("float32")
    return ModelSignature(
        inputs=Schema([TensorSpec(float32, (-1, 2, -1, -1), INPUT)]),
        outputs=Schema([TensorSpec(float32, (-1, 1, -1, -1), OUTPUT)]),
    )
