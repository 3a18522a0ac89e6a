"""The reference in `jobs/README.md`, written from the contracts: `make schemas` writes it, a test fails on drift.

It reads the same JSON Schemas that stand under `schemas/`, so what a table says is what validation checks. Descriptions are
not repeated here: a field without one is a fault of its contract.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from s2s.contracts.atlas import AtlasConfig
from s2s.contracts.benchmark import BenchmarkConfig
from s2s.contracts.run import RunConfig
from s2s.contracts.settings import Settings

Node = dict[str, Any]
"""A piece of a JSON Schema, as pydantic renders it."""

INTRODUCTION = """\
<!-- Written by `make schemas` from platform/s2s/contracts/reference.py; edit there. -->
# Jobs: what to run

One YAML is one run (one section, one network, one candidate for its tissue's model), one atlas (many sections, one way to train) or
one benchmark (many sections and methods, one table). It holds no logic.

```bash
s2s train jobs/breast_xenium.yaml                                  # on the stack: Ray, S3, MLflow
s2s train jobs/breast_xenium.yaml --local                          # no server: files, SQLite, this process
s2s train jobs/breast_xenium.yaml --set training.max_minutes=2 --set genes.limit=20
s2s plan-memory jobs/large_cascade.yaml                            # what a deep cascade takes, and how workers would share it
s2s atlas run jobs/atlas_demo.yaml                                 # twelve synthetic sections on the stack
s2s benchmark jobs/benchmark_small.yaml --local                    # a minute: a synthetic section, five methods
s2s benchmark jobs/benchmark.yaml                                  # the table of the main README
```

A YAML starts from its preset (`presets/laptop.yaml`, `atlas.yaml`, `paper.yaml`, `large.yaml`), overrides what it needs, and `--set`
overrides the YAML; the value after `=` is read as YAML. An unknown key is an error that names the nearest valid one. The resolved
configuration is stored with the result and in MLflow.

The smallest run:

```yaml
kind: run
version: 1
name: my-first-run
preset: laptop
section: my-section        # an id that `s2s ingest section` stored, a URI, or a file with how to read it
```
"""

BENCHMARK = """\
## Benchmarks

A benchmark compares methods on fully measured sections: every section is sampled at every phase, every method imputes it, and what is
held out judges all of them alike. A cell is one method on one phase of one section with one seed; it runs in a process of its own
(a Ray task, or with `--local` one after another on this machine) and is stored under a hash of code, method, sampling and data.
So the same command resumes after any interruption, two benchmarks share the cells they have in common, and `--again` forgets them.

```yaml
kind: benchmark
version: 1
name: my-first-benchmark
sections:
  - section: breast-1                                      # an id of the atlas, a URI, or a file with how to read it
  - section: {kind: glands, id: synthetic-a, height: 48}   # or synthetic tissue, made on first use
    genes: {limit: 50}
methods:
  - nearest                                                # a baseline by its name: zero, median, mean, nearest, bilinear, ...
  - svd_gaussian
  - {name: ours, preset: laptop}                           # a network: a label, a preset, and what is different
  - {name: one cascade, preset: laptop, set: {network: {cascades: 1}}}
```

`--set` reaches into lists by number: `--set sections.0.section.file=/where/it/lies`, `--set methods.2.set.training.max_steps=200`.
Into `out/NAME/` come `table.md`, `table.parquet` (a line per row), `cells.parquet` (a line per cell), `report.json`, and the figures
`accuracy_cost.png`, `genes.png` and `moran.png` (gene by gene, beside the best rival), `distance.png`, and `coverage.png` where a
method gives intervals. A method that cannot work on a section has a dash and a note, and stops no other. Peak memory is that of
the cell's whole process, the interpreter and its libraries included. Seconds are comparable where cells do not share cores: with
`--local`, or on a cluster whose nodes run one cell each.

### Every key of a benchmark

N stands for a place in a list, from 0.
"""

ATLAS = """\
## Atlases

An atlas trains on many sections in one way. A run of it is the run that `s2s train` would do on the same section: same key, same
result. Every run is done once (`infra/ledger.md` says how), so the same command goes on after any interruption, and two of them
share the work.

```yaml
kind: atlas
version: 1
name: my-first-atlas
query: {tissue: [breast], licence: [CC BY]}      # every ingested section that fits; or beside it:
sections: [breast-1, s3://elsewhere/sections/x]  # ids and URIs, files with how to read them, synthetic ones
preset: laptop
set: {training: {max_steps: 60}}                 # what is different from the preset
budget_usd: 20
```

```bash
s2s atlas plan jobs/atlas_demo.yaml              # what would run, what is done, what the rest takes
s2s atlas run jobs/atlas_demo.yaml --pilot       # three runs, to learn hours and money
s2s atlas run jobs/atlas_demo.yaml               # the rest; stop it, kill it, run it again
s2s atlas status demo                            # from any machine
s2s atlas retry demo --cause out-of-memory       # once what failed is mended
```

Into `out/NAME/` come `map.png` and `map.html` (section x stage, with the reason of every hole) and `status.json`. A failure is tried
again by its cause: a worker that was lost at once, S3 that refused after a pause, memory that was short with twice as much, bad
input and a diverged training never, a machine that was taken back without being counted. `run` ends with code 1 where runs were given up.

### Every key of an atlas
"""

SETTINGS = """\
## Settings

Where the servers are and who we are to them. They come from the environment, then from `$S2S_HOME/stack.env`, which `s2s stack up`
writes; `s2s stack env` prints them. No YAML holds a secret.
"""


OF_A_RUN = {"SectionSource": "section", "GeneConfig": "genes", "Resources": "resources"}
"""Parts of a benchmark that are described as parts of a run, and the key they have there."""


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


def benchmark_rows() -> list[Row]:
    """Describe every field that a benchmark's YAML can hold; parts that a run has too are referred to, not repeated."""
    schema = BenchmarkConfig.model_json_schema()
    return list(_walk(schema, schema.get("$defs", {}), "", OF_A_RUN))


def atlas_rows() -> list[Row]:
    """Describe every field that an atlas's YAML can hold; parts that a run has too are referred to, not repeated."""
    schema = AtlasConfig.model_json_schema()
    return list(_walk(schema, schema.get("$defs", {}), "", OF_A_RUN))


def settings_rows() -> list[Row]:
    """Describe every setting, by the name of its environment variable."""
    rows = []
    for name, node in Settings.model_json_schema(by_alias=True)["properties"].items():
        default = "`~/.s2s`" if name == "S2S_HOME" else _default(node, is_required=False)
        rows.append(Row(key=name, accepts=_accepts(node), default=default, description=node.get("description", "")))
    return rows


def reference_text() -> str:
    """Render `jobs/README.md`, with a final newline."""
    parts = [INTRODUCTION, "## Every key of a run", "", *_table("key", run_rows()), "", BENCHMARK, *_table("key", benchmark_rows()), ""]
    parts += [ATLAS, *_table("key", atlas_rows()), ""]
    return "\n".join([*parts, SETTINGS, *_table("variable", settings_rows()), ""])


def _walk(node: Node, definitions: dict[str, Node], prefix: str, known: Mapping[str, str] = MappingProxyType({})) -> Iterator[Row]:
    required = node.get("required", [])
    for name, field in node["properties"].items():
        key = f"{prefix}{name}"
        parts = [part for part in _parts_of(field) if part not in known]
        if not parts or not _is_part(field):
            text = field.get("description", "always this" if "const" in field else "")
            yield Row(key=key, accepts=_accepts(field, known), default=_default(field, is_required=name in required), description=text)
        below = f"{key}.N." if "items" in field else f"{key}."
        for part in parts:
            yield from _walk(definitions[part], definitions, below, known)


def _is_part(field: Node) -> bool:
    return "$ref" in field


def _parts_of(field: Node) -> list[str]:
    """Names of the parts that a field is made of, alone, as one of several types, or in a list."""
    if "$ref" in field:
        return [field["$ref"].rsplit("/", 1)[1]]
    choices = [*field.get("anyOf", []), *field.get("oneOf", []), *([field["items"]] if "items" in field else [])]
    return [part for choice in choices for part in _parts_of(choice)]


def _accepts(node: Node, known: Mapping[str, str] = MappingProxyType({})) -> str:
    if choices := node.get("anyOf") or node.get("oneOf"):
        return " or ".join(dict.fromkeys(_accepts(choice, known) for choice in choices))
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[1]
        return f"the keys of a run's `{known[name]}`" if name in known else "the keys below"
    if "enum" in node or "const" in node:
        return ", ".join(f"`{value}`" for value in node.get("enum", [node.get("const")]))
    if node["type"] == "array":
        items = node.get("prefixItems")
        return f"[{', '.join(_accepts(item) for item in items)}]" if items else f"list of {_accepts(node['items'], known)}"
    words = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "null": "null",
        "object": "mapping",
    }
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
