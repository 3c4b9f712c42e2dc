"""The plain layout: any folder of folders, each an account, given by globs in the configuration.

An account has the name of its folder and one location, the folder. Its own users are the folder's owner and those in
its ``etc/passwd``, where root alone can have written that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase, translate

from strongroom.config import Config
from strongroom.errors import ConfigError, SourceError
from strongroom.model import Account, DatabaseClaim, DocumentRoot, Location, text
from strongroom.panel.base import SERVER, natural, shown, unknown, user_ids
from strongroom.panel.folder import Folder
from strongroom.panel.sources import exclusions, is_ours, own_selections, server_exclusions

_MAGIC = re.compile(rb"[*?\[]")


class Plain:
    """The layout ``plain``; see `strongroom.panel.base.Layout`."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def accounts(self, *, details: bool = False) -> list[Account]:
        """All accounts, in natural order; raise ConfigError when two folders have one name."""
        found: dict[str, Account] = {}
        for path, users in self._folders():
            account = self._account(path, users)
            other = found.setdefault(account.name, account).locations[0].path
            if account.name == SERVER:
                raise self._wrong(f"{text(path)}: the name {SERVER!r} means the server itself; rename the folder")
            if other != path:
                raise self._wrong(f"{text(other)} and {text(path)} have the same name; rename one")
        if not found:
            globs = ", ".join(text(glob) for glob in self._config.server.accounts)
            raise SourceError(f"no folder below {text(self._config.server.root)} matches server.accounts ({globs})")
        return sorted(found.values(), key=lambda account: natural(account.name))

    def account(self, name: str, *, details: bool = False) -> Account:
        """The account with this name, or ``server``."""
        found = self.server() if name == SERVER else None
        found = found or next((account for account in self.accounts() if account.name == name), None)
        if found is None:
            raise unknown(name)
        return found

    def server(self) -> Account | None:
        """The pseudo-account with Strongroom's own configuration and settings.

        None where they lie outside the server's tree.
        """
        selections = own_selections(self._config)
        if not selections:
            return None
        location = Location(
            tree="data",
            path=self._config.server.root,
            why="what belongs to no account",
            select=tuple(selection.pattern for selection in selections),
            selections=selections,
            exclude=server_exclusions(self._config),
        )
        return Account(name=SERVER, locations=(location,))

    def folders(self, name: str) -> dict[str, bytes]:
        """The account's folder where there is one, else where the first glob that its name fits would have it.

        Nowhere when folders above it are wildcards themselves: which of them it was, its name does not say.
        """
        if name == SERVER:
            return {"data": self._config.server.root}
        if "/" in name or name in ("", ".", ".."):
            return {}
        standing = {shown(os.path.basename(path)): path for path, _ in self._folders()}
        if name in standing:
            return {"data": standing[name]}
        for glob in self._config.server.accounts:
            above, _, last = glob.rpartition(b"/")
            if not _MAGIC.search(above) and fnmatchcase(name, os.fsdecode(last)):
                return {"data": self._config.server.below(above + b"/" + name.encode())}
        return {}

    def document_roots(self, account: Account) -> tuple[DocumentRoot, ...]:
        """The account's folder itself: nothing says which of its folders are served, nor as what."""
        return (DocumentRoot(path=b"/"),)

    def after_restore(self, name: str) -> None:
        """Nothing: folders are what they are."""

    def _wrong(self, problem: str) -> ConfigError:
        return ConfigError(f"{text(self._config.path)}: server.accounts: {problem}")

    def _folders(self) -> Iterator[tuple[bytes, frozenset[int]]]:
        """Every folder that a glob of the configuration matches, but for our own, with its users."""
        for glob in self._config.server.accounts:
            for path, users in _matches(self._config.server.root, glob):
                if not is_ours(self._config, path):
                    yield path, users

    def _account(self, path: bytes, users: frozenset[int]) -> Account:
        name = shown(os.path.basename(path))
        settings = self._config.accounts.get(name)
        location = Location(
            tree="data",
            path=path,
            why="all files of the account",
            exclude=exclusions(self._config, path),
        )
        return Account(
            name=name,
            users=users,
            databases=settings.databases if settings else (),
            claims=_claims(settings.databases) if settings else (),
            locations=(location,),
        )


def _claims(databases: tuple[str, ...]) -> tuple[DatabaseClaim, ...]:
    """What the configuration says of an account's databases, each ``ENGINE:NAME``."""
    named: dict[str, list[str]] = {}
    for database in databases:
        engine, _, name = database.partition(":")
        named.setdefault(engine, []).append(name)
    return tuple(DatabaseClaim(engine=engine, names=tuple(names)) for engine, names in named.items())


def _matches(root: bytes, glob: bytes) -> Iterator[tuple[bytes, frozenset[int]]]:
    """The real folders below a root that a glob matches, with the users each has.

    Links before its first wildcard are the administrator's own. From there on folders may belong to strangers: what a
    wildcard finds, and all below it, is never followed through a link. Hidden folders match only what names the dot.
    """
    parts = glob.strip(b"/").split(b"/")
    fixed = next((number for number, part in enumerate(parts) if _MAGIC.search(part)), len(parts) - 1)
    start = os.path.join(root, *parts[:fixed])
    try:
        top = Folder.at(start)
    except OSError:
        return
    with top:
        yield from _below(top, start, parts[fixed:])


def _below(folder: Folder, path: bytes, parts: list[bytes]) -> Iterator[tuple[bytes, frozenset[int]]]:
    part, rest = parts[0], parts[1:]
    if _MAGIC.search(part):
        pattern = re.compile(translate(os.fsdecode(part)))
        names = [name for name in folder.names() if pattern.fullmatch(os.fsdecode(name))]
        names = [name for name in names if part.startswith(b".") or not name.startswith(b".")]
    else:
        names = [part]
    for name in names:
        found = folder.folder(name)
        if found is None:
            continue
        with found:
            where = os.path.join(path, name)
            if rest:
                yield from _below(found, where, rest)
            else:
                yield where, _users(found)


def _users(root: Folder) -> frozenset[int]:
    """The account's own users. A list of users that its owner could have written could name anybody: not believed."""
    folder, listed = root.stat(), root.stat(b"etc", b"passwd")
    owner = {folder.st_uid} if folder else set()
    if listed and listed.st_uid == 0 and listed.st_nlink == 1:
        return frozenset(owner.union(user_ids(root)))
    return frozenset(owner)
