"""The texts of the nightly job for systemd and for ``cron.daily``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from strongroom.config import Bacula, Config
from strongroom.model import text

# How it is known that a file is ours to change and remove.
MARK = 'Written by "strongroom timers install"; "strongroom timers remove" takes it away.'

_PLAIN = re.compile(r"[A-Za-z0-9@/_.,:=+-]+")
# Many servers begin at the same hour, and may share a store: they spread over as many minutes.
_MOST_DELAY = 45

_SERVICE = """# {mark}
[Unit]
Description=Strongroom's nightly job: exports, backup, retention
Wants=network-online.target
After=network-online.target mariadb.service mysql.service postgresql.service

[Service]
Type=oneshot
ExecStart={command}
Nice=10
IOSchedulingClass=best-effort
IOSchedulingPriority=7
UMask=0077
# Root reads and writes what belongs to every account; what such a job never needs is taken from it.
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL \
CAP_SETGID CAP_SETUID CAP_SYS_ADMIN CAP_SYS_NICE CAP_SYS_RESOURCE
KeyringMode=private
LockPersonality=yes
NoNewPrivileges=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=full
ReadWritePaths={writable}
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
"""

_TIMER = """# {mark}
[Unit]
Description=When Strongroom's nightly job begins

[Timer]
OnCalendar={calendar}
RandomizedDelaySec={delay}min
Persistent=true

[Install]
WantedBy=timers.target
"""

_SCRIPT = """#!/bin/sh
# Strongroom's nightly job: exports, backup, retention. Its name sorts behind the panel's 10backup_dbs.
# {mark}
exec {command}
"""


def service(config: Config, command: Sequence[str]) -> str:
    """The service that runs a command once."""
    folders = [text(path) for path in _writable(config)]
    return _SERVICE.format(
        mark=MARK, command=_command(command), writable=" ".join(_word(f"-{path}") for path in folders)
    )


def timer(hours: tuple[int, int]) -> str:
    """The timer that begins it in a range of hours, and makes up for a night that was missed."""
    first, last = hours
    return _TIMER.format(mark=MARK, calendar=calendar(first), delay=min(_MOST_DELAY, (last - first) * 60))


def calendar(hour: int) -> str:
    """An hour of every day as systemd writes it."""
    return f"*-*-* {hour:02d}:00:00"


def script(command: Sequence[str]) -> str:
    """The script for ``cron.daily``."""
    return _SCRIPT.format(mark=MARK, command=shlex.join(command))


def _writable(config: Config) -> list[bytes]:
    """What the job writes to, wherever the administrator put it."""
    consoles = [client.include for client in config.clients.values() if isinstance(client, Bacula)]
    return [config.server.state, *([config.vault.folder] if config.vault.folder else []), *consoles]


def _command(command: Sequence[str]) -> str:
    """A command's line: in its arguments, and there alone, systemd puts variables in the place of a dollar."""
    program, *arguments = command
    return " ".join((_word(program), *(_word(argument.replace("$", "$$")) for argument in arguments)))


def _word(word: str) -> str:
    """One word of a unit's line: quoted where it has to be, with nothing in it that systemd would expand."""
    word = word.replace("%", "%%")
    if _PLAIN.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
