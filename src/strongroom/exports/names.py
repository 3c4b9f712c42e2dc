"""Names of databases and tables as names of files, and back."""

from __future__ import annotations

import re

from blake3 import blake3

# A file's name may have 255 bytes; the suffix is ours.
_MOST = 240
_ESCAPED = re.compile(r"[%/\x00-\x1f\x7f]|^\.")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")


def file_name(name: str) -> str:
    """A name as one component of a path: what a path cannot hold is ``%XX``; too long a one is cut and gets its hash."""
    return _short(_ESCAPED.sub(_escape, name))


def joined(*names: str) -> str:
    """Several names as one component with dots between; dots inside them are escaped."""
    return _short(".".join(_ESCAPED.sub(_escape, name).replace(".", "%2E") for name in names))


def parts(name: str) -> tuple[str, ...]:
    """The reverse of `joined` and `file_name`, for all names but those that were cut."""
    return tuple(_ESCAPE.sub(lambda code: chr(int(code[1], 16)), part) for part in name.split("."))


def _escape(found: re.Match[str]) -> str:
    return f"%{ord(found.group()):02X}"


def _short(name: str) -> str:
    encoded = name.encode()
    if len(encoded) <= _MOST:
        return name
    return encoded[: _MOST - 40].decode("utf-8", "ignore").rstrip("%") + "%~" + blake3(encoded).hexdigest()[:32]
