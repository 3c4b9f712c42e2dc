"""The programs that do the same work, each behind the same few questions, each as its own manual would have it run.

A peer answers with the commands that do a piece of work on the whole tree; no commands: that is not its business.
restic and borg encrypt and deduplicate, one repository and one run for all accounts; ``tar | zstd`` does neither;
``find`` only looks, and is what a night cannot be faster than.
"""

from __future__ import annotations

import compileall
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import strongroom
from benchmarks.measure import Command, measure, output
from benchmarks.tree import KEEPSAKE, Tree

PASSPHRASE = "correct horse battery staple"  # it guards made-up files
Steps = Sequence[Command]


class Peer:
    """One program. ``store`` is what it keeps the backups in; ``beside`` what it needs besides (caches, catalogs)."""

    name = ""

    def __init__(self, tree: Tree, folder: str) -> None:
        self.tree = tree
        self.folder = f"{folder}/{self.name}"
        self.store = f"{self.folder}/store"
        self.beside = f"{self.folder}/beside"

    def available(self) -> bool:
        """Whether the program is installed."""
        return shutil.which(self.name) is not None

    def version(self) -> str:
        """What it says it is."""
        return output(Command(programs=((self.name, "--version"),))).splitlines()[0].strip()

    def reset(self) -> None:
        """Leaves it as it is before the very first backup."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in (self.store, self.beside):
            os.makedirs(folder)

    def backup(self, *, first: bool) -> Steps:
        """Backs up everything: all of it, or what is new since the last time."""
        return ()

    def points(self) -> list[str]:
        """The names of what `one_file` can take from, oldest first."""
        return ["latest"]

    def one_file(self, point: str, target: str) -> Steps:
        """Puts the first account's keepsake below the folder `target`."""
        return ()

    def account(self, name: str, target: str) -> Steps:
        """Restores one account, as it was last, below `target`."""
        return ()

    def everything(self, target: str) -> Steps:
        """Restores all accounts, as they were last, below `target`."""
        return ()

    def check(self) -> Steps:
        """Reads and verifies all that is stored."""
        return ()

    def help(self) -> Steps:
        """Shows its help."""
        return ()

    def _keepsake(self) -> str:
        return f"{self.tree.home()}/site1/shadow{KEEPSAKE}"


class Strongroom(Peer):
    """This project, through its command line; the program beside the running Python, or ``$STRONGROOM``.

    Its passphrase is the one that ``init`` makes, as its own guide has it.
    """

    name = "strongroom"

    def __init__(self, tree: Tree, folder: str) -> None:
        super().__init__(tree, folder)
        # As an installation does: each start would else compile what changed since.
        compileall.compile_dir(os.path.dirname(strongroom.__file__), quiet=1)

    def _program(self) -> str:
        return os.environ.get("STRONGROOM") or str(Path(sys.executable).with_name("strongroom"))

    def _command(self, *arguments: str) -> Command:
        return Command(programs=((self._program(), "--config", f"{self.folder}/config.toml", "--json", *arguments),))

    def available(self) -> bool:
        return os.access(self._program(), os.X_OK)

    def version(self) -> str:
        return output(Command(programs=((self._program(), "--version"),))).strip()

    def reset(self) -> None:
        super().reset()
        Path(f"{self.folder}/config.toml").write_text(configuration(self.tree, self.store, self.beside))
        os.rmdir(self.store)
        measure([self._command("init")])

    def backup(self, *, first: bool) -> Steps:
        return [self._command("backup", "--level", "full" if first else "incremental")]

    def points(self) -> list[str]:
        found = json.loads(output(self._command("points", "site1")))
        return [point["id"] for point in reversed(found)]

    def one_file(self, point: str, target: str) -> Steps:
        return [self._command("restore", "site1", KEEPSAKE, "--point", point, "--to", target)]

    def account(self, name: str, target: str) -> Steps:
        return [self._command("restore", name, "--to", target)]

    def everything(self, target: str) -> Steps:
        return [self._command("restore", name, "--to", f"{target}/{name}") for name in self.tree.names()]

    def check(self) -> Steps:
        return [self._command("check", "--read-data")]

    def help(self) -> Steps:
        return [Command(programs=((self._program(), "--help"),))]


def configuration(tree: Tree, vault: str, state: str) -> str:
    """A configuration for the made-up server; the passphrase lies beside the vault."""
    return (
        f'[server]\nlayout = "apiscp"\nroot = "{tree.root}"\nstate = "{state}"\n\n'
        f'[vault]\nurl = "{vault}"\npassphrase_file = "{os.path.dirname(vault)}/passphrase"\n'
    )


class Restic(Peer):
    """Repository version 2, default compression."""

    name = "restic"

    def _command(self, *arguments: str, done: tuple[int, ...] = (0,), to: str = os.devnull) -> Command:
        return Command(
            programs=(("restic", "--repo", self.store, "--cache-dir", self.beside, "--quiet", *arguments),),
            environment=(("RESTIC_PASSWORD", PASSPHRASE),),
            done=done,
            output=to,
        )

    def version(self) -> str:
        return output(Command(programs=(("restic", "version"),))).strip()

    def reset(self) -> None:
        super().reset()
        measure([self._command("init", "--repository-version", "2")])

    def backup(self, *, first: bool) -> Steps:
        return [self._command("backup", self.tree.home())]

    def points(self) -> list[str]:
        found = json.loads(output(self._command("snapshots", "--json")))
        return [snapshot["id"] for snapshot in sorted(found, key=lambda snapshot: str(snapshot["time"]))]

    def one_file(self, point: str, target: str) -> Steps:
        return [self._command("dump", point, self._keepsake(), to=_landing(target))]

    def account(self, name: str, target: str) -> Steps:
        return [self._command("restore", "latest", "--target", target, "--include", f"{self.tree.home()}/{name}")]

    def everything(self, target: str) -> Steps:
        return [self._command("restore", "latest", "--target", target)]

    def check(self) -> Steps:
        return [self._command("check", "--read-data")]

    def help(self) -> Steps:
        return [Command(programs=(("restic", "--help"),))]


class Borg(Peer):
    """repokey-blake2, zstd 3, the default files cache; ACLs and attributes are on by default."""

    name = "borg"

    def _command(self, *arguments: str, folder: str | None = None, to: str = os.devnull) -> Command:
        return Command(
            programs=(("borg", *arguments),),
            environment=(
                ("BORG_PASSPHRASE", PASSPHRASE),
                ("BORG_BASE_DIR", self.beside),
                ("BORG_REPO", self.store),
            ),
            folder=folder,
            output=to,
        )

    def reset(self) -> None:
        super().reset()
        measure([self._command("init", "--encryption", "repokey-blake2")])

    def backup(self, *, first: bool) -> Steps:
        return [self._command("create", "--compression", "zstd,3", "::{now:%Y%m%dT%H%M%S.%f}", self.tree.home())]

    def points(self) -> list[str]:
        return output(self._command("list", "--short")).split()

    def one_file(self, point: str, target: str) -> Steps:
        return [self._command("extract", "--stdout", f"::{point}", self._keepsake()[1:], to=_landing(target))]

    def account(self, name: str, target: str) -> Steps:
        return [self._command("extract", f"::{self.points()[-1]}", f"{self.tree.home()}/{name}"[1:], folder=target)]

    def everything(self, target: str) -> Steps:
        return [self._command("extract", f"::{self.points()[-1]}", folder=target)]

    def check(self) -> Steps:
        return [self._command("check", "--verify-data")]

    def help(self) -> Steps:
        return [Command(programs=(("borg", "--help"),))]


class Tar(Peer):
    """GNU tar with ACLs and attributes through ``zstd -3 -T0``: the whole tree each time, no encryption."""

    name = "tar"

    def available(self) -> bool:
        return super().available() and shutil.which("zstd") is not None

    def version(self) -> str:
        compressor = output(Command(programs=(("zstd", "--version"),))).strip(" *\n")
        return f"{super().version()}, {compressor}"

    def backup(self, *, first: bool) -> Steps:
        if not first:
            return ()
        pack = ("tar", "--create", "--acls", "--xattrs", "--directory", "/", self.tree.home()[1:])
        return [Command(programs=(pack, ("zstd", "-3", "-T0", "-q")), output=self._archive())]

    def one_file(self, point: str, target: str) -> Steps:
        return [self._unpack("--to-stdout", self._keepsake()[1:], to=_landing(target))]

    def account(self, name: str, target: str) -> Steps:
        return [self._unpack("--directory", target, f"{self.tree.home()}/{name}"[1:])]

    def everything(self, target: str) -> Steps:
        return [self._unpack("--directory", target)]

    def _archive(self) -> str:
        return f"{self.store}/all.tar.zst"

    def _unpack(self, *arguments: str, to: str = os.devnull) -> Command:
        unpack = ("tar", "--extract", "--acls", "--xattrs", "--numeric-owner", *arguments)
        return Command(programs=(("zstd", "-dcq", self._archive()), unpack), output=to)


class Find(Peer):
    """One look at every inode: path, size, times, inode, links."""

    name = "find"

    def backup(self, *, first: bool) -> Steps:
        if first:
            return ()
        return [Command(programs=(("find", self.tree.home(), "-printf", r"%p\0%s\0%T@\0%C@\0%i\0%n\0"),))]


PEERS: tuple[type[Peer], ...] = (Strongroom, Restic, Borg, Tar, Find)


def _landing(target: str) -> str:
    return f"{target}/{os.path.basename(KEEPSAKE)}"
