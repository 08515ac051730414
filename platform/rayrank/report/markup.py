"""HTML and SVG as element trees: whatever text goes in comes out escaped, every tag is closed."""

from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

Child = Element | str | None


def h(tag: str, *children: Child, **attributes: object) -> Element:
    """An element: `class_` becomes class, `stroke_width` stroke-width; None is no child."""
    names = {k.rstrip("_").replace("_", "-"): _value(v) for k, v in attributes.items()}
    element = Element(tag, names)
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            element.append(child)
            last = child
        elif child is not None and last is not None:
            last.tail = (last.tail or "") + child
        elif child is not None:
            element.text = (element.text or "") + child
    return element


def to_html(page: Element) -> str:
    """The document as text."""
    return "<!DOCTYPE html>\n" + ElementTree.tostring(page, encoding="unicode", method="html")


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[Child]],
    caption: str,
    *,
    strong: int | None = None,
    class_: str = "",
) -> Element:
    """Numbers to read: the first column names the row, the others align right; `head` may be [].

    `strong` is the row that matters. What is too wide for the page scrolls in its own frame, under
    a caption and beside row names that stay.
    """
    body = [
        h(
            "tr",
            h("th", row[0], scope="row"),
            *(h("td", *_parted(cell)) for cell in row[1:]),
            **({"class_": "strong"} if number == strong else {}),
        )
        for number, row in enumerate(rows)
    ]
    titles = h("thead", h("tr", *(h("th", name, scope="col") for name in head))) if head else None
    return h(
        "figure",
        h("figcaption", caption),
        h(
            "div",
            h("table", titles, h("tbody", *body)),
            class_="scrolling",
            tabindex=0,  # so that the keyboard can scroll it
            role="region",
            aria_label=caption,
        ),
        class_=f"numbers {class_}".strip(),
    )


def fold(summary: str, *children: Child) -> Element:
    """Something for those who ask."""
    return h("details", h("summary", summary), *children)


def section(title: str, how: str, *children: Child) -> Element:
    """A part of the page, with how to read it."""
    return h("section", h("h2", title), h("p", how, class_="how"), *children)


def columns(*parts: Element) -> Element:
    """Side by side where there is room."""
    return h("div", *parts, class_="columns")


def _parted(cell: Child) -> list[Child]:
    """A margin goes below its number where there is no room beside it."""
    if not isinstance(cell, str) or " ± " not in cell:
        return [cell]
    number, margin = cell.split(" ± ")
    return [f"{number} ", h("small", f"± {margin}")]


def _value(value: object) -> str:
    # A tenth of a pixel is enough, and keeps pages small.
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
