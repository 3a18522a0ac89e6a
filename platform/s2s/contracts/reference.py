"""The reference in `jobs/README.md`, written from the contracts: `make schemas` writes it, a test fails on drift.

It reads the same JSON Schemas that stand under `schemas/`, so what a table says is what validation checks. Descriptions are
not repeated here: a field without one is a fault of its contract.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2s.contracts.run import RunConfig
from s2s.contracts.settings import Settings

Node = dict[str, Any]
"""A piece of a JSON Schema, as pydantic renders it."""

INTRODUCTION = """\
<!-- Written by `make schemas` from platform/s2s/contracts/reference.py; edit there. -->
# Jobs: what to run

One YAML is one run: one section, one network, one candidate for its tissue's model. It holds no logic.

```bash
s2s train jobs/breast_xenium.yaml                                  # on the stack: Ray, S3, MLflow
s2s train jobs/breast_xenium.yaml --local                          # no server: files, SQLite, this process
s2s train jobs/breast_xenium.yaml --set training.max_minutes=2 --set genes.limit=20
```

A YAML starts from its preset (`presets/laptop.yaml`, `presets/paper.yaml`), overrides what it needs, and `--set` overrides the YAML;
the value after `=` is read as YAML. An unknown key is an error that names the nearest valid one. The resolved configuration is stored
with the result and in MLflow.

The smallest run:

```yaml
kind: run
version: 1
name: my-first-run
preset: laptop
section: my-section        # an id that `s2s ingest section` stored, a URI, or a file with how to read it
```
"""

SETTINGS = """\
## Settings

Where the servers are and who we are to them. They come from the environment, then from `$S2S_HOME/stack.env`, which `s2s stack up`
writes; `s2s stack env` prints them. No YAML holds a secret.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table: a key of the YAML or an environment variable.

    Attributes:
        key: Dotted key or variable.
        accepts: Type and range in words.
        default: What holds when it is absent; `required` where nothing does.
        description: The field's own words; empty where its contract has none.
    """

    key: str
    accepts: str
    default: str
    description: str


def run_rows() -> list[Row]:
    """Describe every field that a run's YAML can hold, with dotted keys, in the order of the contract."""
    schema = RunConfig.model_json_schema()
    return list(_walk(schema, schema.get("$defs", {}), ""))


def settings_rows() -> list[Row]:
    """Describe every setting, by the name of its environment variable."""
    rows = []
    for name, node in Settings.model_json_schema(by_alias=True)["properties"].items():
        default = "`~/.s2s`" if name == "S2S_HOME" else _default(node, is_required=False)
        rows.append(Row(key=name, accepts=_accepts(node), default=default, description=node.get("description", "")))
    return rows


def reference_text() -> str:
    """Render `jobs/README.md`, with a final newline."""
    return "\n".join(
        [INTRODUCTION, "## Every key of a run", "", *_table("key", run_rows()), "", SETTINGS, *_table("variable", settings_rows()), ""]
    )


def _walk(node: Node, definitions: dict[str, Node], prefix: str) -> Iterator[Row]:
    required = node.get("required", [])
    for name, field in node["properties"].items():
        key = f"{prefix}{name}"
        part = _part_of(field, definitions)
        if part is None or "anyOf" in field:
            text = field.get("description", "always this" if "const" in field else "")
            yield Row(key=key, accepts=_accepts(field), default=_default(field, is_required=name in required), description=text)
        if part is not None:
            yield from _walk(part, definitions, f"{key}.")


def _part_of(field: Node, definitions: dict[str, Node]) -> Node | None:
    for choice in field.get("anyOf", [field]):
        if "$ref" in choice:
            return definitions[choice["$ref"].rsplit("/", 1)[1]]
    return None


def _accepts(node: Node) -> str:
    if "anyOf" in node:
        return " or ".join(_accepts(choice) for choice in node["anyOf"])
    if "$ref" in node:
        return "the keys below"
    if "enum" in node or "const" in node:
        return ", ".join(f"`{value}`" for value in node.get("enum", [node.get("const")]))
    if node["type"] == "array":
        items = node.get("prefixItems")
        return f"[{', '.join(_accepts(item) for item in items)}]" if items else f"list of {_accepts(node['items'])}"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}
    return " ".join([words[node["type"]], " and ".join(_bounds(node))]).strip()


def _bounds(node: Node) -> Iterator[str]:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<", "multipleOf": "multiple of"}
    yield from (f"{sign} {node[key]}" for key, sign in signs.items() if key in node)


def _default(node: Node, *, is_required: bool) -> str:
    return "required" if is_required else f"`{json.dumps(node.get('default'))}`"


def _table(head: str, rows: list[Row]) -> list[str]:
    lines = [f"| {head} | accepts | default | meaning |", "| --- | --- | --- | --- |"]
    return lines + [f"| `{row.key}` | {row.accepts} | {row.default} | {row.description.replace('|', '/')} |" for row in rows]


def write_reference(path: Path) -> None:
    """Write the reference.

    Writes:
        `path`.
    """
    path.write_text(reference_text(), encoding="utf-8")


if __name__ == "__main__":
    write_reference(Path("jobs/README.md"))
