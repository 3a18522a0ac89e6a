"""The rules of what the browser runs: small modules, nothing from elsewhere, no text that becomes code."""

import json
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

ASSETS = Path(str(files("s2s.page").joinpath("assets")))
MODULES = sorted(ASSETS.glob("*.js"))
MAX_LINES = 300
MAX_BYTES = 120_000
FORBIDDEN = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|localStorage|console\.|https?://"


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in MODULES])
def test_a_module_is_small_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < MAX_LINES
    assert max(len(line) for line in text.splitlines()) <= 200
    assert text.startswith("/* ")
    assert re.findall(FORBIDDEN, text) == []
    for imported in re.findall(r'from "(.+?)"', text):
        assert (ASSETS / imported).is_file()


def test_every_module_is_fetched_at_once() -> None:
    """Else the browser would learn of each only from the one before it."""
    page = (ASSETS / "index.html").read_text()
    told = set(re.findall(r'(?:modulepreload" href|src)="(.+?\.js)"', page))
    assert told == {path.name for path in MODULES}
    assert "default-src 'self'" in page
    assert re.findall(r"<script>|<style>| style=| on[a-z]+=|https?://", page) == []


def test_all_of_it_is_light() -> None:
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < MAX_BYTES
    assert re.findall(r"https?://|@import|url\(", (ASSETS / "app.css").read_text()) == []


def test_scales_rise_in_lightness() -> None:
    """Even to the eye, and to one that sees no colours."""
    for name, text in json.loads((ASSETS / "colours.json").read_text()).items():
        colours = np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, 3) / 255
        linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
        light = 116 * np.cbrt(np.maximum(linear @ [0.2126, 0.7152, 0.0722], 1e-9)) - 16
        steps = np.diff(light[::16])
        assert len(colours) == 256
        assert steps.min() > 0, name
        assert steps[2:].max() < 2.2 * steps[2:].min(), name
