"""Write SVG and HTML: elements with escaped attributes and text, nothing else. Pure."""

from html import escape


def element(name: str, *children: str, **attributes: object) -> str:
    """Return one element; children are markup already, attributes are escaped.

    A trailing underscore of an attribute's name is dropped and others become hyphens: `class_`, `stroke_width`.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{given}>{''.join(children)}</{name}>"


def text(content: str) -> str:
    """Return text as markup."""
    return escape(content, quote=False)


def number(value: object) -> str:
    """Return an attribute's value; coordinates with two digits at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def label(x: float, y: float, content: str, class_: str = "", anchor: str = "start") -> str:
    """Return a line of text in a picture."""
    return element("text", text(content), x=x, y=y, class_=class_ or None, text_anchor=anchor)


def picture(width: float, height: float, title: str, *children: str) -> str:
    """Return an SVG that scales to its place and names itself to those who cannot see it."""
    return element(
        "svg",
        element("title", text(title)),
        *children,
        viewBox=f"0 0 {number(float(width))} {number(float(height))}",
        role="img",
        aria_label=title,
        style=f"max-width:{number(1.3 * width)}px",
    )
