"""Settings on disk: in the state folder, for root alone, and never half of one.

A file is replaced whole or not at all; what was told to the user as set survives a power cut.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from strongroom.errors import BusyError, ConfigError, SettingError
from strongroom.model import text

_LOOKS, _A_LOOK = 3, 0.05
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def settings_path(state: bytes, name: bytes) -> bytes:
    """Where a file of settings is in a state folder; its folder is made. Raise ConfigError when that cannot be."""
    return os.path.join(_folder(state, b"settings"), name)


def read(path: bytes) -> bytes | None:
    """The content of a file of settings; None when there is none. Raise SettingError when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingError(f"{text(path)}: cannot be read ({error.strerror}); run as root") from None


def replace(path: bytes, content: bytes, mode: int = 0o600) -> None:
    """Write a file so that at any moment either the old content or the new stands there; raise SettingError."""
    draft = path + b"." + secrets.token_hex(4).encode() + b".new"
    try:
        try:
            with open(os.open(draft, _NEW, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            os.rename(draft, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(draft)
            raise
        sync_folder(os.path.dirname(path))
    except OSError as error:
        raise SettingError(f"{text(path)}: cannot be written ({error.strerror}); run as root") from None


def sync_folder(path: bytes) -> None:
    """Make what was renamed or removed in a folder durable; raise OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def alone(state: bytes, name: bytes, busy: str | None = None) -> Iterator[int]:
    """Hold a lock of the state folder; give its descriptor.

    Whoever comes second waits or, where ``busy`` says what to tell him, gets a BusyError. The kernel lets go of the lock
    when the last process with the descriptor ends: a child that was given it still holds it when its parent was killed.
    """
    path = os.path.join(_folder(state, b"locks"), name)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        if busy is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        elif not _taken(descriptor):
            raise BusyError(busy)
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    """Take a lock, unless somebody holds it for longer than `is_held` needs to look at it."""
    for _ in range(_LOOKS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_A_LOOK)
        else:
            return True
    return False


def is_held(state: bytes, name: bytes) -> bool:
    """Whether somebody holds a lock of the state folder right now."""
    try:
        descriptor = os.open(os.path.join(state, b"locks", name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _folder(state: bytes, name: bytes) -> bytes:
    folder = os.path.join(state, name)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return folder


def _unwritable(path: bytes, error: OSError) -> ConfigError:
    return ConfigError(f"server.state: {text(path)} cannot be written ({error.strerror}); settings are kept there")
