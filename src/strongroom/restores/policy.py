"""What of an entry may come back, and where: privileges in an account's own folder need a reason."""

from __future__ import annotations

import msgspec

from strongroom.clients.base import Readable
from strongroom.errors import ClientError
from strongroom.model import Entry, FileType, Frozen, Point
from strongroom.restores.attributes import without_origin
from strongroom.restores.remarks import Remarks
from strongroom.restores.request import RestoreRequest

_SET_ID = 0o6000
# Below this, numbers belong to the system (root, mail, apache …), whatever an account's etc/passwd says.
_FIRST_OWN = 100
_LARGEST_TABLE = 16 << 20
_WHITEOUT = (0, 0)


class Policy(Frozen, frozen=True):
    """How privileges come back: all of them beside the account, in place those that are the account's own."""

    in_place: bool
    users: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()
    devices: bool = False

    def admit(self, entry: Entry, remarks: Remarks) -> Entry | None:
        """The entry as it may be written, or None when it may not; a warning says what was left out."""
        if entry.type in (FileType.CHAR, FileType.BLOCK):
            return self._device(entry, remarks)
        if entry.type is FileType.FILE and entry.mode & _SET_ID and self.in_place and not self._own(entry):
            message = f"its set-id bits are left out: {entry.uid}:{entry.gid} are not the account's own user and group"
            remarks.warn(entry.path, message, missing=False)
            entry = msgspec.structs.replace(entry, mode=entry.mode & ~_SET_ID)
        return without_origin(entry)

    def _own(self, entry: Entry) -> bool:
        return entry.uid in self.users and entry.gid in self.groups

    def _device(self, entry: Entry, remarks: Remarks) -> Entry | None:
        whiteout = entry.type is FileType.CHAR and entry.rdev == _WHITEOUT
        if whiteout or self.devices or not self.in_place:
            return entry
        message = f"the device node {entry.rdev[0]}:{entry.rdev[1]} is left out; --devices brings it back"
        remarks.warn(entry.path, message, missing=False)
        return None


def policy_of(request: RestoreRequest, client: Readable) -> Policy:
    """The policy of a request; which ids are the account's own say the request, else the account and the point."""
    if request.to is not None:
        return Policy(in_place=False)
    users, groups = request.users, request.groups
    if users is None or groups is None:
        found_users, found_groups = _ids(client, request.point)
        if request.account is not None:
            found_users |= request.account.users
        users = found_users if users is None else users
        groups = found_groups if groups is None else groups
    return Policy(
        in_place=True,
        users=frozenset(uid for uid in users if uid >= _FIRST_OWN),
        groups=frozenset(gid for gid in groups if gid >= _FIRST_OWN),
        devices=request.devices,
    )


def _ids(client: Readable, point: Point) -> tuple[frozenset[int], frozenset[int]]:
    users = _rows(client, point, b"data/etc/passwd")
    groups = _rows(client, point, b"data/etc/group")
    own_users = {int(row[2]) for row in users}
    own_groups = {int(row[3]) for row in users if len(row) > 3 and row[3].isdigit()} | {int(row[2]) for row in groups}
    top = client.lookup(point, b"data")
    if top is not None and top.uid:
        own_users.add(top.uid)
        own_groups.add(top.gid)
    return frozenset(own_users), frozenset(own_groups)


def _rows(client: Readable, point: Point, path: bytes) -> list[list[bytes]]:
    """The rows of a table such as etc/passwd as the point has it, if root wrote it and nobody else could."""
    entry = client.lookup(point, path)
    if entry is None or entry.type is not FileType.FILE or entry.uid != 0 or entry.mode & 0o022:
        return []
    if entry.size > _LARGEST_TABLE or entry.stored != entry.size:
        return []
    read = bytearray(entry.size)
    try:
        for _, offset, data in client.contents(point, [entry]):
            read[offset : offset + len(data)] = data
    except ClientError:
        return []
    rows = [line.split(b":") for line in bytes(read).split(b"\n")]
    return [row for row in rows if len(row) > 2 and row[2].isdigit()]
