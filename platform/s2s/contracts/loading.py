"""How a YAML and its `--set` overrides become a validated document; the messages are written for the one who wrote the YAML."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from s2s.contracts.atlas import AtlasConfig
from s2s.contracts.benchmark import BenchmarkCell, BenchmarkConfig, NetworkMethod
from s2s.contracts.run import GeneConfig, RunConfig
from s2s.contracts.service import ServiceConfig
from s2s.contracts.sharding import DeepSpeedConfig, Strategy
from s2s.errors import ConfigError, MissingError

MAX_YAML_BYTES = 1_000_000
Tree = dict[str, Any]
M = TypeVar("M", bound=BaseModel)


def load_run_config(path: Path, overrides: Iterable[str] = ()) -> RunConfig:
    """Resolve a run's YAML: preset first, then the file, then `a.b=value` overrides in order.

    Args:
        path: The YAML file.
        overrides: Each `dotted.key=value`; the value is read as YAML.

    Raises:
        MissingError: no such file or preset.
        ConfigError: not YAML, an unknown key (the nearest valid one is named) or a value out of range.

    Reads:
        `path`, the preset that it or an override names, and the file that `sharding.deepspeed` names, relative to `path`.
    """
    tree = merge(read_yaml(path), parse_overrides(overrides))
    preset = tree.get("preset")
    if isinstance(preset, str):
        tree = merge(read_preset(preset), tree)
    return validate(RunConfig, _with_deepspeed(tree, path.parent), where=str(path))


def load_service_config(path: Path | None, overrides: Iterable[str] = ()) -> ServiceConfig:
    """Resolve the service's YAML: the file, where there is one, then `a.b=value` overrides in order.

    Raises:
        MissingError: no such file.
        ConfigError: not YAML, an unknown key (the nearest valid one is named) or a value out of range.
    """
    tree = {"kind": "service", "version": 1} if path is None else read_yaml(path)
    return validate(ServiceConfig, merge(tree, parse_overrides(overrides)), where="the service's settings" if path is None else str(path))


def _with_deepspeed(tree: Tree, folder: Path) -> Tree:
    """Read the file that `sharding.deepspeed` names, which also says the strategy."""
    sharding = tree.get("sharding")
    if not isinstance(sharding, dict) or not isinstance(sharding.get("deepspeed"), str):
        return tree
    path = folder / sharding["deepspeed"]
    options = validate(DeepSpeedConfig, read_yaml(path), where=str(path))
    return merge(tree, {"sharding": {"deepspeed": options.model_dump(), "strategy": sharding.get("strategy") or options.strategy}})


FILLED_IN_BY_ATLAS = ("kind", "version", "name", "preset", "section", "seed", "resources", "sharding", "tracking")
"""Keys of a run that an atlas fills in itself."""

VARIED = ("kind", "version", "name", "preset", "section", "genes", "seed", "sharding", "tracking", "sampling.phase")
"""Keys of a run that a benchmark fills in itself."""


def load_benchmark_config(path: Path, overrides: Iterable[str] = ()) -> BenchmarkConfig:
    """Resolve a benchmark's YAML: the file, then `a.b=value` overrides in order; `sections.0.genes.limit=20` reaches into lists.

    Args:
        path: The YAML file.
        overrides: Each `dotted.key=value`; the value is read as YAML.

    Raises:
        MissingError: no such file, or a method's preset is not there.
        ConfigError: not YAML, an unknown key (the nearest valid one is named) or a value out of range, in the benchmark
            or in what a network's preset and overrides add up to.

    Reads:
        `path`, and the presets that its networks name.
    """
    config = validate(BenchmarkConfig, merge(read_yaml(path), parse_overrides(overrides)), where=str(path))
    for method in config.methods:
        if isinstance(method, NetworkMethod):
            check_network(method, where=str(path))
    return config


def load_atlas_config(path: Path, overrides: Iterable[str] = ()) -> AtlasConfig:
    """Resolve an atlas's YAML: the file, then `a.b=value` overrides in order.

    Args:
        path: The YAML file.
        overrides: Each `dotted.key=value`; the value is read as YAML.

    Raises:
        MissingError: no such file or preset.
        ConfigError: not YAML, an unknown key (the nearest valid one is named) or a value out of range, in the atlas or in what
            its preset and `set` add up to.

    Reads:
        `path`, and the preset that it names.
    """
    config = validate(AtlasConfig, merge(read_yaml(path), parse_overrides(overrides)), where=str(path))
    _refuse_filled_in(config.set, FILLED_IN_BY_ATLAS, f"the set of {path}", "atlas")
    atlas_run_config(config, "any", 0)
    return config


def atlas_run_config(config: AtlasConfig, section: str, seed: int) -> RunConfig:
    """Resolve one run of an atlas: preset, `set`, then section and seed.

    Raises:
        MissingError: no such preset.
        ConfigError: an unknown key or a value out of range.
    """
    tree: Tree = {} if config.preset is None else read_preset(config.preset)
    name = section.rstrip("/").rpartition("/")[2]
    given: Tree = {
        "kind": "run",
        "version": 1,
        "name": name if config.seeds == (0,) else f"{name}-seed{seed}",
        "preset": config.preset,
        "section": section,
        "seed": seed,
        "resources": config.resources.model_dump(),
        "tracking": {"experiment": config.tracking.experiment},
    }
    return validate(RunConfig, merge(merge(tree, config.set), given), where=f"the runs of atlas {config.name!r}")


def check_network(method: NetworkMethod, *, where: str) -> None:
    """Refuse a network that could not be run, before any work is done.

    Raises:
        MissingError: no such preset.
        ConfigError: a key that is unknown, out of range, or filled in by the benchmark.
    """
    _refuse_filled_in(method.set, VARIED, f"the set of method {method.name!r} of {where}", "benchmark")
    network_run(method, BenchmarkCell(key="0" * 16, section="any", genes=GeneConfig(), phase=(0, 0), seed=0, method=method.name))


def _refuse_filled_in(tree: Mapping[str, Any], keys: Iterable[str], where: str, who: str) -> None:
    for key in keys:
        head, _, rest = key.partition(".")
        if head in tree and (not rest or rest in (tree[head] or ())):
            raise ConfigError(
                f"expected in {where} only what makes its runs different, got {key}, which the {who} fills in; say it beside the set"
            )


def network_run(method: NetworkMethod, cell: BenchmarkCell) -> RunConfig:
    """Resolve the run that a network is in one cell of a benchmark: preset, its overrides, then what the cell says.

    Raises:
        MissingError: no such preset.
        ConfigError: an unknown key or a value out of range.
    """
    tree: Tree = {} if method.preset is None else read_preset(method.preset)
    given: Tree = {
        "kind": "run",
        "version": 1,
        "name": "benchmark",
        "preset": method.preset,
        "section": cell.section,
        "genes": cell.genes.model_dump(),
        "sampling": {"phase": cell.phase},
        "seed": cell.seed,
        "tracking": {"register_model": False},
    }
    resources = {"resources": cell.resources.model_dump()}
    return validate(RunConfig, merge(merge(merge(tree, resources), method.set), given), where=f"method {method.name!r}")


def read_yaml(path: Path) -> Tree:
    """Read one YAML mapping with the safe loader.

    Raises:
        MissingError: no such file.
        ConfigError: too large, not YAML, or not a mapping.
    """
    if not path.is_file():
        raise MissingError(f"expected a YAML file, found none at {path}; see jobs/ for examples")
    if path.stat().st_size > MAX_YAML_BYTES:
        raise ConfigError(f"expected a YAML of at most {MAX_YAML_BYTES} bytes, {path} has {path.stat().st_size}; is it the right file?")
    try:
        return _mapping(path.read_text(encoding="utf-8"), where=str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"expected text in UTF-8 in {path}, got byte {error.object[error.start]:#x} at {error.start}; is it the right file?"
        ) from None


def read_preset(name: str) -> Tree:
    """Read a preset that ships with the package.

    Raises:
        MissingError: no such preset; the message lists those there are.
    """
    folder = resources.files("s2s.contracts") / "presets"
    known = sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))
    if name not in known:
        raise MissingError(f"expected one of the presets {', '.join(known)}, got {name!r}{_nearest(name, known)}")
    return _mapping((folder / f"{name}.yaml").read_text(encoding="utf-8"), where=f"preset {name}")


def read_deepspeed(strategy: Strategy) -> DeepSpeedConfig:
    """Read the options of DeepSpeed that ship with the package for a strategy."""
    file = resources.files("s2s.contracts") / "deepspeed" / f"{strategy}.yaml"
    return DeepSpeedConfig.model_validate(_mapping(file.read_text(encoding="utf-8"), where=f"options of {strategy}"))


def parse_overrides(overrides: Iterable[str]) -> Tree:
    """Turn `a.b=value` strings into a nested mapping.

    Raises:
        ConfigError: no `=`, an empty key, or a value that is not YAML.
    """
    tree: Tree = {}
    for item in overrides:
        key, equals, text = item.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise ConfigError(f"expected --set a.b=value, got --set {item}")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"expected a YAML value in --set {item}, got {text!r}") from None
        for part in reversed(parts):
            value = {part: value}
        tree = merge(tree, value)
    return tree


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """Lay `over` on `under`: mappings are merged key by key, everything else is replaced.

    A mapping of numbers laid on a list is merged item by item: `{"0": {"a": 1}}` reaches into its first item.
    """
    merged = dict(under)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, list) and isinstance(value, Mapping) and _are_places(value, len(old)):
            items = merge({str(place): item for place, item in enumerate(old)}, value)
            merged[key] = list(items.values())
        else:
            merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _are_places(keys: Mapping[str, Any], length: int) -> bool:
    return bool(keys) and all(key.isdecimal() and str(int(key)) == key and int(key) < length for key in keys)


def validate(model: type[M], tree: Mapping[str, Any], *, where: str) -> M:
    """Validate a mapping as a document and say every fault in one message.

    Raises:
        ConfigError: one line per fault: key, what was expected, what came; for an unknown key the nearest valid one.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        # pydantic also calls a list too short whose only items are faulty.
        faults = [item for item in error.errors(include_url=False) if item["type"] != "too_short" or not item["input"]]
        lines = [_fault(model, dict(item)) for item in faults]
        raise ConfigError(f"{where} is not a valid {model.__name__}:\n  " + "\n  ".join(lines)) from None


def _mapping(text: str, *, where: str) -> Tree:
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"expected YAML in {where}{line}: {getattr(error, 'problem', error)}") from None
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise ConfigError(f"expected a mapping of keys to values in {where}, got {type(tree).__name__}")
    return tree


def _fault(model: type[BaseModel], item: Tree) -> str:
    # A field that is one of several types reports the type's name as a step of its path; it is no key of the YAML.
    path = [str(part) for part in item["loc"]]
    parent, keys = _walk(model, path[:-1])
    where = ".".join([*keys, path[-1]]) if path else model.__name__
    if item["type"] == "extra_forbidden":
        known = sorted(parent.model_fields) if parent else []
        return f"{where}: no such key{_nearest(path[-1], known)}; valid keys: {', '.join(known)}"
    if item["type"] == "missing":
        return f"{where}: expected, but missing"
    if item["type"] == "value_error":  # ours: it says itself what came
        return f"{where}: {item['msg'].removeprefix('Value error, ')}"
    return f"{where}: {item['msg']}, got {item['input']!r:.200}"


def _walk(model: type[BaseModel], path: list[str]) -> tuple[type[BaseModel] | None, list[str]]:
    here: type[BaseModel] | None = model
    choices: list[type[BaseModel]] = []
    keys: list[str] = []
    for part in path:
        if here is not None and part in here.model_fields:
            keys.append(part)
            choices = list(_models_in(here.model_fields[part].annotation))
            here = choices[0] if choices else None
        elif part.isdigit():
            keys.append(part)
        else:
            here = next((choice for choice in choices if choice.__name__ == part), here)
    return here, keys


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _nearest(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""
