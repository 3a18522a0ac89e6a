"""Pictures of the page for people to look at: `S2S_KEEP_SCREENSHOTS=1 pytest tests/browser` keeps them beside this file.

They are not compared pixel by pixel, for fonts differ between machines; each must be small, and show what it is of.
"""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page

from page_visits import PHONE, Served, Visit

KEEP = os.environ.get("S2S_KEEP_SCREENSHOTS") == "1"  # read before the fixtures clean the environment
FOLDER = Path(__file__).parent / "screenshots"
MAX_BYTES = 150_000


def zoomed(page: Page) -> None:
    page.locator("canvas[role]").nth(1).hover(position={"x": 170, "y": 100})


def searched(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("syn002")


def dead(page: Page) -> None:
    page.context.set_offline(True)
    page.locator("#gene").fill("SYN0024")
    page.keyboard.press("Enter")
    page.wait_for_selector("#problem button")


@pytest.mark.parametrize(
    ("name", "link", "scheme", "act"),
    [
        pytest.param("overview_light", "", "light", None, id="overview-light"),
        pytest.param("overview_dark", "", "dark", None, id="overview-dark"),
        pytest.param("section_light", "#/s/glands?g=SYN0003", "light", zoomed, id="section-light"),
        pytest.param("section_dark", "#/s/glands?g=SYN0003&c=magma", "dark", searched, id="section-dark"),
        pytest.param("hexagonal_marked", "#/s/hexes?g=SYN0002&l=sampled,imputed&m=1", "light", zoomed, id="hexagonal"),
        pytest.param("large_zoomed", "#/s/large?l=sampled,imputed,std&z=6&x=0.5&y=0.4", "dark", zoomed, id="large"),
        pytest.param("phone", "#/s/glands?g=SYN0003", "light", None, id="phone"),
        pytest.param("phone_overview", "", "dark", None, id="phone-overview"),
        pytest.param("wrong_gene", "#/s/glands?g=EPCAM", "light", None, id="wrong-gene"),
        pytest.param("dead_server", "#/s/glands?l=sampled,imputed", "light", dead, id="dead-server"),
    ],
)
def test_a_picture_of(
    visit: Callable[..., Visit], served: Served, tmp_path: Path, name: str, link: str, scheme: str, act: Callable[[Page], None] | None
) -> None:
    is_phone = name.startswith("phone")
    tab = visit(scheme=scheme, **({"viewport": PHONE, "has_touch": True} if is_phone else {}))
    page = tab.open(served.address + link)
    page.wait_for_load_state("networkidle")
    if act:
        act(page)
        page.wait_for_timeout(400)
    file = (FOLDER if KEEP else tmp_path) / f"{name}.png"
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.quantize(256).save(file, optimize=True)
    assert 5_000 < file.stat().st_size < MAX_BYTES
    tab.said = [word for word in tab.said if "ERR_" not in word]
