"""Every colour against its page, and every two against each other, as people with and without colour vision see them.

Contrast is WCAG 2.2's (relative luminance): 4.5 for text, 3 for lines, marks and the edges of controls. Distances are
those of CAM02-UCS, where 1 is about what one just notices; colour blindness is simulated after Machado, Oliveira and
Fernandes (2009), at full severity. Colours are read from the files that the page is made of.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from colorspacious import cspace_convert, deltaE
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from pygments.styles import get_style_by_name
from reliability import Record

import weightlab
from weightlab.pictures import still, style
from weightlab.scheduling.picture import SOLID
from weightlab.teaching.site import CODE_STYLES

Colour = NDArray[np.float64]
PACKAGE = Path(weightlab.__file__).parent
WIDGETS = PACKAGE / "stage"
COLOURS = (WIDGETS / "js" / "pure" / "colours.js").read_text(encoding="utf-8")
STAGE = (WIDGETS / "stage.css").read_text(encoding="utf-8")
SITE = (PACKAGE / "teaching" / "site.css").read_text(encoding="utf-8")
REPLAY = (WIDGETS / "replay.css").read_text(encoding="utf-8")
THEMES = Path(sys.prefix, "share", "jupyter", "lab", "themes", "@jupyterlab")
PAGES = ("JupyterLab light", "JupyterLab dark", "replay light", "replay dark")

TEXT, LINE = 4.5, 3.0
FAR = 12.0  # colours that are nearer than this to somebody's eyes must not be all that tells two lines apart
SIGHTS = (None, "deuteranomaly", "protanomaly", "tritanomaly")


def script(name: str) -> list[list[str | int]]:
    """A list that colours.js defines."""
    found = re.search(rf"const {name} = (\[.*\]);", COLOURS)
    assert found, f"colours.js defines no {name}"
    return list(json.loads(found[1]))


def palette(kind: str) -> list[str]:
    found = re.search(rf'{kind}: (\["#.*\])', COLOURS)
    assert found, f"colours.js has no palette {kind}"
    return list(json.loads(found[1]))


DASHES, MARKERS, VIRIDIS = script("DASHES"), script("MARKERS"), script("VIRIDIS")


def defined(sheet: str, name: str) -> str:
    """The value that a style sheet gives to a variable first."""
    found = re.search(rf"{name}:\s*([^;]+);", sheet)
    assert found, f"{name} is not defined"
    return found[1].strip()


def page(name: str) -> tuple[Colour, Colour]:
    """(ink, paper) of a page: what the stage takes its own colours from."""
    place, kind = name.split()
    if place == "JupyterLab":
        sheet = (THEMES / f"theme-{kind}-extension" / "index.css").read_text(encoding="utf-8")
    else:
        sheet = REPLAY if kind == "light" else REPLAY[REPLAY.index("prefers-color-scheme: dark") :]
    ink, paper = (defined(sheet, variable) for variable in ("--jp-ui-font-color0", "--jp-layout-color0"))
    return css_colour(ink), css_colour(paper)


def css_colour(value: str) -> Colour:
    """A word, #hexadecimal digits, or `rgba(…)` without transparency, as JupyterLab before 4.5 writes it."""
    numbers = re.fullmatch(r"rgba\((\d+), (\d+), (\d+), 1\)", value)
    return np.array([int(number) / 255 for number in numbers.groups()] if numbers else to_rgb(value))


def stage_colour(variable: str, name: str) -> Colour:
    """One of the stage's colours on a page: ink, paper, a mixture of both, or its own."""
    ink, paper = page(name)
    if variable in {"--wl-ink", "--wl-paper"}:
        return ink if variable == "--wl-ink" else paper
    dark = re.search(r'"false"\] \.weightlab \{ (.*?) \}', STAGE)
    assert dark
    sheet = dark[1] if name.endswith("dark") and variable in dark[1] else STAGE
    value = defined(sheet, variable)
    if value.startswith("#"):
        return np.array(to_rgb(value))
    mixed = re.fullmatch(r"color-mix\(in srgb, var\(--wl-ink\) (\d+)%, var\(--wl-paper\)\)", value)
    assert mixed, f"{variable} is neither a colour nor ink mixed with paper: {value}"
    share = int(mixed[1]) / 100
    return share * ink + (1 - share) * paper


def luminance(colour: Colour) -> float:
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def contrast(one: Colour, other: Colour) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def seen(colour: str | int, sight: str | None) -> Colour:
    rgb = np.array(to_rgb(str(colour)))
    if sight is None:
        return rgb
    space = {"name": "sRGB1+CVD", "cvd_type": sight, "severity": 100}
    return np.clip(cspace_convert(rgb, space, "sRGB1"), 0.0, 1.0)


def apart(one: str, other: str) -> float:
    """How far two colours are from each other to the eyes that see them nearest."""
    return min(float(deltaE(seen(one, s), seen(other, s), input_space="sRGB1")) for s in SIGHTS)


def test_the_measures_know_published_values() -> None:
    assert contrast(np.ones(3), np.zeros(3)) == pytest.approx(21.0)
    assert contrast(np.array(to_rgb("#767676")), np.ones(3)) == pytest.approx(4.54, abs=0.005)
    # Machado et al. 2009, table 1: full deuteranomaly takes pure red, in linear light, to its matrix's first column
    red = cspace_convert(seen("#ff0000", "deuteranomaly"), "sRGB1", "sRGB1-linear")
    np.testing.assert_allclose(red, [0.367322, 0.280085, 0.0], atol=1e-6)


@pytest.mark.parametrize("name", PAGES)
def test_text_stands_out_from_what_it_is_written_on(name: str, record_property: Record) -> None:
    for text, ground in itertools.product(("--wl-ink", "--wl-faint"), ("--wl-paper", "--wl-raised")):
        reached = contrast(stage_colour(text, name), stage_colour(ground, name))
        assert reached >= TEXT, f"{text} on {ground}: {reached:.2f}"
        record_property("text", reached)
    ink, paper = page(name)
    for colour, share in tinted_grounds():
        reached = contrast(ink, share * colour + (1 - share) * paper)
        assert reached >= TEXT, f"ink on {share:.0%} of {colour}: {reached:.2f}"


def tinted_grounds() -> list[tuple[Colour, float]]:
    """What notices and marked lines of code are written on: a colour and its share of the paper."""
    found = re.findall(r"background: color-mix\(in srgb, (#\w+) (\d+)%", STAGE)
    assert len(found) == 3
    return [(np.array(to_rgb(colour)), int(share) / 100) for colour, share in found]


@pytest.mark.parametrize("name", PAGES)
def test_the_edges_of_controls_and_the_ring_of_the_focus_stand_out(name: str) -> None:
    for edge, ground in itertools.product(("--wl-edge", "--wl-accent"), ("--wl-paper", "--wl-raised")):
        reached = contrast(stage_colour(edge, name), stage_colour(ground, name))
        assert reached >= LINE, f"{edge} on {ground}: {reached:.2f}"


@pytest.mark.parametrize("name", PAGES)
def test_lines_and_markers_stand_out_from_the_page(name: str, record_property: Record) -> None:
    paper = page(name)[1]
    for colour in palette(name.split()[1]):
        reached = contrast(np.array(to_rgb(colour)), paper)
        assert reached >= LINE, colour
        record_property("line", reached)


@pytest.mark.parametrize(("style", "scheme"), [*zip(CODE_STYLES, ("light", "dark"), strict=True)])
def test_every_word_of_code_on_the_site_can_be_read(style: str, scheme: str) -> None:
    sheet = SITE if scheme == "light" else SITE[SITE.index("prefers-color-scheme: dark") :]
    ground = np.array(to_rgb(defined(sheet, "--raised")))
    used = {f"#{look['color']}" for _, look in get_style_by_name(style) if look["color"]}
    assert len(used) > 4 and {word for word in used if contrast(np.array(to_rgb(word)), ground) < TEXT} == set()


def layer_colours(kind: str) -> list[Colour]:
    """The colours of 41 layers, first to last, as colours.js mixes them."""
    found = re.search(r"dark \? ([\d.]+) \+ ([\d.]+) \* share : ([\d.]+) \* share", COLOURS)
    assert found
    start, reach, light = (float(part) for part in found.groups())
    assert float(VIRIDIS[0][0]) == 68
    stops = np.array(VIRIDIS, dtype=float) / 255
    places = (start + reach * np.linspace(0, 1, 41)) if kind == "dark" else light * np.linspace(0, 1, 41)
    return [np.array([np.interp(4 * place, range(5), stops[:, i]) for i in range(3)]) for place in places]


@pytest.mark.parametrize("name", PAGES)
def test_every_layer_stands_out_from_the_page(name: str) -> None:
    paper = page(name)[1]
    assert min(contrast(colour, paper) for colour in layer_colours(name.split()[1])) >= LINE


@pytest.mark.parametrize("kind", ["light", "dark"])
def test_the_first_layer_is_told_from_the_last_and_lightness_tells_their_order(kind: str) -> None:
    for sight in SIGHTS:
        shown = np.array([cspace_convert(seen_rgb(c, sight), "sRGB1", "CAM02-UCS") for c in layer_colours(kind)])
        assert np.linalg.norm(shown[0] - shown[-1]) >= 3 * FAR
        assert (np.diff(shown[:, 0]) > 0).all()


def seen_rgb(colour: Colour, sight: str | None) -> Colour:
    return seen("#" + "".join(f"{round(255 * part):02x}" for part in colour), sight)


@pytest.mark.parametrize("kind", ["light", "dark"])
def test_colours_that_come_close_to_anyone_differ_in_dash_or_marker(kind: str) -> None:
    colours = palette(kind)
    for one, other in itertools.combinations(range(len(colours)), 2):
        told = DASHES[one % len(DASHES)] != DASHES[other % len(DASHES)] or MARKERS[one % 4] != MARKERS[other % 4]
        assert told or apart(colours[one], colours[other]) >= FAR, (one, other)


@pytest.mark.parametrize("kind", ["light", "dark"])
def test_paths_and_curves_without_dashes_differ_in_marker_or_in_colour_to_everyone(kind: str) -> None:
    colours = palette(kind)
    for one, other in [*itertools.combinations(range(len(colours)), 2), *itertools.combinations(SOLID, 2)]:
        same_marker = one % 4 == other % 4
        assert not same_marker or apart(colours[one % 8], colours[other % 8]) >= FAR, (one, other)


def test_pictures_without_a_kernel_have_the_colours_and_markers_of_the_light_stage() -> None:
    assert list(style.PALETTE) == palette("light")
    assert len(style.DASHES) == len(DASHES) and len(style.MARKERS) == len(MARKERS) == 4
    for index, colour in enumerate(layer_colours("light")):
        drawn = np.array(still._layer_colour(index, 41)[:3])
        assert deltaE(drawn, colour, input_space="sRGB1") < FAR / 3  # the stage mixes viridis from five of its colours
        assert contrast(drawn, np.ones(3)) >= LINE
