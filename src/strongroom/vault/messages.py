"""What the coordinating process and its workers say to each other, over pipes, as msgpack."""

from __future__ import annotations

import msgspec

from strongroom.vault.pipe import Pipe

# Files named that are younger than a feed; of more, their number.
MOST_YOUNGER = 1000


class Base(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot to compare with: its id, the moment its scan began, and the file of what it knew ('' where lost).

    ``trusted``: whether an unchanged identity spares reading; otherwise it only tells changed from unchanged.
    """

    snapshot: str
    scan_started: int
    file: str
    trusted: bool
    digests: bool


class Work(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Walk these folders (stored paths) of a source.

    ``recheck``: only they, not what is below, trusting these inodes as long as they have these ctimes (nanoseconds).
    ``root`` is where to walk in place of the source's path (empty: there), and files changed at or after ``opened_ns`` are
    to be told.
    """

    task: int
    series: int
    source: int
    paths: list[bytes]
    base: Base | None
    recheck: dict[int, int] | None = None
    root: bytes = b""
    opened_ns: int | None = None


class Known(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The answer to `Ask`: one byte for each id, 1 where it need not be stored."""

    bits: bytes


class Unlocked(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The vault's keys, once the passphrase was stretched, and what is known to be lost.

    ``doubtful``: the index may lack what last time's snapshots need.
    """

    vault_id: bytes
    public: bytes
    id: bytes
    index: bytes
    meta: bytes
    private: bytes | None
    lost_chunks: list[bytes]
    lost_records: list[bytes]
    doubtful: bool


class Finish(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """No more work: finish the open pack and end."""


class Draw(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Draw the feed of a series; ``last`` is the newest snapshot that has what it made then (empty: none)."""

    task: int
    series: int
    last: str


class Release(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """Release the feed of a series: nothing of it is needed any more."""

    series: int


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """A worker has nothing to do."""


class Donate(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """Folders of a task that another worker may walk."""

    task: int
    paths: list[bytes]


class Ask(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """Which of these ids, one after another, need not be stored?"""

    ids: bytes


class Framed(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """A frame was appended to a pack."""

    series: int
    pack: bytes
    path: str
    offset: int
    size: int
    ids: bytes
    kind: int


class Packed(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """A pack is finished in its spool."""

    pack: bytes
    path: str
    size: int


class Folder(msgspec.Struct, frozen=True, array_like=True):
    """One folder's new record, with what this machine remembers of it."""

    path: bytes
    known: bytes
    references: bytes
    body: bytes


class Node(msgspec.Struct, frozen=True, array_like=True):
    """A tree node other than a folder's record."""

    id: bytes
    references: bytes
    body: bytes


class Counts(msgspec.Struct, array_like=True):
    """What was seen since the last message; ``entries`` counts folders too, ``size`` is logical bytes."""

    seen: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    bytes_read: int = 0
    entries: int = 0
    size: int = 0

    def add(self, other: Counts) -> None:
        """Add another's numbers."""
        self.seen += other.seen
        self.changed += other.changed
        self.unchanged += other.unchanged
        self.removed += other.removed
        self.bytes_read += other.bytes_read
        self.entries += other.entries
        self.size += other.size


class Remark(msgspec.Struct, frozen=True, array_like=True):
    """Something to tell about a stored path; ``defect`` makes the point incomplete."""

    path: bytes
    message: str
    defect: bool


class Linked(msgspec.Struct, frozen=True, array_like=True):
    """A name of a file with several links that belongs to another user: ours, if all its names turn up.

    ``ctime`` in nanoseconds; ``place`` is the inode of the folder that holds the name, and the name: a path would not do,
    since a folder that is renamed meanwhile shows the same name twice.
    """

    inode: int
    links: int
    ctime: int
    folder: bytes
    place: tuple[int, bytes]


class Walked(msgspec.Struct, frozen=True, array_like=True, tag=15):
    """A part of a task's result. ``younger`` are some of the ``younger_count`` files that changed after the feed's moment."""

    task: int
    folders: list[Folder]
    nodes: list[Node]
    removed: list[bytes]
    remarks: list[Remark]
    linked: list[Linked]
    counts: Counts
    younger: list[bytes] = []
    younger_count: int = 0


class Done(msgspec.Struct, frozen=True, array_like=True, tag=16):
    """A task is finished, and all its content is appended."""

    task: int


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=17):
    """A task, or with none the whole run, cannot go on."""

    task: int | None
    message: str


class Drawn(msgspec.Struct, frozen=True, array_like=True, tag=18):
    """A feed was drawn to its end, which is not to say that its content is appended; see `feed.Feed` for the rest."""

    task: int
    told: bytes
    opened_ns: int | None
    roots: dict[str, bytes]


class Released(msgspec.Struct, frozen=True, array_like=True, tag=19):
    """A feed was released; ``message`` says what went wrong (empty: nothing)."""

    series: int
    message: str


ToWorker = Work | Known | Unlocked | Finish | Draw | Release
FromWorker = Ready | Donate | Ask | Framed | Packed | Walked | Done | Failed | Drawn | Released

_encoder = msgspec.msgpack.Encoder()
_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)


def send(pipe: Pipe, message: ToWorker | FromWorker) -> None:
    """Send one message. Raise OSError when the other side is gone."""
    pipe.send(_encoder.encode(message))


def receive_work(pipe: Pipe) -> ToWorker:
    """The next message for a worker. Raise EOFError."""
    message: ToWorker = _to_worker.decode(pipe.receive())
    return message


def receive_result(pipe: Pipe) -> FromWorker:
    """The next message from a worker. Raise EOFError."""
    message: FromWorker = _from_worker.decode(pipe.receive())
    return message
