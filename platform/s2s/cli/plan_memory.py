"""`s2s plan-memory`: what a network takes to train, on one worker or on several, before anything is trained."""

from typing import TYPE_CHECKING

import typer

from s2s.cli.options import Job, Json, Local, Set

if TYPE_CHECKING:
    from s2s.contracts.sharding import MemoryPlan

HEAD = ("workers", "strategy", "recompute", "weights", "gradients", "moments", "best", "buffers", "activations", "total")


def plan_memory(job: Job, set_: Set = None, local: Local = False, json_: Json = False) -> None:
    """Estimate the memory of a training, and say how `s2s train` would share it among workers.

    Nothing is read but the YAML, and nothing is trained. `sharding` in the YAML overrules what is chosen.

    Example: `s2s plan-memory jobs/large_cascade.yaml --set sharding.workers=8`
    """
    from s2s.contracts.loading import load_run_config
    from s2s.recipes.planning import plan_run

    plan = plan_run(load_run_config(job, set_ or ()), is_local=local)
    typer.echo(plan.model_dump_json() if json_ else _words(plan))


def _words(plan: "MemoryPlan") -> str:
    shown = [option for option in plan.options if option.workers <= plan.chosen.workers]
    rows = [
        (
            str(option.workers), option.strategy, "yes" if option.recompute else "no",
            *(f"{size / 1e9:.2f}" for size in (
                option.weights, option.gradients, option.moments, option.best_weights, option.buffers, option.activations, option.total
            )),
        )
        for option in shown
    ]  # fmt: skip
    widths = [max(len(row[column]) for row in (HEAD, *rows)) for column in range(len(HEAD))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (HEAD, *rows)]
    marks = ["  ", *("> " if option == plan.chosen else "  " for option in shown)]
    return "\n".join(
        [
            f"{plan.num_parameters:,} parameters, {plan.pass_bins:,} bins in a pass; GB of {plan.of}, {plan.budget / 1e9:.1f} per worker",
            "",
            *(mark + line for mark, line in zip(marks, lines, strict=True)),
            "",
            f"{plan.chosen.strategy}, {plan.chosen.workers} worker{'s' if plan.chosen.workers > 1 else ''}: {plan.reason}",
        ]
    )
