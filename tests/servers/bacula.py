"""A Bacula of its own: director, storage daemon and file daemons on an address of loopback that nobody else has."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from strongroom.demo.process import ServerProcess

DIRECTOR, STORAGE, CONSOLE_PASSWORD = "test-dir", "File", "console secret"
POOL = "Strongroom"
_TABLES = Path("/usr/share/bacula-director/make_sqlite3_tables")

_DIRECTOR = """
Director {{ Name = {director}; DIRport = {port}; DirAddress = {address}; QueryFile = /etc/bacula/scripts/query.sql
  WorkingDirectory = {work}; PidDirectory = {work}; Maximum Concurrent Jobs = 4; Password = "{password}"; Messages = Daemon
  FD Connect Timeout = 60 seconds
  SD Connect Timeout = 60 seconds
}}
Messages {{ Name = Daemon; catalog = all }}
Catalog {{ Name = Catalog; dbname = catalog; dbdriver = "sqlite3"; dbuser = ""; dbpassword = "" }}
Storage {{ Name = File; Address = {address}; SDPort = {storage_port}; Password = "storage"; Device = Folders; Media Type = File
  Autochanger = yes; Maximum Concurrent Jobs = 4 }}
FileSet {{ Name = Hosts; Include {{ File = /etc/hosts }} }}
Job {{ Name = RestoreFiles; Type = Restore; Client = host-fd; FileSet = Hosts; Storage = File; Pool = Own; Messages = Daemon
  Where = /nowhere }}
Pool {{ Name = Own; Pool Type = Backup; Label Format = "Own-"; Maximum Volume Jobs = 1 }}
{clients}
{more}
@|"sh -c 'for file in {include}/*.conf; do test ! -f $file || echo @$file; done'"
"""
_CLIENT = """Client {{ Name = {name}; Address = {address}; FDPort = {port}; Catalog = Catalog; Password = "{name} secret"
  AutoPrune = no }}
"""
_FILE_DAEMON = """
Director {{ Name = {director}; Password = "{name} secret" }}
FileDaemon {{ Name = {name}; FDport = {port}; FDAddress = {address}; WorkingDirectory = {work}; PidDirectory = {work} }}
Messages {{ Name = Standard; director = {director} = all, !skipped, !restored }}
"""
_STORAGE_DAEMON = """
Storage {{ Name = test-sd; SDPort = {port}; SDAddress = {address}; WorkingDirectory = {work}; PidDirectory = {work} }}
Director {{ Name = {director}; Password = "storage" }}
# Two drives, as in Debian's own configuration: a virtual full job reads with the one and writes with the other.
Autochanger {{ Name = Folders; Device = Folder-1; Device = Folder-2; Changer Command = ""; Changer Device = /dev/null }}
Device {{ Name = Folder-1; Media Type = File; Archive Device = {volumes}; LabelMedia = yes; Random Access = yes
  AutomaticMount = yes; RemovableMedia = no; AlwaysOpen = no; Autochanger = yes; Drive Index = 0 }}
Device {{ Name = Folder-2; Media Type = File; Archive Device = {volumes}; LabelMedia = yes; Random Access = yes
  AutomaticMount = yes; RemovableMedia = no; AlwaysOpen = no; Autochanger = yes; Drive Index = 1 }}
Messages {{ Name = Standard; director = {director} = all }}
"""
# A director lets every job wait for two whole seconds before it begins: two thirds of what a small one takes. Ours wait for less;
# nothing else of it is changed. Without a compiler it takes the time that it takes.
_IMPATIENCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int nanosleep(const struct timespec *asked, struct timespec *left) {
  static int (*real)(const struct timespec *, struct timespec *);
  struct timespec shorter = {0, 50000000};
  if (!real) real = dlsym(RTLD_NEXT, "nanosleep");
  return real(asked->tv_sec == 2 && asked->tv_nsec == 0 ? &shorter : asked, left);
}
"""
_CONSOLE = """
Director {{ Name = {director}; DIRport = {port}; Address = {address}; Password = "{password}" }}
"""


class Bacula:
    """One director, one storage daemon that writes to ``volumes``, and a file daemon for each of ``clients``.

    ``more`` is configuration of the director's own administrator. ``console`` and ``include`` are what Strongroom is told.
    """

    def __init__(self, folder: Path, volumes: Path, clients: Sequence[str] = ("host-fd",), more: str = "") -> None:
        self.folder = folder
        self.volumes = volumes
        self.work, self.include = folder / "work", folder / "strongroom.d"
        for made in (self.work, self.include):
            made.mkdir(parents=True)
        self.console = folder / "bconsole.conf"
        self.address = ".".join(["127", *(str(random.SystemRandom().randint(1, 254)) for _ in range(3))])
        self._common = {"director": DIRECTOR, "work": self.work, "address": self.address, "include": self.include}
        self._ports = {name: self._port() for name in ("director", "storage", *clients)}
        self._catalog()
        known = "".join(_CLIENT.format(name=name, port=self._ports[name], **self._common) for name in clients)
        storage_port = self._ports["storage"]
        self._write(
            "director", _DIRECTOR, clients=known, more=more, storage_port=storage_port, password=CONSOLE_PASSWORD
        )
        self._write("storage", _STORAGE_DAEMON, volumes=volumes)
        for name in clients:
            self._write(name, _FILE_DAEMON, name=name)
        self.password(CONSOLE_PASSWORD)
        self._running: dict[str, ServerProcess] = {}
        self._environment = self._impatient()
        self.start("storage")
        for name in clients:
            self.start(name)
        self.start("director")

    def _port(self) -> int:
        """A port that is free; nobody else takes one of an address that is ours alone."""
        with socket.socket() as taken:
            taken.bind((self.address, 0))
            return int(taken.getsockname()[1])

    def _write(self, which: str, form: str, **words: object) -> None:
        (self.folder / f"{which}.conf").write_text(form.format(**self._common, port=self._ports[which], **words))

    def _catalog(self) -> None:
        script = _TABLES.read_text().replace("XXX_DBNAME_XXX", "catalog").replace("/var/lib/bacula", str(self.work))
        subprocess.run(["sh", "-s"], input=script, text=True, check=True, capture_output=True)

    def password(self, password: str) -> None:
        """Write the console's configuration with a password."""
        form = _CONSOLE.format(**self._common, port=self._ports["director"], password=password)
        self.console.write_text(form)

    def start(self, name: str) -> None:
        """Start ``director``, ``storage``, or a client's file daemon."""
        program = {"director": "bacula-dir", "storage": "bacula-sd"}.get(name, "bacula-fd")
        command: list[str | Path] = [f"/usr/sbin/{program}", "-f", "-P", "-c", self.folder / f"{name}.conf"]
        environment = self._environment if name == "director" else None
        log = self.folder / f"{name}.log"
        self._running[name] = ServerProcess(command, log, lambda: self._listens(name), environment=environment)

    def _impatient(self) -> dict[str, str]:
        """The environment of a director that does not wait before each job."""
        library = self.work / "impatience.so"
        compiler = ["cc", "-shared", "-fPIC", "-x", "c", "-o", str(library), "-"]
        with contextlib.suppress(FileNotFoundError):
            done = subprocess.run(compiler, input=_IMPATIENCE, text=True, capture_output=True)
            if done.returncode == 0:
                return {**os.environ, "LD_PRELOAD": str(library)}
        return dict(os.environ)

    def _listens(self, name: str) -> bool:
        try:
            socket.create_connection((self.address, self._ports[name]), timeout=5).close()
        except OSError:
            return False
        return True

    def end(self, name: str) -> None:
        """End one of them."""
        self._running.pop(name).kill()

    def stop(self) -> None:
        """End all of them."""
        for name in tuple(self._running):
            self.end(name)

    def tested(self, name: str) -> str:
        """What Bacula's own test says of the configuration of one of them: nothing, where it is right."""
        program = {"director": "bacula-dir", "storage": "bacula-sd"}.get(name, "bacula-fd")
        command = [f"/usr/sbin/{program}", "-t", "-c", str(self.folder / f"{name}.conf")]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return "" if done.returncode == 0 and not done.stdout.strip() else done.stdout + done.stderr

    def say(self, *lines: str) -> str:
        """What the console answers an administrator."""
        told = "".join(f"{line}\n" for line in lines)
        command: list[str | Path] = ["bconsole", "-n", "-c", self.console]
        return subprocess.run(command, input=told, capture_output=True, text=True, timeout=300, check=True).stdout

    def table(self, client: str = "host-fd") -> str:
        """The table of Strongroom's configuration for one of the clients."""
        return (
            f'driver = "bacula"\nconsole = "{self.console}"\ninclude = "{self.include}"\n'
            f'client = "{client}"\nstorage = "{STORAGE}"\npool = "{POOL}"\n'
        )
