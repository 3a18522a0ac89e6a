"""What of the code a cell's result depends on, as a hash: a change of it makes new cells, whatever the version says.

Decision: whole folders are hashed as syntax trees, so that comments, documentation and layout change nothing, at the price that
a change of one baseline also makes the cells of the others anew; a stale cell beside fresh ones would be worse.
"""

import ast
import hashlib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

SHARED = (
    "lattice",
    "streaming/sections.py",
    "storage/sections.py",
    "kriging",
    "evaluation/metrics.py",
    "evaluation/protocol.py",
    "recipes/methods.py",
)
BASELINES = (*SHARED, "evaluation/baselines")
NETWORKS = (*SHARED, "streaming", "network", "training", "imputation", "recipes/fitting.py", "recipes/learning.py", "recipes/per_gene.py")


@cache
def code_fingerprint(*, is_network: bool) -> str:
    """Hash the code that makes the result of a baseline, or of a network.

    Reads:
        The package's own source files.
    """
    root = resources.files("s2s")
    sources = [source for place in (NETWORKS if is_network else BASELINES) for source in _sources(root.joinpath(place))]
    return hashlib.sha256("\n".join(meaning(source) for source in sources).encode()).hexdigest()


def meaning(source: str) -> str:
    """Render a module's syntax tree without its docstrings: the same for any two modules that do the same in the same words."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def _sources(place: Traversable) -> list[str]:
    if place.is_file():
        return [place.read_text(encoding="utf-8")]
    inside = sorted(place.iterdir(), key=lambda item: item.name)
    return [source for item in inside if item.is_dir() or item.name.endswith(".py") for source in _sources(item)]
