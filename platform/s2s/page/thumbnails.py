"""Small pictures: planes made smaller, and the PNG of one gene that stands for a section on the overview."""

import io
import json
from collections.abc import Sequence
from importlib.resources import files
from math import sqrt
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

LONG_SIDE = 120
"""Of what a thumbnail shows, bins; one of few bins has several pixels per bin."""

NUM_COLOURS = 48
"""Of the palette: enough for a small picture at half the bytes; one more entry is transparent."""


def means(planes: Float32[np.ndarray, "gene y x"], factor: int) -> Float32[np.ndarray, "gene small_y small_x"]:
    """Average squares of `factor` by `factor` bins, leaving NaN out; a square of NaN alone stays NaN."""
    num_planes, height, width = planes.shape
    padded = np.pad(planes, [(0, 0), (0, -height % factor), (0, -width % factor)], constant_values=np.nan)
    squares = padded.reshape(num_planes, padded.shape[1] // factor, factor, padded.shape[2] // factor, factor)
    count = np.isfinite(squares).sum(axis=(2, 4))
    total = np.nansum(squares, axis=(2, 4), dtype=np.float64)
    averaged: Float32[np.ndarray, "gene small_y small_x"] = np.full(count.shape, np.nan, np.float32)
    np.divide(total, count, out=averaged, where=count > 0, casting="unsafe")
    return averaged


def thumbnail(plane: Float32[np.ndarray, "y x"], lattice: Literal["square", "hexagonal"]) -> bytes:
    """Draw one gene, from its 1st to its 99th percentile.

    Args:
        plane: log1p units; NaN off tissue, which is transparent.
        lattice: A hexagonal one has its odd rows shifted and its rows closer together.

    Returns:
        PNG with a palette, at most `2 * LONG_SIDE` pixels wide and high.
    """
    small = means(plane[None], max(1, -(-max(plane.shape) // LONG_SIDE)))[0]
    known = small[np.isfinite(small)]
    low, high = np.percentile(known, [1, 99]) if known.size else (0.0, 1.0)
    scaled = np.clip((np.nan_to_num(small) - low) / max(high - low, 1e-6), 0, 1)
    index: UInt8[np.ndarray, "y x"] = np.where(np.isfinite(small), 1 + np.round(scaled * (NUM_COLOURS - 1)), 0).astype(np.uint8)
    picture = Image.fromarray(_shifted(index) if lattice == "hexagonal" else index, mode="P")
    picture.putpalette([0, 0, 0, *palette("viridis")])
    scale = max(1, 2 * LONG_SIDE // max(small.shape))
    height = scale * small.shape[0] * (sqrt(3) / 2 if lattice == "hexagonal" else 1)
    picture = picture.resize((scale * small.shape[1], max(1, round(height))), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=0, optimize=True)
    return buffer.getvalue()


def palette(name: str) -> Sequence[int]:
    """Red, green and blue of a colour scale of the page, `NUM_COLOURS` times."""
    table = json.loads(files("s2s.page").joinpath("assets/colours.json").read_text())
    colours = bytes.fromhex(table[name])
    places = np.linspace(0, 255, NUM_COLOURS).round().astype(int)
    return [part for place in places for part in colours[3 * place : 3 * place + 3]]


def _shifted(index: UInt8[np.ndarray, "y x"]) -> UInt8[np.ndarray, "y wide"]:
    """Two columns per bin, so that odd rows can stand half a bin to the right."""
    wide = np.pad(np.repeat(index, 2, axis=1), [(0, 0), (0, 1)])
    wide[1::2] = np.roll(wide[1::2], 1, axis=1)
    return wide
