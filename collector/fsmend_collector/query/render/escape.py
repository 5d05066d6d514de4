r"""Make text that came from a host safe to show.

File names, kernel log lines and labels may hold newlines, terminal escapes, direction overrides and bytes that are no
UTF-8. A person sees them as `\n`, `\x1b`, `\u202e`, `\xff`; the terminal never does.
"""

import re
import unicodedata

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_AFTER_ASCII = re.compile(r"[^\x00-\x7e]")


def visible(text: str | bytes) -> str:
    """Return `text` on one line with everything that is not printable written as an escape."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8, as surrogateescape keeps it
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def escape_json(document: str) -> str:
    """Escape, in finished JSON, what json.dumps leaves and a terminal may act on; the value stays the same."""
    return _AFTER_ASCII.sub(_json_escape, document)


def _json_escape(match: re.Match[str]) -> str:
    character = match.group()
    if character.isprintable():
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def width(text: str) -> int:
    """Return how many terminal columns `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, limit: int, *, keep_end: bool = False) -> str:
    """Shorten `text` to `limit` terminal columns; an ellipsis stands for what is missing.

    Args:
        text: already visible.
        limit: at least 1.
        keep_end: cut at the front, as suits a path.
    """
    if width(text) <= limit:
        return text
    kept: list[str] = []
    left = limit - 1
    for character in reversed(text) if keep_end else text:
        left -= _columns(character)
        if left < 0:
            break
        kept.append(character)
    return "…" + "".join(reversed(kept)) if keep_end else "".join(kept) + "…"
