"""Where an update comes from: a folder or an archive of one component, or a folder of several."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from strongroom.errors import AssuranceError
from strongroom.model import text
from strongroom.webapps.assurance.acting import Owner
from strongroom.webapps.assurance.becoming import Child
from strongroom.webapps.assurance.component import SHAPES, Component, recognise
from strongroom.webapps.assurance.install_child import Installed, Installing, Sent
from strongroom.webapps.assurance.unpack_child import Unpacking
from strongroom.webapps.base import Kind
from strongroom.webapps.scratch import scratch

_ARCHIVES = (b".zip", b".tar", b".tar.gz", b".tgz", b".tar.bz2", b".tbz2", b".tar.xz", b".txz")
# What some packers put beside everything.
_BESIDE = (b"__MACOSX", b".DS_Store")
_MOST_SECONDS = 1800
_MOST_COMPONENTS = 1000
_BLOCK = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NothingForIt(AssuranceError):
    """A source has nothing for this kind of app."""


@contextmanager
def components(path: bytes, kind: Kind, owner: Owner) -> Iterator[list[Component]]:
    """The components at a path, for as long as they are needed: archives are unpacked meanwhile, as the app's owner.

    Raise NothingForIt where there is nothing for this kind of app, AssuranceError for what cannot be read.
    """
    if kind.name not in SHAPES:
        raise NothingForIt(f"{kind.title} is not updated from a folder here; give its own command after --")
    with ExitStack() as stack:
        if os.path.isdir(path):
            found = _in_folder(path, kind, owner, stack)
        else:
            unpacked = _unpacked(path, owner, stack)
            one = _recognised(unpacked, _bare(path), kind)
            found = [one] if one else []
        if not found:
            known = "a core, a plugin or a theme"
            raise NothingForIt(f"{text(path)} holds nothing that {kind.title} could be updated with: {known}")
        yield found


def _in_folder(path: bytes, kind: Kind, owner: Owner, stack: ExitStack) -> list[Component]:
    one = _recognised(path, text(os.path.basename(path.rstrip(b"/"))), kind)
    if one is not None:
        return [one]
    found = []
    for name in sorted(os.listdir(path))[:_MOST_COMPONENTS]:
        below = os.path.join(path, name)
        if _is_folder(below):
            found.append(_recognised(below, text(name), kind))
        elif name.lower().endswith(_ARCHIVES):
            found.append(_recognised(_unpacked(below, owner, stack), _bare(name), kind))
    return [each for each in found if each is not None]


def _recognised(path: bytes, name: str, kind: Kind) -> Component | None:
    """What a folder holds, or the only folder in it, as archives are packed."""
    found = recognise(kind, path, name)
    inside = [each for each in os.listdir(path) if each not in _BESIDE]
    if found is None and len(inside) == 1 and _is_folder(os.path.join(path, inside[0])):
        found = recognise(kind, os.path.join(path, inside[0]), text(inside[0]))
    return found


def _is_folder(path: bytes) -> bool:
    """Whether a folder stands there, and no link to one: who may write beside it could have planted that."""
    return stat.S_ISDIR(os.lstat(path).st_mode)


def _bare(path: bytes) -> str:
    name = os.path.basename(path)
    ends = [end for end in _ARCHIVES if name.lower().endswith(end)]
    return text(name[: -len(max(ends, key=len))] if ends else name)


def _unpacked(path: bytes, owner: Owner, stack: ExitStack) -> bytes:
    ours = os.fsencode(scratch("unpacked"))
    stack.callback(shutil.rmtree, ours, ignore_errors=True)
    below = os.path.join(ours, b"unpacked")
    os.mkdir(below, 0o700)
    if os.geteuid() == 0:
        os.chown(below, owner.uid, owner.gid)
    try:
        archive = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise AssuranceError(f"{text(path)}: {error.strerror}; name a folder or an archive") from None
    folder = os.open(below, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        task = Unpacking(uid=owner.uid, gid=owner.gid, archive=archive, folder=folder)
        Child("unpack_child", task, (archive, folder)).answer(_MOST_SECONDS)
    except AssuranceError as error:
        raise AssuranceError(f"{text(path)}: {error}") from None
    finally:
        os.close(archive)
        os.close(folder)
    return below


def install(component: Component, app: int, owner: Owner) -> Installed:
    """Put a component in place in an app's open folder, as its owner; raise AssuranceError when that does not end well."""
    task = Installing(
        uid=owner.uid,
        gid=owner.gid,
        folder=app,
        place=component.place,
        whole=bool(component.place),
        remove=component.gone,
        closed=component.closes,
    )
    child = Child("install_child", task, (app,))
    try:
        _send(component, child)
        return msgspec.json.decode(child.answer(_MOST_SECONDS), type=Installed)
    except OSError as error:
        where = text(os.fsencode(error.filename or component.path))
        raise AssuranceError(f"{where}: {error.strerror}; the new files cannot be read") from None
    finally:
        child.end()


def _send(component: Component, child: Child) -> None:
    root = os.open(component.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for above, folders, files, at in os.fwalk(".", dir_fd=root, follow_symlinks=False):
            inside = os.fsencode(above).removeprefix(b".").removeprefix(b"/")
            for name in list(folders):
                path = os.path.join(inside, os.fsencode(name))
                if path in component.kept:
                    folders.remove(name)
                elif stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
                    raise AssuranceError(f"{text(path)} of {text(component.path)} is a link; put files in its place")
                else:
                    _announce(child, Sent(path=path, size=-1))
            for name in files:
                path = os.path.join(inside, os.fsencode(name))
                if path not in component.kept:
                    _send_file(child, at, name, path)
        _announce(child, Sent(path=b""))
    finally:
        os.close(root)


def _announce(child: Child, sent: Sent) -> None:
    header = msgspec.msgpack.encode(sent)
    child.write(len(header).to_bytes(4) + header)


def _send_file(child: Child, folder: int, name: str, path: bytes) -> None:
    with open(os.open(name, _READ, dir_fd=folder), "rb") as file:
        status = os.fstat(file.fileno())
        _announce(child, Sent(path=path, mode=status.st_mode & 0o777, size=status.st_size))
        left = status.st_size
        while left and (block := file.read(min(left, _BLOCK))):
            child.write(block)
            left -= len(block)
        if left:
            raise AssuranceError(f"{text(path)}: it became shorter while it was read; try again")
