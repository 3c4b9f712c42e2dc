"""What git forgets, as text beside the files: one line of JSON for each entry of an app, and texts cut into pieces.

A line has path, type, mode, owner, group, time, extended attributes (ACLs among them), flags, and for a file the blob that is
its content; no blob means that the content is not kept. Lines stand in the order of a walk, so that two snapshots differ
in few of them.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterable, Iterator

import msgspec

from strongroom.errors import SnapshotError
from strongroom.model import Entry, FileType, Time
from strongroom.restores.beneath import HostileNameError, check_name

# A piece ends after a line whose checksum says so, once it has the least bytes: an edit changes few pieces.
_LEAST, _MOST = 64 << 10, 1 << 20
_ENDS = 0xFF
_ESCAPED = re.compile(r"[%\x00-\x1f\x7f\udc80-\udcff]")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")


class Line(msgspec.Struct, omit_defaults=True, frozen=True):
    """One entry as it is written. ``path`` is below the app's folder, whose own is empty; ``time`` has nine digits."""

    path: str
    type: FileType
    mode: str
    uid: int
    gid: int
    time: str
    size: int = 0
    blob: str | None = None
    target: str = ""
    xattrs: dict[str, str] = {}
    flags: int = 0
    links: int = 1
    group: int = 0
    rdev: tuple[int, int] = (0, 0)


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Line)


def written(path: bytes) -> str:
    """A path as text that says all of it: what is no text, and what could break a line, is ``%XX``."""
    return _ESCAPED.sub(_escape, path.decode("utf-8", "surrogateescape"))


def path_of(text: str) -> bytes:
    """The reverse of `written`."""
    return _ESCAPE.sub(lambda code: chr(_high(int(code[1], 16))), text).encode("utf-8", "surrogateescape")


def encode(entries: Iterable[Entry], app: bytes) -> Iterator[bytes]:
    """The lines of entries, whose paths are below the stored path of an app; an entry's content is its blob."""
    groups: dict[bytes, int] = {}
    for entry in entries:
        group = groups.setdefault(entry.link_group, len(groups) + 1) if entry.link_group else 0
        line = Line(
            path=written(entry.path[len(app) + 1 :]),
            type=entry.type,
            mode=f"{entry.mode:04o}",
            uid=entry.uid,
            gid=entry.gid,
            time=f"{entry.mtime.seconds}.{entry.mtime.nanoseconds:09d}",
            size=entry.size,
            blob=entry.content if isinstance(entry.content, str) else None,
            target=written(entry.target),
            xattrs={written(name): base64.b64encode(value).decode() for name, value in entry.xattrs},
            flags=entry.flags,
            links=entry.links,
            group=group,
            rdev=entry.rdev,
        )
        yield _ENCODER.encode(line) + b"\n"


def decode(content: bytes, app: bytes) -> list[Entry]:
    """The entries of such lines, checked for what no walk can have given; raise SnapshotError."""
    entries: list[Entry] = []
    folders: set[bytes] = set()
    seen: set[bytes] = set()
    try:
        for text in content.splitlines():
            entry = _entry(_DECODER.decode(text), app)
            above = entry.path.rpartition(b"/")[0]
            if entry.path in seen or (entry.path != app and above not in folders):
                raise SnapshotError(f"a snapshot's attributes name {entry.path[-80:]!r} out of order")
            seen.add(entry.path)
            if entry.type is FileType.DIR:
                folders.add(entry.path)
            entries.append(entry)
    except (msgspec.MsgspecError, ValueError, binascii.Error, HostileNameError) as error:
        raise SnapshotError(f"a snapshot's attributes cannot be read: {error}") from None
    return entries


def _entry(line: Line, app: bytes) -> Entry:
    path = path_of(line.path)
    for name in path.split(b"/") if path else ():
        check_name(name)
    seconds, _, nanoseconds = line.time.partition(".")
    whole = line.type is FileType.FILE and (line.blob is not None or not line.size)
    return Entry(
        path=app + b"/" + path if path else app,
        type=line.type,
        mode=int(line.mode, 8) & 0o7777,
        uid=line.uid,
        gid=line.gid,
        mtime=Time(int(seconds), int(nanoseconds)),
        size=line.size,
        stored=line.size if whole else 0,
        links=line.links,
        link_group=b"%d" % line.group if line.group else b"",
        target=path_of(line.target),
        rdev=line.rdev,
        flags=line.flags,
        xattrs=tuple(
            sorted((path_of(name), base64.b64decode(value, validate=True)) for name, value in line.xattrs.items())
        ),
        content=line.blob,
    )


def cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A text as pieces of whole lines, at places that its content says; a line that is too long is cut."""
    waiting: list[bytes] = []
    size = 0
    for line in _lines(pieces):
        waiting.append(line)
        size += len(line)
        if size >= _MOST or (size >= _LEAST and zlib.crc32(line) & _ENDS == 0):
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n") if b"\n" in piece else (rest + piece,)
        for line in whole:
            yield line + b"\n"
        while len(rest) > _MOST:
            yield rest[:_MOST]
            rest = rest[_MOST:]
    if rest:
        yield rest


def _escape(found: re.Match[str]) -> str:
    return f"%{ord(found.group()) & 0xFF:02X}"


def _high(code: int) -> int:
    return code if code < 0x80 else 0xDC00 + code
