"""ApisCP's layout: ``/home/virtual/siteN``, the account's files in ``shadow`` and what the panel knows in ``info``.

``fst`` is the overlay of ``shadow`` over shared templates and is never looked at. The links in ``/home/virtual`` (a
domain, a group's name) lead to what the site folders hold already, and are not followed.
"""

from __future__ import annotations

import re

from strongroom.config import Config
from strongroom.errors import SourceError, UsageError
from strongroom.model import (
    GLOBALS,
    GRANTS,
    MAIL_MAP,
    Account,
    DatabaseClaim,
    DocumentRoot,
    Exclusion,
    Location,
    Selection,
    text,
)
from strongroom.panel import info
from strongroom.panel.apiscp_web import document_roots
from strongroom.panel.base import SERVER, natural, shown, unknown, user_ids
from strongroom.panel.folder import Folder
from strongroom.panel.sources import COPIES_ARE_CORRUPT, exclusions, own_selections, server_exclusions

VIRTUAL = b"/home/virtual"

# What a listing looks at in one folder of an account before it stops: what is shown may not cost without bound.
_MOST_NAMES = 2000

# The panel's services of databases, and what the engines are called here.
_ENGINES = {b"mysql": "mysql", b"pgsql": "postgresql"}

_SITE = re.compile(r"site[0-9]+")
_ENCODED = re.compile(r"@([0-9a-f]{4})")

_DATA_EXCLUDE: tuple[Exclusion, ...] = (
    Exclusion(pattern=b"/var/lib/mysql", reason=COPIES_ARE_CORRUPT),
    Exclusion(pattern=b"/var/lib/pgsql", reason=COPIES_ARE_CORRUPT),
)
_INFO_EXCLUDE: tuple[Exclusion, ...] = (
    Exclusion(pattern=b"/work", reason="the kernel's work folder of the account's overlay"),
)

# Each tree of an account: its name, its folder in the site's, why it is backed up, and what of it is left out.
_TREES: tuple[tuple[str, bytes, str, tuple[Exclusion, ...]], ...] = (
    ("data", b"shadow", "all files of the account: web, mail, homes, settings", _DATA_EXCLUDE),
    ("info", b"info", "what the panel knows of the account: plan, users, databases, domains", _INFO_EXCLUDE),
)

# The maps in /etc/virtualhosting are not among these: the panel derives them from the accounts' info (mapCheck.php).
_SELECTIONS: tuple[Selection, ...] = (
    Selection(
        pattern=b"/var/log/mailer_table*",
        reason="mail addresses, domains and ids of all accounts, dumped by logrotate",
        export=MAIL_MAP,
    ),
    Selection(pattern=b"/var/lib/mysql/mysql-grants*", reason="users and grants of the MySQL server", export=GRANTS),
    Selection(pattern=b"/var/lib/pgsql/*/backups", reason="roles and grants of the PostgreSQL server", export=GLOBALS),
    Selection(pattern=b"/root/apnscp-vars.yml", reason="the panel's installation: makes a rebuilt server the same"),
    Selection(pattern=b"/root/apnscp-vars-runtime.yml", reason="the panel's installation, as changed by scopes since"),
    Selection(pattern=b"/usr/local/apnscp/config/custom", reason="the panel's settings and hooks made on this server"),
    Selection(pattern=b"/usr/local/apnscp/config/db.yaml", reason="the panel's access to its own databases"),
    Selection(pattern=b"/usr/local/apnscp/config/auth.yaml", reason="the panel's secret, which opens its keyring"),
    Selection(
        pattern=b"/usr/local/apnscp/config/license.pem",
        reason="the panel's licence, which can be issued again",
        required=False,
    ),
)


class Apiscp:
    """The layout ``apiscp``; see `strongroom.panel.base.Layout`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._virtual = config.server.below(VIRTUAL)

    def accounts(self, *, details: bool = False) -> list[Account]:
        """All accounts, in natural order."""
        with self._open() as virtual:
            sites = filter(_SITE.fullmatch, map(text, virtual.names()))
            found = [self._account(virtual, name, details) for name in sites]
            return sorted((account for account in found if account), key=lambda account: natural(account.name))

    def account(self, name: str, *, details: bool = False) -> Account:
        """The account with this name, primary domain or addon domain (in any case), or ``server``."""
        wanted = name.lower()
        if wanted == SERVER:
            return self.server()
        with self._open() as virtual:
            site = wanted if _SITE.fullmatch(wanted) else self._site_of(wanted)
            account = self._account(virtual, site, details) if site else None
        if account is None:
            raise unknown(name)
        return account

    def server(self) -> Account:
        """The pseudo-account: mail maps, grants, the panel's settings, and Strongroom's own configuration."""
        server = self._config.server
        selections = _SELECTIONS + own_selections(self._config)
        location = Location(
            tree="data",
            path=server.root,
            why="what belongs to no account, and a rebuilt server needs",
            select=tuple(selection.pattern for selection in selections),
            selections=selections,
            exclude=server_exclusions(self._config),
        )
        return Account(name=SERVER, locations=(location,))

    def folders(self, name: str) -> dict[str, bytes]:
        """``shadow`` and ``info`` of a site; the root for ``server``; none for what is no name of a site."""
        if name == SERVER:
            return {"data": self._config.server.root}
        if not _SITE.fullmatch(name):
            return {}
        site = b"/".join((self._virtual, name.encode()))
        return {tree: site + b"/" + below for tree, below, _, _ in _TREES}

    def document_roots(self, account: Account) -> tuple[DocumentRoot, ...]:
        """What the panel serves of a site, and all other folders beside its document root."""
        if not _SITE.fullmatch(account.name):
            return ()
        with self._open() as virtual:
            site = virtual.folder(account.name.encode())
            if site is None:
                return ()
            with site:
                return document_roots(site, account.domains)

    def after_restore(self, name: str) -> str | None:
        """The kernel does not expect changes below a mounted overlay: its view of ``shadow`` has to be made anew."""
        if not _SITE.fullmatch(name):
            return None
        return (
            f"{name}: its mounted overlay does not know of this yet; run: /etc/systemd/user/fsmount.init reload_site {name} "
            "(all accounts: systemctl reload fsmount)"
        )

    def _open(self) -> Folder:
        try:
            return Folder.at(self._virtual)
        except OSError as error:
            problem = f"{error.strerror}; are server.root and server.layout right in the configuration?"
            raise SourceError(f"{text(self._virtual)}: {problem}") from None

    def _site_of(self, domain: str) -> str | None:
        """The site that has a domain; a primary domain goes before another account's addon domain."""
        accounts = self.accounts()
        for having in (
            [account.name for account in accounts if account.domains[:1] == (domain,)],
            [account.name for account in accounts if domain in account.domains],
        ):
            if len(having) > 1:
                raise UsageError(f"{domain!r} belongs to {' and '.join(having)}; name the account by its siteN")
            if having:
                return having[0]
        return None

    def _account(self, virtual: Folder, name: str, details: bool) -> Account | None:
        """Read one site's folder; None when it is none (a link, a file, or empty).

        One that holds something else, such as ``fst``, and neither ``shadow`` nor ``info`` is an account that lost all it
        had: the panel takes the whole folder away with an account.
        """
        site = virtual.folder(name.encode())
        if site is None:
            return None
        with site:
            locations = self._locations(site, name.encode())
            if not locations and not site.names(most=1):
                return None
            siteinfo = _service(site, b"siteinfo")
            domains = _domains(siteinfo, _service(site, b"aliases"))
            return Account(
                name=name,
                domains=domains,
                owner=info.word(siteinfo, "admin_user"),
                email=info.word(siteinfo, "email"),
                plan=info.word(siteinfo, "plan"),
                suspended=_suspended(site),
                users=_users(site),
                databases=_databases(site) if details else (),
                claims=_claims(site),
                mailboxes=_mailboxes(site, domains) if details else (),
                locations=locations,
                absent=self._absent(name, locations),
            )

    def _locations(self, site: Folder, name: bytes) -> tuple[Location, ...]:
        """What to back up of a site: of its two folders those that are there, so that a lost home leaves the rest."""
        locations = []
        for tree, below, why, exclude in _TREES:
            path = b"/".join((self._virtual, name, below))
            if site.holds_folder(below):
                more = exclusions(self._config, path)
                locations.append(Location(tree=tree, path=path, why=why, exclude=exclude + more))
        return tuple(locations)

    def _absent(self, name: str, found: tuple[Location, ...]) -> tuple[tuple[str, bytes], ...]:
        """The folders of a site that are gone, or are no folders: without them no point of it is whole."""
        there = {location.tree for location in found}
        return tuple((tree, path) for tree, path in self.folders(name).items() if tree not in there)


def _service(site: Folder, name: bytes) -> dict[str, info.Value]:
    """One service's current settings; empty when there are none."""
    return info.parse(site.read(b"info", b"current", name, limit=info.MOST_BYTES) or b"")


def _domains(siteinfo: dict[str, info.Value], aliases: dict[str, info.Value]) -> tuple[str, ...]:
    addons = info.words(aliases, "aliases") if info.flag(aliases, "enabled", default=True) else ()
    domains = (info.word(siteinfo, "domain"), *sorted(addons))
    return tuple(dict.fromkeys(domain.lower() for domain in domains if domain))


def _suspended(site: Folder) -> str | None:
    """Why the account is suspended: the text of ``info/disabled`` but for comments; None when it is not."""
    if site.stat(b"info", b"disabled") is None:
        return None
    content = site.read(b"info", b"disabled", limit=info.MOST_BYTES) or b""
    lines = (line.strip() for line in content.decode("utf-8", "replace").splitlines())
    return " ".join(line for line in lines if line and line[0] not in "#;") or "no reason given"


def _users(site: Folder) -> frozenset[int]:
    """The ids of the account's own users; without an ``etc/passwd``, whoever owns its homes."""
    if site.stat(b"shadow", b"etc", b"passwd"):
        return frozenset(user_ids(site, b"shadow"))
    return frozenset(owner for _, owner in _homes(site) if owner != 0)


def _homes(site: Folder) -> list[tuple[bytes, int]]:
    """The homes of an account's users, and who owns each."""
    home = site.folder(b"shadow", b"home")
    if home is None:
        return []
    with home:
        seen = [(name, home.stat(name)) for name in home.names(most=_MOST_NAMES)]
    return [(name, status.st_uid) for name, status in seen if status]


def _claims(site: Folder) -> tuple[DatabaseClaim, ...]:
    """Which databases are the account's. A service that is switched off keeps its data as long as it has a prefix."""
    claims = []
    for service, engine in _ENGINES.items():
        settings = _service(site, service)
        prefix, user = info.word(settings, "dbaseprefix"), info.word(settings, "dbaseadmin")
        if prefix or (user and info.flag(settings, "enabled", default=True)):
            claims.append(DatabaseClaim(engine=engine, prefix=prefix, user=user))
    return tuple(claims)


def _databases(site: Folder) -> tuple[str, ...]:
    """The account's MySQL databases: their folders are in its tree, with names as the server encodes them.

    PostgreSQL's are in a tablespace, without names.
    """
    folder = site.folder(b"shadow", b"var", b"lib", b"mysql")
    if folder is None:
        return ()
    with folder:
        names = [name for name in folder.names(most=_MOST_NAMES) if folder.holds_folder(name)]
    return tuple(f"mysql:{_ENCODED.sub(_character, shown(name))}" for name in names)


def _character(code: re.Match[str]) -> str:
    point = int(code.group(1), 16)
    return code.group() if 0xD800 <= point < 0xE000 else chr(point)


def _mailboxes(site: Folder, domains: tuple[str, ...]) -> tuple[str, ...]:
    """The users who have a Maildir in their home."""
    at = f"@{domains[0]}" if domains else ""
    return tuple(shown(name) + at for name, _ in _homes(site) if site.holds_folder(b"shadow", b"home", name, b"Mail"))
