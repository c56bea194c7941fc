"""Draws with matplotlib, without a display, as SVG that a page shows inline and colours itself.

matplotlib is the optional extra ``reports``, and is imported where something is drawn only: it takes half a second.
"""

import io
import logging
import re
import warnings
from collections.abc import Callable
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from messaging.common.errors import Unavailable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "FONT", "drawn", "require_plots", "tidy"]

FONT = 12
"""The height of letters in pixels, if a plot is shown at its own width."""

_NAMES = (
    *("ink", "muted", "grid", "paper", "due", "first", "second"),
    *("sent", "waiting", "unconfirmed", "failed", "expired", "suppressed", "cancelled"),
)
COLOURS = {name: f"#0000{place:02x}" for place, name in enumerate(_NAMES, 1)}
"""Stand for the page's colours, which differ in the light and the dark: each becomes a variable of its style sheet."""

_OF_COLOUR = {colour: f"var(--{name})" for name, colour in COLOURS.items()}
_STYLE: Any = {
    "svg.fonttype": "none",  # letters stay letters: the page's font, which can be searched and read aloud
    "text.parse_math": False,  # a name may have dollar signs
    "font.size": FONT,
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.edgecolor": COLOURS["grid"],
    "xtick.color": COLOURS["grid"],
    "ytick.color": COLOURS["grid"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.labelcolor": COLOURS["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": COLOURS["grid"],
}


def require_plots() -> None:
    """Raises Unavailable where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise Unavailable(
            "a page with plots needs matplotlib, which is not installed here: run 'make setup', or install"
            " requirements/reports.lock with pip; reports as text, --csv and --json work without it"
        )


def drawn(draw: Callable[["Figure"], None], *, width: float, height: float, name: str, words: str) -> str:
    """The SVG of a figure. ``name``: unlike that of any other on the page. ``words``: what is seen, for those who do not see it."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # Letters that matplotlib's own font lacks are drawn by the browser, with another one.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    buffer = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings(action="ignore"):
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        FigureCanvasSVG(figure)
        figure.set_layout_engine("constrained", w_pad=2 / 72, h_pad=2 / 72)
        draw(figure)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(buffer.getvalue(), words)


def _inline(document: str, words: str) -> str:
    """The element that a page can hold: without the XML's head, names that occur in every plot, and a size of its own."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL
    )  # it would hold for the whole page
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r"\n\s*", "\n", svg).replace("xlink:href", "href")
    svg = re.sub(r"#0000[0-9a-f]{2}\b", lambda found: _OF_COLOUR.get(found[0], "var(--ink)"), svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box[0]} role="img" aria-label="{escape(words)}">'
    return re.sub(r"^<svg[^>]*>", lambda _: head, svg)


def tidy(axes: "Axes", *, grid: str = "y") -> None:
    """The common look: only the axis that the marks stand on, and faint lines to read them by."""
    axes.set_axisbelow(True)
    axes.grid(visible=True, axis=grid, linewidth=1)  # type: ignore[arg-type]
    axes.tick_params(length=0, pad=6)
    for side in ("top", "right", "left" if grid == "y" else "bottom"):
        axes.spines[side].set_visible(False)
