"""What the coordinating process and its workers say to each other, over pipes, as msgpack."""

from __future__ import annotations

import msgspec

from strongroom.vault.pipe import Pipe


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
    """

    task: int
    series: int
    source: int
    paths: list[bytes]
    base: Base | None
    recheck: dict[int, int] | None = None


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
    """A part of a task's result."""

    task: int
    folders: list[Folder]
    nodes: list[Node]
    removed: list[bytes]
    remarks: list[Remark]
    linked: list[Linked]
    counts: Counts


class Done(msgspec.Struct, frozen=True, array_like=True, tag=16):
    """A task is finished, and all its content is appended."""

    task: int


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=17):
    """A task, or with none the whole run, cannot go on."""

    task: int | None
    message: str


ToWorker = Work | Known | Unlocked | Finish
FromWorker = Ready | Donate | Ask | Framed | Packed | Walked | Done | Failed

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
