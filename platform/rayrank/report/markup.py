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


def table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> Element:
    """Numbers to read: the first column names the row, the others align right; `head` may be []."""
    return h(
        "div",
        h(
            "table",
            h("caption", caption),
            h("thead", h("tr", *(h("th", name, scope="col") for name in head))) if head else None,
            h(
                "tbody",
                *(
                    h("tr", h("th", row[0], scope="row"), *(h("td", cell) for cell in row[1:]))
                    for row in rows
                ),
            ),
        ),
        class_="table",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def fold(summary: str, *children: Child) -> Element:
    """Something for those who ask."""
    return h("details", h("summary", summary), *children)


def _value(value: object) -> str:
    # A tenth of a pixel is enough, and keeps pages small.
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
