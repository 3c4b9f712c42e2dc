"""Objects of a repository, written and read through git's plumbing; what is read is checked against its name.

A commit's message, a tree's names, a blob's bytes: all of it may be the tenant's own work. It is parsed within bounds, and an
object that is not what its id says is damage.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from types import TracebackType

from strongroom.errors import SnapshotError
from strongroom.model import Frozen
from strongroom.webapps.snapshots.git import BRANCH, Git, Process

MOST_OBJECT = 80 << 20
_MOST_DEPTH = 64
# A few trees that hold each other can stand for more files than any disk has.
_MOST_FILES = 1_000_000
_ID = re.compile(rb"[0-9a-f]{40}")
_COMMITTER = re.compile(rb"^committer [^\n]*> (-?\d{1,12}) [+-]\d{4}$", re.MULTILINE)
_FOLDER = b"40000"


class Commit(Frozen):
    """One commit: its tree, its first parent (None: it has none), when it was made (seconds since 1970), its message."""

    id: str
    tree: str
    parent: str | None
    time: int
    message: str


def blob_id(content: bytes) -> str:
    """What git calls this content."""
    return _id(b"blob", content)


def is_id(text: bytes) -> bool:
    """Whether a text is an object's whole id."""
    return _ID.fullmatch(text) is not None


class Reader:
    """Reads objects; ``with Reader(git) as reader``."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._process: Process | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.__exit__(kind, error, trace)

    def read(self, name: str, kind: str) -> bytes:
        """One object's content. Raise SnapshotError when it is missing, of another kind, too large or damaged."""
        if self._process is None:
            self._process = self._git.start("cat-file", "--batch")
        process = self._process
        process.send(name.encode("ascii") + b"\n")
        said = process.line().split(b" ")
        if len(said) != 3 or said[1] != kind.encode() or not said[2].isdigit():
            raise SnapshotError(f"the repository has no {kind} {name[:12]}: a snapshot is damaged")
        size = int(said[2])
        if size > MOST_OBJECT:
            raise SnapshotError(f"{kind} {name[:12]} of the repository is too large: {size} bytes")
        content = process.exactly(size + 1)[:-1]
        if _id(kind.encode(), content) != name:
            raise SnapshotError(
                f"{kind} {name[:12]} of the repository is not what its name says: a snapshot is damaged"
            )
        return content

    def commit(self, name: str) -> Commit:
        """One commit."""
        head, _, message = self.read(name, "commit").partition(b"\n\n")
        lines = head.split(b"\n")
        tree = lines[0].removeprefix(b"tree ")
        parents = [line[7:] for line in lines if line.startswith(b"parent ")]
        made = _COMMITTER.search(head)
        if not is_id(tree) or not all(map(is_id, parents)) or made is None:
            raise SnapshotError(f"commit {name[:12]} of the repository cannot be read")
        return Commit(
            id=name,
            tree=tree.decode(),
            parent=parents[0].decode() if parents else None,
            time=int(made[1]),
            message=message.decode("utf-8", "replace"),
        )

    def entries(self, tree: str) -> dict[bytes, tuple[bool, str]]:
        """A tree: for each name, whether it is a folder, and the object's id."""
        found = {}
        rest = self.read(tree, "tree")
        while rest:
            head, _, rest = rest.partition(b"\0")
            mode, _, name = head.partition(b" ")
            found[name] = (mode == _FOLDER, rest[:20].hex())
            rest = rest[20:]
        return found

    def below(self, tree: str, folder: bytes) -> dict[bytes, str]:
        """All files below one folder of a tree, by path from there; nothing where there is no such folder."""
        is_folder, inner = self.entries(tree).get(folder, (False, ""))
        found = dict(islice(self._walk(inner, b"", _MOST_DEPTH), _MOST_FILES)) if is_folder else {}
        if len(found) == _MOST_FILES:
            raise SnapshotError(f"tree {tree[:12]} of the repository holds too many files")
        return found

    def _walk(self, tree: str, above: bytes, depth: int) -> Iterator[tuple[bytes, str]]:
        for name, (is_folder, inner) in self.entries(tree).items():
            if not is_folder:
                yield above + name, inner
            elif depth:
                yield from self._walk(inner, above + name + b"/", depth - 1)


def present(git: Git, names: Iterable[str], kinds: Collection[str] = ("blob",)) -> set[str]:
    """Those objects of some kinds that the repository has."""
    wanted = sorted(set(names))
    if not wanted:
        return set()
    with git.start("cat-file", "--batch-check=%(objectname) %(objecttype)") as process:
        found = set()
        # In small lots: the answers of a thousand fit a pipe, so that neither side waits for the other.
        for start in range(0, len(wanted), 1000):
            lot = wanted[start : start + 1000]
            process.send("".join(f"{name}\n" for name in lot).encode())
            for name in lot:
                said, _, kind = process.line().decode("ascii", "replace").partition(" ")
                if said == name and kind in kinds:
                    found.add(name)
        process.end()
        return found


class Writer:
    """Writes blobs and one commit; nothing refers to what was written before the commit's id is put somewhere."""

    def __init__(self, git: Git, known: set[str]) -> None:
        """``known`` are blobs that the repository has already."""
        # Always a pack: loose objects of a snapshot that is dropped could not be told from the owner's own.
        self._process = git.start(
            "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet", "--done", "--date-format=raw", "--depth=0"
        )
        self._known = known

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.__exit__(kind, error, trace)

    def blob(self, content: bytes) -> str:
        """Store a content, if it is not there yet; returns its id."""
        name = blob_id(content)
        if name not in self._known:
            self._process.send(b"blob\ndata %d\n" % len(content))
            self._process.send(content)
            self._process.send(b"\n")
            self._known.add(name)
        return name

    def commit(self, files: Mapping[bytes, tuple[bytes, str]], message: str, time: int, parent: str | None) -> str:
        """Make a commit of files (mode and blob by path), and end; returns its id."""
        text = message.encode("utf-8", "replace")
        lines = [
            f"commit {BRANCH}\nmark :1\ncommitter Strongroom <strongroom@localhost> {time} +0000\n".encode(),
            b"data %d\n%b\n" % (len(text), text),
        ]
        if parent is not None:
            lines.append(f"from {parent}\ndeleteall\n".encode())
        lines += [b"M %b %b %b\n" % (mode, name.encode(), _quoted(path)) for path, (mode, name) in files.items()]
        self._process.send(b"".join(lines) + b"\nget-mark :1\n")
        made = self._process.line()
        if not is_id(made):
            raise SnapshotError("git fast-import does not say what it made")
        self._process.send(b"done\n")
        self._process.end()
        return made.decode()


def _id(kind: bytes, content: bytes) -> str:
    return hashlib.sha1(b"%b %d\0%b" % (kind, len(content), content), usedforsecurity=False).hexdigest()


def _quoted(path: bytes) -> bytes:
    return b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'
