"""How a network is trained: on one device, or by workers that share the work, and how much of the state they share; and why."""

from collections.abc import Iterator

from s2s.contracts.run import RunConfig
from s2s.contracts.sharding import STAGES, MemoryEstimate, MemoryPlan, Strategy
from s2s.errors import ConfigError
from s2s.recipes.run import Progress
from s2s.training.memory import LIBRARIES_BYTES, Shape, estimate, measure_shape
from s2s.training.step import PASS_BINS

SHARED: tuple[Strategy, ...] = tuple(STAGES)
"""In the order in which they are considered: each shares more, and says more over the wire."""

MOST_WORKERS = 64
"""That are considered where the run does not say how many."""


def plan_run(config: RunConfig, *, is_local: bool = False) -> MemoryPlan:
    """Choose how to train: the fewest workers, then no activation checkpointing, then the least shared, of what fits.

    Args:
        config: Resolved; what its `sharding` says is not chosen.
        is_local: Only this process is there.

    Raises:
        ConfigError: several workers are asked for where there is one process.
    """
    if is_local and ((config.sharding.workers or 1) > 1 or config.sharding.strategy in SHARED):
        raise ConfigError(
            f"expected one worker with --local, got sharding.workers {config.sharding.workers}, strategy {config.sharding.strategy}: "
            "workers are started by Ray. Leave --local out (`s2s stack up` starts a cluster), or set workers to 1 and strategy to single"
        )
    on_gpu = config.resources.gpus > 0
    deepspeed = config.sharding.deepspeed
    if deepspeed is not None and deepspeed.zero_optimization.offload_optimizer is not None and not on_gpu:
        raise ConfigError(
            "expected resources.gpus above 0 with offload_optimizer in sharding.deepspeed, got 0: without a GPU Adam's state is in main "
            "memory already; leave offload_optimizer out"
        )
    pass_bins = config.training.pass_bins or PASS_BINS["cuda" if on_gpu else "cpu"]
    shape = measure_shape(config.network, config.training.precision)
    budget = int(1e9 * (config.resources.gpu_memory_gb * min(1.0, config.resources.gpus) if on_gpu else config.resources.memory_gb))
    ways = tuple(_options(config, shape, pass_bins, is_local=is_local))
    fitting = [way for way in ways if way.total <= budget - LIBRARIES_BYTES]
    # Where nothing fits, estimates may still be too high: the fewest workers try.
    chosen = fitting[0] if fitting else min((way for way in ways if way.workers == ways[0].workers), key=lambda way: way.total)
    return MemoryPlan(
        num_parameters=shape.num_parameters,
        pass_bins=pass_bins,
        budget=budget,
        of="graphics memory" if on_gpu else "main memory",
        options=ways,
        chosen=chosen,
        reason=_reason(chosen, ways, budget, is_asked=config.sharding.strategy is not None, fits=bool(fitting)),
    )


def trainings_at_once(config: RunConfig) -> int:
    """How many networks of genes, or packs of them, a run trains at once: one per core, of what fits into its memory.

    Args:
        config: Of scheme `per_gene`; on a GPU, and where a trace is made, one.
    """
    if config.resources.gpus > 0 or config.profile:
        return 1
    plan = plan_run(config, is_local=True)
    return max(1, min(int(config.resources.cpus), (plan.budget - LIBRARIES_BYTES) // plan.chosen.total))


def announce(plan: MemoryPlan, on_progress: Progress) -> None:
    """Say what was chosen and why, where it is not what everybody expects: one device that keeps everything."""
    chosen = plan.chosen
    if chosen.strategy != "single" or chosen.recompute:
        workers = f"{chosen.workers} worker{'s' if chosen.workers > 1 else ''}"
        on_progress(f"plan: {workers}, {chosen.strategy}{', recompute' if chosen.recompute else ''}", 1, 1, plan.reason)


def _options(config: RunConfig, shape: Shape, pass_bins: int, *, is_local: bool) -> Iterator[MemoryEstimate]:
    asked = config.sharding
    for workers in _numbers_of_workers(config, is_local=is_local):
        strategies: tuple[Strategy, ...] = (asked.strategy,) if asked.strategy else ("single",) if workers == 1 else SHARED
        for recompute in (False, True) if asked.recompute is None else (asked.recompute,):
            for strategy in strategies:
                least = asked.min_workers or workers  # in the smallest group each holds the most
                found = estimate(shape, strategy, least, recompute=recompute, bins=_bins_of_a_pass(config, pass_bins, least))
                yield found.model_copy(update={"workers": workers})


def _numbers_of_workers(config: RunConfig, *, is_local: bool) -> list[int]:
    asked = config.sharding
    if asked.workers is not None or asked.strategy == "single" or is_local or config.training.scheme == "per_gene":
        return [asked.workers or 1]
    least = 1 if asked.strategy is None else 2
    numbers = [2**power for power in range(MOST_WORKERS.bit_length()) if least <= 2**power <= config.training.batch]
    return numbers or [1]


def _bins_of_a_pass(config: RunConfig, pass_bins: int, workers: int) -> int:
    """Of the largest pass on one worker: all windows of all terms at most; networks of several genes fill what that of one does not."""
    if config.training.scheme == "per_gene":
        return pass_bins
    terms = sum(weight > 0 for weight in config.training.weights.model_dump().values())
    return min(pass_bins, int(config.training.batch * config.training.window**2 * terms) // workers)


def _reason(chosen: MemoryEstimate, options: tuple[MemoryEstimate, ...], budget: int, *, is_asked: bool, fits: bool) -> str:
    words = f"{chosen.total / 1e9:.1f} GB beside {LIBRARIES_BYTES / 1e9:.1f} of the libraries"
    limit = f"{budget / 1e9:.1f} GB"
    if not fits:
        return f"nothing fits into {limit}: this takes {words}; lower training.pass_bins, or give each worker more memory"
    if is_asked:
        return f"asked for; {words} fit into {limit}"
    before = options[: options.index(chosen)]
    if not before:
        return f"{words} fit into {limit}, and nothing is simpler"
    return f"{words} fit into {limit}; what is simpler takes {min(option.total for option in before) / 1e9:.1f} GB or more"
