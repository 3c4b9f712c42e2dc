"""Which volumes of a set duplicity reads for a path, by the manifest of the set that it keeps in clear on this machine."""

from __future__ import annotations

import re

# A path stands there with duplicity's escapes, and the number of a block behind it where a file is cut.
_VOLUME = re.compile(rb"^Volume (\d+):\n +StartingPath +(\S+)[^\n]*\n +EndingPath +(\S+)", re.MULTILINE)
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


def containing(manifest: bytes, path: bytes) -> tuple[list[int], int]:
    """The numbers of the volumes that may hold something of a path (empty: of all), and how many there are."""
    wanted = _parts(path)
    volumes = [(int(number), _parts(first), _parts(last)) for number, first, last in _VOLUME.findall(manifest)]
    found = [number for number, first, last in volumes if first[: len(wanted)] <= wanted <= last or not wanted]
    return found, len(volumes)


def _parts(told: bytes) -> tuple[bytes, ...]:
    """A path's names."""
    if told.startswith(b'"'):
        told = _ESCAPED.sub(lambda found: bytes.fromhex(found.group(1).decode()), told[1:-1])
    return tuple(told.split(b"/")) if told not in (b"", b".") else ()
