"""The rules of the house, as tests: what may stand where, how large it may grow, and what must be documented."""

import ast
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import typer.main

from s2s.contracts.reference import benchmark_rows, reference_text, run_rows, settings_rows

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "platform" / "s2s"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("torch", "ray", "mlflow", "zarr", "anndata", "pandas", "scipy", "boto3", "s3fs", "obstore", "matplotlib", "skimage", "sklearn",
         "spatialdata")  # fmt: skip

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_NESTING = 3
MAX_PARAMETERS = 5
MAX_STORY_LINES = 120

Function = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def each_module() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", [pytest.param(path, id=name_of(path)) for path in MODULES])


def functions_of(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def nesting(node: ast.AST, depth: int = 0) -> int:
    """Deepest level of blocks below a node; `elif` is no deeper than its `if`, a nested function starts anew."""
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.Lambda):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, nesting(child, depth + (isinstance(child, BLOCKS) and not is_elif)))
    return deepest


def code_lines(function: Function) -> int:
    """Lines of a function without its docstring: to say more must never cost code."""
    spoken = function.body[0] if ast.get_docstring(function) is not None else None
    return span(function) - (span(spoken) if spoken else 0)


def span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def parameters(function: Function) -> int:
    arguments = function.args
    names = [item.arg for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def oversized(source: str, *, is_door: bool = False) -> list[str]:
    """Name everything in a module that is larger than the house allows; the door's parameters are the options of its verbs."""
    faults = [f"module has {lines} lines"] if (lines := len(source.splitlines())) > MAX_FILE_LINES else []
    for function in functions_of(ast.parse(source)):
        faults += [f"{function.name} has {lines} lines"] if (lines := code_lines(function)) > MAX_FUNCTION_LINES else []
        faults += [f"{function.name} nests {depth} deep"] if (depth := nesting(function)) > MAX_NESTING else []
        if not is_door and (count := parameters(function)) > MAX_PARAMETERS:
            faults.append(f"{function.name} has {count} parameters")
    return faults


def undocumented(source: str) -> list[str]:
    """Name every public function, class and method of a module, and the module itself, that has no docstring."""
    tree = ast.parse(source)
    faults = [] if ast.get_docstring(tree) else ["module"]
    owners: list[ast.Module | ast.ClassDef] = [tree]
    while owners:
        for node in owners.pop().body:
            if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
                continue
            faults += [] if ast.get_docstring(node) else [node.name]
            owners += [node] if isinstance(node, ast.ClassDef) else []
    return faults


def lets_pass(handler: ast.ExceptHandler) -> bool:
    """Whether a handler only tidies up and raises on what it caught."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def forbidden(source: str, *, is_door: bool = False) -> list[str]:
    """Name every pattern in a module that the house forbids; only the door prints, and only the door ends every error."""
    words = {
        "TODO": r"\b(TODO|FIXME|XXX)\b",
        "unsafe YAML": r"yaml\.(unsafe_)?load\(",
        "pickle": r"allow_pickle\s*=\s*True|\bpickle\.loads?\(",
    }
    words |= {"shell": r"shell\s*=\s*True|os\.system\(", "open to every network": r"0\.0\.0\.0"}
    faults = [name for name, pattern in words.items() if re.search(pattern, source)]
    for node in ast.walk(ast.parse(source)):
        is_print = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        faults += ["print"] if is_print and not is_door else []
        if isinstance(node, ast.ExceptHandler) and not is_door and not lets_pass(node):
            caught = ast.unparse(node.type) if node.type else "BaseException"
            faults += [f"except {caught}"] if caught in ("Exception", "BaseException") else []
    return faults


def is_door(path: Path) -> bool:
    return name_of(path).startswith("cli")


# --- the standard library's `platform` stays what it is


def test_platform_is_a_folder_and_no_package() -> None:
    assert PACKAGE.is_dir()
    assert not (ROOT / "platform" / "__init__.py").exists()


def test_stdlib_platform_is_intact_here() -> None:
    assert platform.system() in ("Linux", "Darwin", "Windows")
    assert Path(platform.__file__).parent == Path(ast.__file__).parent


def test_stdlib_platform_is_intact_at_the_root() -> None:
    code = "import platform; platform.system(); print(platform.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).parent == Path(ast.__file__).parent


@each_module()
def test_no_module_is_named_like_the_standard_library_or_like_a_drawer(path: Path) -> None:
    drawers = {"utils", "helpers", "common", "base", "manager"}
    assert path.stem.startswith("__") or path.stem not in sys.stdlib_module_names | drawers


# --- floors, and one home per vendor


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache", "--no-logo"]
    environment = {"PYTHONPATH": str(root / "platform"), "PATH": "/usr/bin:/bin", "COLUMNS": "200"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_imports_go_only_downward_and_vendors_stay_home() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("path", "line", "message"),
    [
        pytest.param("contracts/run.py", "import s2s.recipes", "Floors", id="upward"),
        pytest.param("storage/__init__.py", "import s2s.tracking", "Floors", id="sideways"),
        pytest.param("attic/__init__.py", "", "attic", id="on-no-floor"),
        pytest.param("recipes/__init__.py", "import zarr", "Zarr", id="zarr-outside-storage"),
        pytest.param("training/__init__.py", "import mlflow", "MLflow", id="mlflow-outside-tracking"),
        pytest.param("stack/__init__.py", "import ray", "Ray", id="ray-outside-orchestration"),
        pytest.param("evaluation/__init__.py", "import torch", "torch", id="torch-outside-network"),
        pytest.param("ingest/__init__.py", "import anndata", "AnnData", id="anndata-outside-exchange"),
        pytest.param("evaluation/__init__.py", "import scanpy", "scanpy", id="scanpy-outside-its-file"),
        pytest.param("exchange/__init__.py", "import spatialdata", "SpatialData", id="spatialdata-outside-its-file"),
        pytest.param("evaluation/tables.py", "import matplotlib", "matplotlib", id="matplotlib-outside-plots"),
        pytest.param("evaluation/__init__.py", "import fistnd", "fistnd", id="fistnd-outside-its-rival"),
        pytest.param("ingest/__init__.py", "import skimage", "scikit-image", id="skimage-outside-evaluation"),
    ],
)
def test_the_floors_would_notice(tmp_path: Path, path: str, line: str, message: str) -> None:
    shutil.copytree(PACKAGE, tmp_path / "platform" / "s2s", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    module = tmp_path / "platform" / "s2s" / path
    module.parent.mkdir(exist_ok=True)
    with module.open("a") as file:
        file.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    broken = done.stdout[done.stdout.index("Broken contracts") :]
    assert message in broken


# --- size, words, documentation


@each_module()
def test_nothing_outgrows_the_house(path: Path) -> None:
    assert oversized(path.read_text(), is_door=is_door(path)) == []


def test_the_story_fits_on_two_pages() -> None:
    assert len((PACKAGE / "recipes" / "single_shot.py").read_text().splitlines()) <= MAX_STORY_LINES


@each_module()
def test_every_public_name_is_documented(path: Path) -> None:
    assert undocumented(path.read_text()) == []


@each_module()
def test_no_forbidden_pattern(path: Path) -> None:
    assert forbidden(path.read_text(), is_door=is_door(path)) == []


NESTED = "def f(x):\n  for a in x:\n    if a:\n      with a:\n        if a: pass\n"
ELIF = "def f(x):\n  if x == 1: pass\n  elif x == 2: pass\n  elif x == 3: pass\n  elif x == 4: pass\n  else: pass\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("x = 1\n" * 401, ["module has 401 lines"], id="long-module"),
        pytest.param("def f():\n" + "  x = 1\n" * 60, ["f has 61 lines"], id="long-function"),
        pytest.param("def f():\n" + '  """A.\n\n' + "  B.\n" * 60 + '  """\n' + "  x = 1\n" * 59, [], id="long-docstring"),
        pytest.param(NESTED, ["f nests 4 deep"], id="deep"),
        pytest.param(ELIF, [], id="elif-is-flat"),
        pytest.param("class A:\n  def f(self, a, b, c, *, d, e, f): pass\n", ["f has 6 parameters"], id="many-parameters"),
        pytest.param("class A:\n  def f(self, a, b, c, *, d, e): pass\n", [], id="five-and-self"),
    ],
)
def test_the_size_guard_would_notice(source: str, expected: list[str]) -> None:
    assert oversized(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("x = 1", ["module"], id="module"),
        pytest.param('"""M."""\ndef f(): pass', ["f"], id="function"),
        pytest.param('"""M."""\nclass A:\n  """A."""\n  def f(self): pass\n  def _g(self): pass', ["f"], id="method"),
        pytest.param('"""M."""\ndef _f(): pass', [], id="private"),
    ],
)
def test_the_documentation_guard_would_notice(source: str, expected: list[str]) -> None:
    assert undocumented(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("print(1)", ["print"], id="print"),
        pytest.param("try: pass\nexcept Exception: pass", ["except Exception"], id="catch-all"),
        pytest.param("try: pass\nexcept: pass", ["except BaseException"], id="bare"),
        pytest.param("try: pass\nexcept BaseException:\n  x = 1\n  raise", [], id="tidies-up-and-raises"),
        pytest.param("np.load(f, allow_pickle=True)", ["pickle"], id="pickle"),
        pytest.param("yaml.load(f)", ["unsafe YAML"], id="yaml"),
        pytest.param("run(c, shell=True)", ["shell"], id="shell"),
        pytest.param("bind = '0.0.0.0'", ["open to every network"], id="bind"),
        pytest.param("# TODO later", ["TODO"], id="todo"),
        pytest.param("try: pass\nexcept ValueError: pass\nyaml.safe_load(f)", [], id="clean"),
    ],
)
def test_the_pattern_guard_would_notice(source: str, expected: list[str]) -> None:
    assert forbidden(source) == expected


# --- what users read


def documentation() -> str:
    return "\n".join(path.read_text() for path in (ROOT / "README.md", ROOT / "jobs" / "README.md"))


def verbs(command: object, words: str) -> Iterator[str]:
    below = getattr(command, "commands", None)
    if below is None:
        yield words
        return
    for name, child in below.items():
        yield from verbs(child, f"{words} {name}")


def test_every_verb_is_documented() -> None:
    from s2s.cli import app  # noqa: PLC0415 -- the rest of this file must run while the door is broken

    assert isinstance(app, typer.Typer)
    known = list(verbs(typer.main.get_command(app), "s2s"))
    assert len(known) > 5
    text = documentation()
    assert [words for words in known if not re.search(rf"\b{re.escape(words)}\b", text)] == []


def test_every_field_of_a_run_is_documented() -> None:
    text = documentation()
    assert [row.key for row in run_rows() if not row.description or f"`{row.key}`" not in text] == []


def test_every_field_of_a_benchmark_is_documented() -> None:
    text = documentation()
    assert [row.key for row in benchmark_rows() if not row.description or f"`{row.key}`" not in text] == []


def test_every_setting_is_documented() -> None:
    text = documentation()
    assert [row.key for row in settings_rows() if not row.description or f"`{row.key}`" not in text] == []


def test_the_reference_is_what_the_contracts_say() -> None:
    assert (ROOT / "jobs" / "README.md").read_text() == reference_text(), "run `make schemas`"


# --- the door is light


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import contextlib, io, sys
from s2s.cli import main
sys.argv = ["s2s", "--help"]
text = io.StringIO()
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(text):
    main()
assert "train" in text.getvalue(), text.getvalue()
print(sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_help_answers_in_half_a_second() -> None:
    """Best of several: what is measured is the program, not what else the machine does; on a crowded machine its processor time counts."""
    wall, processor = [], []
    for _ in range(10):
        started, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-m", "s2s", "--help"], capture_output=True, text=True, check=True, timeout=60)
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall.append(time.perf_counter() - started)
        processor.append(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)
        assert "ingest" in done.stdout
        if wall[-1] < 0.5:
            return
    is_crowded = os.getloadavg()[0] > (os.cpu_count() or 1)
    best = min(processor if is_crowded else wall)
    assert best < 0.5, f"s2s --help took {best:.2f} s at best"
