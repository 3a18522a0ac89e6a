"""How a YAML and its `--set` overrides become a validated document; the messages are written for the one who wrote the YAML."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from s2s.contracts.run import RunConfig
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
        `path`, and the preset that it or an override names.
    """
    tree = merge(read_yaml(path), parse_overrides(overrides))
    preset = tree.get("preset")
    if isinstance(preset, str):
        tree = merge(read_preset(preset), tree)
    return validate(RunConfig, tree, where=str(path))


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
    """Lay `over` on `under`: mappings are merged key by key, everything else is replaced."""
    merged = dict(under)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def validate(model: type[M], tree: Mapping[str, Any], *, where: str) -> M:
    """Validate a mapping as a document and say every fault in one message.

    Raises:
        ConfigError: one line per fault: key, what was expected, what came; for an unknown key the nearest valid one.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        lines = [_fault(model, dict(item)) for item in error.errors(include_url=False)]
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
    return f"{where}: {item['msg']}, got {item['input']!r:.200}"


def _walk(model: type[BaseModel], path: list[str]) -> tuple[type[BaseModel] | None, list[str]]:
    here: type[BaseModel] | None = model
    keys: list[str] = []
    for part in path:
        if here is not None and part in here.model_fields:
            keys.append(part)
            here = _model_in(here.model_fields[part].annotation)
        elif part.isdigit():
            keys.append(part)
    return here, keys


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, Annotated) or get_args(annotation):
        return next((found for arg in get_args(annotation) if (found := _model_in(arg))), None)
    return None


def _nearest(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""
