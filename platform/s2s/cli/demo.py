"""`s2s demo`: the whole way once, on synthetic tissue, through the real parts."""

from pathlib import Path
from typing import Annotated

import typer

from s2s.errors import ExistsError

KINDS = ("glands", "layers")
Folder = Annotated[Path, typer.Option("--out", help="Folder for figures, tables and imputed AnnData.")]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the local stack running, to look at MLflow.")]


def demo(out: Folder = Path("demo"), keep: Keep = False) -> None:
    """Start the local stack, make two synthetic tissues, train, register, impute and score each, and stop.

    Everything that a cluster would use is used: sections as Zarr on S3, trainings as Ray tasks, MLflow for runs and
    models. A second call finds its runs finished and only shows them.
    """
    from s2s.contracts.settings import load_settings
    from s2s.stack.local import status

    was_up = any(part.state == "running" for part in status(load_settings().home))
    _step("start the local stack: S3, MLflow, Ray")
    _s2s("stack", "up")
    try:
        _step("make two synthetic tissues and put them, and photographs, into the atlas")
        for kind in KINDS:
            _once("ingest", "synthetic", "--kind", kind)
        _once("ingest", "photographs", "bundled")
        for kind in KINDS:
            _step(f"train on synthetic-{kind} as a Ray task, register its model")
            _s2s("train", str(_job(out, kind)), "--out", str(out / kind))
            _step(f"impute synthetic-{kind} with the registered model")
            model = f"models:/s2s-synthetic-{kind}@champion"
            _s2s("impute", "--model", model, "--section", f"synthetic-{kind}", "--out", str(out / f"{kind}.h5ad"), "--replace")
        _step("the models that are now registered")
        _s2s("models")
        _farewell(out, is_kept=keep or was_up)
    finally:
        if not (keep or was_up):
            _s2s("stack", "down")


JOB = """\
# A run on synthetic tissue, as `s2s demo` makes it. Change a value and train again: s2s train THIS.yaml
kind: run
version: 1
name: demo-{kind}
preset: laptop
section: synthetic-{kind}      # id of an ingested section; a URI or a file works too, see jobs/
photographs: bundled           # pictures that ship with scikit-image and scikit-learn
training: {{max_steps: 150, validate_every: 50}}
resources: {{cpus: 2, memory_gb: 3}}
tracking: {{experiment: demo}}
"""


def _step(text: str) -> None:
    typer.secho(f"\n== {text}", bold=True)


def _s2s(*words: str) -> None:
    from s2s.cli import app

    typer.secho(f"$ s2s {' '.join(words)}", fg=typer.colors.CYAN)
    app(list(words), standalone_mode=False)


def _once(*words: str) -> None:
    try:
        _s2s(*words)
    except ExistsError:
        typer.echo("  already there")


def _job(out: Path, kind: str) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{kind}.yaml"
    path.write_text(JOB.format(kind=kind), encoding="utf-8")
    return path


def _farewell(out: Path, *, is_kept: bool) -> None:
    from s2s.contracts.settings import load_settings

    where = f"open {load_settings().mlflow_uri}" if is_kept else "s2s stack up, then open the MLflow address it prints"
    typer.secho("\nDone.", bold=True)
    typer.echo(f"  figures  {out}/glands/section.png, {out}/layers/section.png")
    typer.echo(f"  AnnData  {out}/glands.h5ad, {out}/layers.h5ad   (import scanpy; scanpy.read_h5ad(...))")
    typer.echo(f"  viewers  s2s export spatialdata {out}/glands.h5ad --out glands.zarr   (napari, Vitessce)")
    typer.echo(f"  MLflow   {where}")
    typer.echo("  next     README.md: your own section in five commands")
