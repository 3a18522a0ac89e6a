"""The view of a section: genes, layers, zoom, values, links, and what happens when something is not there."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from page_examples import Example
from page_visits import PHONE, Served, Visit

INK = """(element) => {
  const panel = element.querySelector('canvas[role]');
  const canvas = Object.assign(document.createElement('canvas'), {width: panel.width, height: panel.height});
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.drawImage(panel, 0, 0);
  const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum = (sum * 31 + data[i] + 7 * data[i + 1] + 13 * data[i + 2]) % 1000000007;
  return sum;
}"""
"""A number that changes with any pixel of a panel."""


def settled(page: Page) -> None:
    """Wait until everything asked for is drawn."""
    page.wait_for_selector(".panels[aria-busy=false]")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def ink(page: Page, layer: str) -> int:
    return int(page.locator(f".panel[data-layer={layer}]").evaluate(INK))


def pick(page: Page, gene: str) -> None:
    page.locator("#gene").fill(gene)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**g={gene}*")
    settled(page)


def value(page: Page, layer: str) -> str:
    return page.locator(f".panel[data-layer={layer}] .value").inner_text()


@pytest.fixture
def glands(visit: Callable[..., Visit], served: Served) -> Page:
    page = visit().open(f"{served.address}#/s/glands")
    settled(page)
    return page


def test_four_layers_stand_side_by_side(glands: Page) -> None:
    assert [panel.get_attribute("data-layer") for panel in glands.locator(".panel").all()] == ["sampled", "imputed", "std", "truth"]
    tops = {round(panel.bounding_box()["y"]) for panel in glands.locator(".panel").all()}
    assert len(tops) == 1
    assert len({ink(glands, layer) for layer in ("sampled", "imputed", "std", "truth")}) == 4
    expect(glands.get_by_role("heading", level=1)).to_have_text("glands")
    expect(glands.locator(".statement")).to_contain_text("Imputed values are not measurements.")
    expect(glands.locator(".statement .badge")).to_have_text("synthetic")
    expect(glands).to_have_title("SYN0001 · glands · S2S Atlas")


def test_a_gene_is_found_by_typing(glands: Page) -> None:
    before = ink(glands, "imputed")
    glands.keyboard.press("/")
    expect(glands.locator("#gene")).to_be_focused()
    glands.keyboard.type("n001")
    options = glands.locator("#genes [role=option]")
    expect(options).to_have_count(10)
    expect(options.first).to_have_attribute("aria-selected", "true")
    glands.keyboard.press("ArrowDown")
    glands.keyboard.press("ArrowDown")
    expect(glands.locator("#gene")).to_have_attribute("aria-activedescendant", "gene-2")
    glands.keyboard.press("Enter")
    glands.wait_for_url("**g=SYN0012*")
    settled(glands)
    assert ink(glands, "imputed") != before
    expect(glands.locator("#genes")).to_be_hidden()


def test_genes_that_cannot_be_relied_on_say_so(glands: Page) -> None:
    expect(glands.locator(".trust")).to_contain_text("Reliable")
    pick(glands, "SYN0024")
    expect(glands.locator(".trust .pill")).to_have_text("Not reliable")
    expect(glands.locator(".trust")).to_contain_text("leave its imputed values alone")
    glands.locator("#gene").fill("SYN0024")
    expect(glands.locator("#genes [role=option]")).to_contain_text("not reliable")


def test_layers_are_switched_and_one_stays(glands: Page) -> None:
    for name in ("Sampled", "Uncertainty", "Truth", "Imputed"):
        glands.get_by_role("button", name=name, exact=True).click()
    settled(glands)
    assert [panel.get_attribute("data-layer") for panel in glands.locator(".panel").all()] == ["imputed"]
    expect(glands.get_by_role("button", name="Imputed", exact=True)).to_have_attribute("aria-pressed", "true")
    glands.wait_for_url("**l=imputed")
    glands.get_by_role("button", name="Truth", exact=True).click()
    settled(glands)
    assert ink(glands, "truth") != ink(glands, "imputed")


def test_zoom_by_wheel_keys_and_buttons_is_linked(glands: Page) -> None:
    whole = {layer: ink(glands, layer) for layer in ("sampled", "truth")}
    canvas = glands.locator("canvas[role]").first
    canvas.hover(position={"x": 60, "y": 60})
    glands.mouse.wheel(0, -400)
    glands.wait_for_url("**z=*")
    settled(glands)
    assert all(ink(glands, layer) != before for layer, before in whole.items())
    zoomed = glands.locator(".zoom").inner_text()
    assert float(zoomed.rstrip("×")) > 2
    glands.keyboard.press("+")
    assert float(glands.locator(".zoom").inner_text().rstrip("×")) > float(zoomed.rstrip("×"))
    before = ink(glands, "truth")
    box = canvas.bounding_box()
    glands.mouse.move(box["x"] + 100, box["y"] + 60)
    glands.mouse.down()
    glands.mouse.move(box["x"] + 60, box["y"] + 40, steps=4)
    glands.mouse.up()
    settled(glands)
    assert ink(glands, "truth") != before
    glands.keyboard.press("0")
    expect(glands.locator(".zoom")).to_have_text("1×")


def shown(example: Example, row: int, column: int, gene: int = 0) -> dict[str, float]:
    """What the files say of a bin."""
    made = example.imputed
    is_measured = bool(made.is_measured[row, column])
    return {
        "sampled": float(made.observed[gene, row, column]) if is_measured else np.nan,
        "imputed": float((made.observed if is_measured else made.imputed)[gene, row, column]),
        "std": 0.0 if is_measured else float(made.std[gene, row, column]),
    }


@pytest.mark.parametrize("key", [pytest.param("glands", id="square"), pytest.param("hexes", id="hexagonal")])
def test_the_cursor_reads_every_layer_at_the_same_bin(
    visit: Callable[..., Visit], served: Served, examples: dict[str, Example], key: str
) -> None:
    page = visit().open(f"{served.address}#/s/{key}")
    settled(page)
    example = examples[key]
    height, width = example.imputed.tissue.shape
    canvas = page.locator(".panel[data-layer=imputed] canvas[role]")
    canvas.focus()
    page.keyboard.press("ArrowRight")  # the first key puts the cursor into the middle
    row, column = height // 2, width // 2
    for keys, at in ((), (row, column)), (("ArrowRight",), (row, column + 1)), (("ArrowDown", "Shift+ArrowLeft"), (row + 1, column - 9)):
        for press in keys:
            page.keyboard.press(press)
        settled(page)
        expect(page.locator(".readout")).to_contain_text(f"row {at[0]}, column {at[1]}")
        for layer, expected in shown(example, *at).items():
            said = value(page, layer)
            assert said == ("–" if np.isnan(expected) else f"{expected:.2f}") or abs(float(said) - expected) < 0.0101
    expect(page.locator("p[aria-live=polite]")).to_contain_text(f"row {row + 1}, column {column - 9}")


def test_the_mouse_points_at_the_bin_that_is_under_it(visit: Callable[..., Visit], served: Served) -> None:
    """Odd rows of a hexagonal grid stand half a bin to the right: just left of one lies the bin before it."""
    page = visit().open(f"{served.address}#/s/hexes?l=imputed")
    settled(page)
    box = page.locator("canvas[role]").bounding_box()
    frame = page.evaluate("document.querySelector('.stage').clientWidth")
    assert frame == pytest.approx(box["width"], abs=1)
    scale = min(box["width"] / 30.5, box["height"] / (30 * 3**0.5 / 2)) * 0.97
    left, top = box["x"] + box["width"] / 2 - 30.5 * scale / 2, box["y"] + box["height"] / 2 - 30 * 3**0.5 / 4 * scale
    for row, column in ((10, 12), (11, 12)):
        shift = 0.5 * (row % 2)
        middle = top + (row + 0.5) * 3**0.5 / 2 * scale
        page.mouse.move(left + (column + shift + 0.1) * scale, middle)
        expect(page.locator(".readout")).to_contain_text(f"row {row}, column {column}")
        page.mouse.move(left + (column + shift - 0.1) * scale, middle)
        expect(page.locator(".readout")).to_contain_text(f"row {row}, column {column - 1}")


def test_the_interval_is_read_where_nothing_was_measured(glands: Page, examples: dict[str, Example]) -> None:
    made = examples["glands"].imputed
    canvas = glands.locator("canvas[role]").first
    canvas.focus()
    glands.keyboard.press("ArrowRight")
    glands.keyboard.press("ArrowRight")
    row, column = 24, 33
    assert not made.is_measured[row, column]
    low, high = (float(side[0, row, column]) for side in (made.intervals[0.9].lower, made.intervals[0.9].upper))
    said = glands.locator(".readout .part").last
    expect(said).to_contain_text("90 % interval")
    numbers = [float(number) for number in re.findall(r"\d+\.\d+", said.inner_text())]
    assert numbers == pytest.approx([low, high], abs=0.011)
    glands.keyboard.press("ArrowLeft")
    expect(said).to_have_text("measured here")


def test_colours_and_ranges(glands: Page) -> None:
    before = ink(glands, "imputed")
    glands.get_by_label("Colour scale").select_option("magma")
    settled(glands)
    magma = ink(glands, "imputed")
    assert magma != before
    glands.get_by_label("Highest value").fill("1.25")
    glands.get_by_label("Highest value").press("Enter")
    settled(glands)
    assert ink(glands, "imputed") != magma
    expect(glands.get_by_label("Range of the colours")).to_have_value("own")
    expect(glands.locator(".panel[data-layer=truth] .scale span").nth(1)).to_have_text("1.25")
    glands.get_by_label("Lowest value").fill("9")
    glands.get_by_label("Lowest value").press("Enter")
    expect(glands.get_by_label("Lowest value")).to_have_attribute("aria-invalid", "true")
    glands.get_by_label("Range of the colours").select_option("p5")
    glands.wait_for_url("**r=p5*")
    expect(glands.get_by_label("Lowest value")).to_have_attribute("aria-invalid", "false")


def test_measured_positions_are_marked(glands: Page) -> None:
    before = ink(glands, "imputed")
    glands.get_by_label("Measured positions").check()
    settled(glands)
    assert ink(glands, "imputed") != before
    glands.wait_for_url("**m=1*")
    glands.keyboard.press("Escape")
    glands.locator("canvas[role]").first.focus()
    glands.keyboard.press("m")
    settled(glands)
    expect(glands.get_by_label("Measured positions")).not_to_be_checked()


def test_a_permalink_shows_the_same(visit: Callable[..., Visit], served: Served) -> None:
    link = f"{served.address}#/s/glands?g=SYN0005&l=imputed,truth&z=3.5&x=0.4&y=0.55&c=grey&r=0.25~2&m=1"
    page = visit().open(link)
    settled(page)
    assert page.locator("#gene").input_value() == "SYN0005"
    assert [panel.get_attribute("data-layer") for panel in page.locator(".panel").all()] == ["imputed", "truth"]
    expect(page.locator(".zoom")).to_have_text("3.5×")
    expect(page.get_by_label("Colour scale")).to_have_value("grey")
    expect(page.get_by_label("Lowest value")).to_have_value("0.25")
    expect(page.get_by_label("Measured positions")).to_be_checked()
    page.wait_for_timeout(300)  # longer than the page waits before it writes a link
    assert page.url == link
    other = visit().open(page.url)
    settled(other)
    assert ink(other, "truth") == ink(page, "truth")
    # Back is back: to the overview and to the section again.
    other.get_by_role("link", name="Demo atlas").click()
    expect(other.locator(".card a")).to_have_count(3)
    other.go_back()
    settled(other)
    assert other.locator("#gene").input_value() == "SYN0005"


def test_nonsense_in_a_link_falls_back_part_by_part(visit: Callable[..., Visit], served: Served) -> None:
    page = visit().open(f"{served.address}#/s/glands?g=syn0002&l=truth,nothing&z=-4&x=nan&c=rainbow&r=5~1&m=yes")
    settled(page)
    assert page.locator("#gene").input_value() == "SYN0002"  # case does not matter
    assert [panel.get_attribute("data-layer") for panel in page.locator(".panel").all()] == ["truth"]
    expect(page.locator(".zoom")).to_have_text("1×")


def test_a_gene_that_is_not_there_is_said_and_others_are_offered(visit: Callable[..., Visit], served: Served) -> None:
    page = visit().open(f"{served.address}#/s/glands?g=SYN001X")
    settled(page)
    expect(page.locator(".message")).to_contain_text("There is no gene “SYN001X” in this section; SYN0001 is shown instead")
    page.locator(".message").get_by_role("button", name="SYN0010").click()
    settled(page)
    assert page.locator("#gene").input_value() == "SYN0010"
    expect(page.locator(".message")).to_be_empty()
    page.locator("#gene").fill("<img src=x onerror=alert(1)>")
    expect(page.locator("#genes")).to_contain_text("No gene here is called “<img src=x onerror=alert(1)>”")


def test_the_anndata_is_downloaded_whole(glands: Page, examples: dict[str, Example], tmp_path: Path) -> None:
    with glands.expect_download() as started:
        glands.get_by_role("link", name="Download the AnnData").click()
    started.value.save_as(tmp_path / "taken.h5ad")
    assert started.value.suggested_filename == "glands.h5ad"
    assert (tmp_path / "taken.h5ad").read_bytes() == examples["glands"].path.read_bytes()


def test_a_chunk_that_is_missing_is_told_where_it_is_missing(visit: Callable[..., Visit], built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "page")
    chunk = tmp_path / "page" / "sections" / "glands" / "std" / "c" / "0" / "0" / "0"
    kept = chunk.read_bytes()
    chunk.unlink()
    served, tab = Served(tmp_path / "page"), visit()
    page = tab.open(f"{served.address}#/s/glands")
    settled(page)
    panel = page.locator(".panel[data-layer=std]")
    expect(panel.get_by_role("alert")).to_contain_text("missing on the server: sections/glands/std/c/0/0/0")
    assert ink(page, "imputed") != ink(page, "truth")  # the others stand
    chunk.write_bytes(kept[:-9])
    panel.get_by_role("button", name="Try again").click()
    expect(panel.get_by_role("alert")).to_contain_text("damaged")
    chunk.write_bytes(kept)
    panel.get_by_role("button", name="Try again").click()
    expect(panel.get_by_role("alert")).to_have_count(0)
    tab.said = [word for word in tab.said if "404" not in word]  # the browser's own word for it
    served.die()


def test_a_server_that_dies_is_told_and_coming_back_helps(visit: Callable[..., Visit], served: Served) -> None:
    tab = visit()
    page = tab.open(f"{served.address}#/s/glands?l=imputed")
    settled(page)
    page.wait_for_load_state("networkidle")
    before = ink(page, "imputed")
    served.die()
    page.context.set_offline(True)  # connections that are still open would be answered by their threads
    page.locator("#gene").fill("SYN0024")
    page.keyboard.press("Enter")
    settled(page)
    expect(page.locator("#problem")).to_contain_text("The server does not answer")
    expect(page.locator(".panel")).to_have_count(1)
    served.revive()
    page.context.set_offline(False)
    page.locator("#problem").get_by_role("button", name="Try again").click()
    expect(page.locator("#problem")).to_be_hidden()
    settled(page)
    assert ink(page, "imputed") != before
    tab.said = [word for word in tab.said if "ERR_" not in word]  # the browser's own words for it


def test_a_large_section_begins_with_an_overview_and_fetches_tiles_when_looked_at(
    visit: Callable[..., Visit], served: Served, examples: dict[str, Example]
) -> None:
    tab = visit()
    page = tab.open(f"{served.address}#/s/large?l=imputed")
    settled(page)
    fine = re.compile(r"/large/imputed/c/")
    assert not [url for url in tab.asked if fine.search(url)]
    coarse = ink(page, "imputed")
    page.goto(f"{served.address}#/s/large?l=imputed&z=12&x=0.5&y=0.5")
    page.wait_for_selector(".zoom:text-is('12×')")
    settled(page)
    assert [url for url in tab.asked if fine.search(url)]
    assert ink(page, "imputed") != coarse
    page.locator("canvas[role]").focus()
    page.keyboard.press("ArrowUp")
    settled(page)
    expected = shown(examples["large"], 350, 300)["imputed"]
    expect(page.locator(".readout")).to_contain_text("row 350, column 300")
    assert float(value(page, "imputed")) == pytest.approx(expected, abs=0.011)


def test_every_control_has_a_name_and_text_stands_out(visit: Callable[..., Visit], served: Served) -> None:
    for scheme in ("light", "dark"):
        page = visit(scheme=scheme).open(f"{served.address}#/s/glands")
        settled(page)
        nameless = page.evaluate(
            "[...document.querySelectorAll('button, a, input, select, canvas[role]')].filter(e => e.checkVisibility() &&"
            " !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim())).map(e => e.outerHTML)"
        )
        assert nameless == []
        assert page.locator("h1").count() == 1
        assert page.evaluate("document.documentElement.lang") == "en"
        assert page.evaluate(CONTRAST) == []


CONTRAST = """(() => { const light = (rgb) => { const [r, g, b] = rgb.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92
  : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0.99) return c.slice(0, 3); } return [255, 255, 255]; };
  return [...document.querySelectorAll('main *')].filter((e) => e.checkVisibility() && !e.matches('option, option *')
    && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())).map((e) => { const [a, b] =
    [light(parse(getComputedStyle(e).color).slice(0, 3)), light(ground(e))]; const ratio = (Math.max(a, b) + 0.05) /
    (Math.min(a, b) + 0.05); return [ratio, e.className + ' ' + e.textContent.slice(0, 40)]; }).filter(([ratio]) => ratio < 4.5); })()"""
"""Text whose contrast with its ground is below that of WCAG AA."""


def test_a_phone_pans_only_once_there_is_something_to_pan(visit: Callable[..., Visit], served: Served) -> None:
    page = visit(viewport=PHONE, has_touch=True).open(f"{served.address}#/s/glands")
    settled(page)
    canvas = page.locator("canvas[role]").first
    assert canvas.evaluate("e => getComputedStyle(e).touchAction") == "pan-y"
    box = canvas.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".readout")).to_contain_text("row 2")
    expect(page.get_by_label("Colour scale")).to_be_hidden()
    page.get_by_text("Colours, zoom, link").tap()
    page.get_by_role("button", name="Zoom in").tap()
    settled(page)
    assert canvas.evaluate("e => getComputedStyle(e).touchAction") == "none"
    panels = [panel.bounding_box() for panel in page.locator(".panel").all()]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"] for box in panels)
