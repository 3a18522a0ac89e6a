"""Real Chromium on pages served on loopback; skipped, with how to install it, where there is none."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ViewportSize, sync_playwright

from page_examples import Example, make_imputed
from page_visits import DESKTOP, Served, Visit
from s2s.contracts.page import PageIndex, PageSection
from s2s.contracts.settings import Settings
from s2s.page.building import PageRequest, build_page, index_document

CHROMIUM = os.environ.get("S2S_CHROMIUM")  # read before the fixtures clean the environment
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder is one of the browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def find_chromium() -> str | None:
    """Path of a Chromium: the one that S2S_CHROMIUM names, Debian's, or whatever is called so."""
    given = [CHROMIUM, "/usr/bin/chromium", *(shutil.which(name) for name in CHROMIUM_NAMES)]
    return next((path for path in given if path and Path(path).is_file()), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of a process."""
    path = find_chromium()
    if path is None:
        pytest.skip("needs Chromium: `apt-get install chromium`, or set S2S_CHROMIUM to the path of one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Example]:
    """A square section, a hexagonal one, and one with tiles and an overview."""
    folder = tmp_path_factory.mktemp("imputed")
    settings = Settings(is_local=True, home=folder / "home")
    (folder / "in").mkdir()
    return {
        "glands": make_imputed(folder / "in" / "glands.h5ad", settings, height=48, width=64, num_genes=24),
        "hexes": make_imputed(folder / "in" / "hexes.h5ad", settings, lattice="hexagonal", height=30, width=30, kind="layers"),
        "large": make_imputed(folder / "in" / "large.zarr", settings, height=700, width=600, num_genes=4),
    }


@pytest.fixture(scope="session")
def built(examples: dict[str, Example], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of these three, and of two that are missing."""
    folder = tmp_path_factory.mktemp("page") / "page"
    source = examples["glands"].path.parent
    settings = Settings(is_local=True, home=source.parent / "home")
    index = build_page(PageRequest(uri=str(source), out=folder, has_anndata=True), settings, lambda *_, **__: None).index
    gone = (
        PageSection(
            key="retina-1", tissue="retina", state="missing", reason="expected alias 'champion' of s2s-human-retina, there is none"
        ),
        PageSection(key="retina-2", tissue="retina", state="failed", reason="expected finite values below 60000 on tissue"),
    )
    (folder / "page.json").write_bytes(
        index_document(index.model_copy(update={"title": "Demo atlas", "sections": (*index.sections, *gone)}))
    )
    return folder


@pytest.fixture
def served(built: Path) -> Iterator[Served]:
    """That page, on a server of its own, so that a test may kill it."""
    served = Served(built)
    yield served
    served.die()


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """300 sections of 20,000 genes: one that is written, and its likes."""
    folder = tmp_path_factory.mktemp("many")
    settings = Settings(is_local=True, home=folder / "home")
    example = make_imputed(folder / "s000.h5ad", settings, height=16, width=20, num_genes=20_000)
    index = build_page(PageRequest(uri=str(example.path), out=folder / "page"), settings, lambda *_, **__: None).index
    tissues = [f"tissue {number}" for number in range(12)]
    rows = []
    for number in range(300):
        key = f"s{number:03d}"
        rows.append(index.sections[0].model_copy(update={"key": key, "tissue": tissues[number % 12]}))
        if number:
            (folder / "page" / "sections" / key).symlink_to(folder / "page" / "sections" / "s000")
    whole = index.model_copy(update={"title": "Many sections", "sections": tuple(rows)})
    (folder / "page" / "page.json").write_bytes(index_document(PageIndex.model_validate_json(whole.model_dump_json())))
    served = Served(folder / "page")
    yield served
    served.die()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Open tabs; afterwards none of them may have said anything on its console that the test did not take away."""
    visits: list[Visit] = []

    def begin(*, viewport: ViewportSize = DESKTOP, scheme: str = "light", has_touch: bool = False) -> Visit:
        context = browser.new_context(viewport=viewport, color_scheme=scheme, has_touch=has_touch)  # type: ignore[arg-type]
        context.set_default_timeout(20_000)
        visits.append(Visit(context.new_page()))
        return visits[-1]

    yield begin
    said = [word for each in visits for word in each.said]
    for each in visits:
        each.page.context.close()
    assert said == []
