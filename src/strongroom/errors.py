"""Every error a user can meet, as one tree.

StrongroomError                 what was wrong, with what, and what to do: one line; exit status 2
├── UsageError                  the command line contradicts itself or is out of range
├── ConfigError                 the configuration: key and line are in the message
├── UnknownError                an account, point, path, scope or schedule that is not there
├── SourceError                 what should be backed up cannot be (a database server's data folder, a missing root)
├── ExportError                 a database server, an export, or the loading of one
├── ClientError                 the backup software or its storage: absent, full, read-only, wrong passphrase, damaged
│   └── AwayError               nothing of the storage can be read, so that asking for less is of no use
├── BusyError                   another run holds what this one needs
├── SettingError                a scope, a schedule or the nightly job cannot be read or changed
├── RestoreError                a restore that was refused or could not be finished
├── SnapshotError               an app's snapshot that cannot be taken, read or put back
├── AssuranceError              an app that cannot be looked at or updated
└── NotBuiltError               a command of the interface that is not there yet

``code`` is the stable word that ``--json`` prints as ``error.code``. What merely makes a point incomplete is no error but
a `Remark` of the point.
"""

from __future__ import annotations

import errno

# What to do about an error of the system, where that can be said.
_CURES = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EROFS: "mount it writable",
    errno.EACCES: "run as root",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "name a file",
}


class StrongroomError(Exception):
    """Something the user has to know; the message is one line. Raise a leaf, not this."""

    code = "error"
    exit_status = 2


class UsageError(StrongroomError):
    """The command line contradicts itself, or a value is out of range."""

    code = "usage"


class ConfigError(StrongroomError):
    """The configuration is wrong; the message names file, line and key."""

    code = "config"


class UnknownError(StrongroomError):
    """There is no such account, point, path, scope or schedule."""

    code = "unknown"


class SourceError(StrongroomError):
    """A location cannot be backed up, and the message says why."""

    code = "source"


class ExportError(StrongroomError):
    """A database server cannot be reached, or an export or the loading of one failed."""

    code = "export"


class ClientError(StrongroomError):
    """The backup software or its storage does not do what it must."""

    code = "client"


class AwayError(ClientError):
    """Nothing of a client's storage can be read: it is absent, out of reach, or its passphrase is wrong.

    Whoever asked for many files need not ask for them one by one.
    """


class BusyError(StrongroomError):
    """Another run is at work on the same thing."""

    code = "busy"


class SettingError(StrongroomError):
    """A scope, a schedule or the nightly job cannot be read or changed."""

    code = "setting"


class RestoreError(StrongroomError):
    """A restore was refused, or stopped before it was done."""

    code = "restore"


class SnapshotError(StrongroomError):
    """A web app's snapshot cannot be taken, read or put back, or its repository is not one of ours."""

    code = "snapshot"


class AssuranceError(StrongroomError):
    """A web app cannot be looked at, its update cannot begin, or what an update left cannot be put right."""

    code = "assurance"


class NotBuiltError(StrongroomError):
    """A promised command that this version does not have yet."""

    code = "not-built"


def of_system(error: OSError) -> str:
    """An error of the operating system as one line: with what (where it says so), what was wrong, and what to do."""
    name = error.filename
    what = f"{name.decode('utf-8', 'surrogateescape') if isinstance(name, bytes) else name}: " if name else ""
    cure = f"; {_CURES[error.errno]}" if error.errno in _CURES else ""
    return f"{what}{error.strerror or error}{cure}"
