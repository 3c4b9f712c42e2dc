"""From a TOML file to a `Config`, or one line that says what is wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from strongroom.config.table import Source, Table
from strongroom.config.values import (
    AccountSettings,
    Backup,
    Bacula,
    ClientSettings,
    Command,
    Config,
    Databases,
    Foreign,
    JetBackup,
    Mysql,
    Postgresql,
    Repository,
    Retention,
    Server,
    Vault,
    Webapps,
)
from strongroom.errors import ConfigError
from strongroom.model import Frozen, text

DEFAULT_PATH = "/etc/strongroom/config.toml"
MOST_WORKERS = 64
BROWSER = ("auto", "never")
DEDUP = ("vault", "account")
ENGINES = ("mysql", "postgresql")

# What ships with Strongroom is known without asking the installed distributions, which would take longer than all else.
_LAYOUTS = ("apiscp", "plain")
# What each takes for a repository beside a folder and a URL: restic a backend's name and a colon, borg what scp takes.
_REPOSITORIES = {
    "duplicity": None,
    "restic": re.compile(r"local:/.*|(?:sftp|rest|s3|b2|azure|gs|swift|rclone):[^:].*"),
    "borg": re.compile(r"[A-Za-z0-9_.@-]+:[^:].*"),
}
_BACULA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:-]{0,99}")
_DRIVERS = (*_REPOSITORIES, "bacula", "command", "jetbackup")

_AT_LINE = re.compile(r"\s*\(at line (\d+), column \d+\)")
_CLIENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Value = TypeVar("Value", bound=Frozen)


def config_path(given: str | None, environ: Mapping[str, str] = os.environ) -> bytes:
    """The absolute path of the configuration: the one given, else ``$STRONGROOM_CONFIG``, else the default."""
    return os.path.abspath(os.fsencode(given or environ.get("STRONGROOM_CONFIG") or DEFAULT_PATH))


def load(given: str | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the configuration that `config_path` names; raise ConfigError with file, line and key."""
    path = config_path(given, environ)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise ConfigError(f"{text(path)}: no such configuration; write one with: strongroom init") from None
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); run as root, or name another with --config"
        raise ConfigError(f"{text(path)}: {problem}") from None
    return parse(content, path)


def parse(content: bytes, path: bytes) -> Config:
    """Check a configuration's content; ``path`` is where it came from."""
    document = _decoded(content, path)
    root = Table(Source(path, document), (), _tables(document, path))
    server = _server(_below(root, "server"))
    clients = _clients(root.table("clients"))
    config = Config(
        path=path,
        server=server,
        vault=_vault(_below(root, "vault"), server),
        backup=_backup(_below(root, "backup"), clients),
        databases=_databases(root.table("databases")),
        retention=_retention(_below(root, "retention")),
        webapps=_webapps(_below(root, "webapps")),
        clients=clients,
        accounts=_accounts(root, server),
    )
    root.done()
    return config


def _decoded(content: bytes, path: bytes) -> str:
    try:
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{text(path)}:{line}: not UTF-8; save the file as UTF-8") from None


def _tables(document: str, path: bytes) -> dict[str, object]:
    import tomllib

    try:
        return tomllib.loads(document)
    except (ValueError, RecursionError) as error:
        message = str(error)
        at = _AT_LINE.search(message)
        line = int(at.group(1)) if at else document.rstrip("\n").count("\n") + 1
        problem = " ".join(_AT_LINE.sub("", message).split())
        raise ConfigError(f"{text(path)}:{line}: not TOML: {problem}") from None


def _below(root: Table, key: str) -> Table:
    """A table that may be absent, and is then empty."""
    return root.table(key) or root.absent(key)


def _build(kind: type[Value], **given: object) -> Value:
    """Make a value of the keys that stand in the file; the others have the value's own defaults."""
    return kind(**{key: value for key, value in given.items() if value is not None})


def _server(table: Table) -> Server:
    layout = table.text("layout") or "apiscp"
    if layout not in _LAYOUTS and layout not in _entry_points("strongroom.layouts"):
        raise table.wrong("layout", f"one of {_listed(_LAYOUTS, 'strongroom.layouts')}")
    server = _build(
        Server, layout=layout, root=table.path("root"), state=table.path("state"), accounts=_globs(table, "accounts")
    )
    table.done()
    if server.layout == "plain" and not server.accounts:
        raise table.error("accounts", 'is missing; layout "plain" needs it, such as accounts = ["/srv/*"]')
    if server.layout != "plain" and server.accounts:
        raise table.error("accounts", f'is for layout "plain" alone; "{layout}" finds its accounts itself')
    return server


def _globs(table: Table, key: str) -> tuple[bytes, ...] | None:
    globs = table.texts(key)
    for glob in globs or ():
        parts = [part for part in glob.split("/") if part]
        if not glob.startswith("/") or not parts or not {".", "..", "**"}.isdisjoint(parts):
            raise table.error(key, f'must hold absolute globs of folders such as "/srv/*", not "{glob}"')
    return None if globs is None else tuple(re.sub(r"/+", "/", glob).rstrip("/").encode() for glob in globs)


def _vault(table: Table, server: Server) -> Vault:
    vault = _build(
        Vault,
        url=table.url("url"),
        passphrase_file=table.path("passphrase_file"),
        dedup=table.choice("dedup", DEDUP),
    )
    table.done()
    folder = vault.folder
    if folder and vault.passphrase_file.startswith(folder + b"/"):
        raise table.error("passphrase_file", "lies in the vault that it opens; keep it elsewhere")
    if folder and (server.state + b"/").startswith(folder + b"/"):
        raise table.error("url", "holds server.state; give the vault a folder of its own")
    return vault


def _backup(table: Table, clients: Mapping[str, ClientSettings]) -> Backup:
    backup = _build(
        Backup,
        client=table.choice("client", ("vault", *clients)),
        workers=table.integer("workers", 0, MOST_WORKERS),
        exclude=_patterns(table, "exclude"),
        full=table.days("full"),
        differential=table.days("differential"),
    )
    table.done()
    return backup


def _patterns(table: Table, key: str) -> tuple[str, ...] | None:
    patterns = table.texts(key)
    if patterns:
        from pathspec import GitIgnoreSpec

        for pattern in patterns:
            try:
                GitIgnoreSpec.from_lines([pattern])
            except ValueError:
                raise table.error(key, f'"{pattern}" is no gitignore pattern') from None
    return patterns


def _databases(table: Table | None) -> Databases:
    if table is None:
        return Databases()
    mysql, postgresql = table.table("mysql"), table.table("postgresql")
    table.done()
    return _build(Databases, mysql=mysql and _mysql(mysql), postgresql=postgresql and _postgresql(postgresql))


def _mysql(table: Table) -> Mysql:
    socket, host, port = table.path("socket"), table.text("host"), table.integer("port", 1, 65535)
    password_file, defaults_file = table.path("password_file"), table.path("defaults_file")
    mysql = _build(
        Mysql,
        socket=socket,
        host=host,
        port=port,
        user=table.text("user"),
        password_file=password_file,
        defaults_file=defaults_file,
    )
    table.done()
    if socket and (host or port):
        raise table.error("socket", "contradicts host and port; give one or the other")
    if port and not host:
        raise table.error("port", "needs host beside it")
    if password_file and defaults_file:
        raise table.error("password_file", "contradicts defaults_file; give one or the other")
    return mysql


def _postgresql(table: Table) -> Postgresql:
    postgresql = _build(
        Postgresql,
        host=table.text("host"),
        port=table.integer("port", 1, 65535),
        user=table.text("user"),
        password_file=table.path("password_file"),
    )
    table.done()
    return postgresql


def _retention(table: Table) -> Retention:
    kept = {key: table.integer(key, 0, 1_000_000) for key in Retention.__struct_fields__}
    table.done()
    return _build(Retention, **kept)


def _webapps(table: Table) -> Webapps:
    webapps = _build(
        Webapps,
        assurance_drift=table.integer("assurance_drift", 1, 1000),
        assurance_structure=table.integer("assurance_structure", 0, 100),
        slow_seconds=table.integer("slow_seconds", 1, 600),
        slow_factor=table.integer("slow_factor", 1, 100),
        pages=table.integer("pages", 1, 50),
        page_seconds=table.integer("page_seconds", 1, 600),
        settle_seconds=table.integer("settle_seconds", 0, 600),
        command_seconds=table.integer("command_seconds", 1, 86400),
        browser=table.choice("browser", BROWSER),
        keep_snapshots=table.integer("keep_snapshots", 0, 100_000),
    )
    table.done()
    return webapps


def _clients(table: Table | None) -> dict[str, ClientSettings]:
    clients = {}
    for name, client in (table.tables() if table else {}).items():
        if table and not _CLIENT_NAME.fullmatch(name):
            raise table.error(name, "is no client's name; use letters, digits, dots and dashes")
        if table and name == "vault":
            raise table.error(name, "is the embedded client, set up in [vault]; use another name")
        clients[name] = _client(client)
    return clients


def _client(table: Table) -> ClientSettings:
    table.need("driver")
    driver = table.text("driver") or ""
    if driver in _REPOSITORIES:
        return _repository(table, driver)
    if driver == "bacula":
        return _bacula(table, driver)
    if driver == "command":
        return _command(table, driver)
    if driver == "jetbackup":
        return _jetbackup(table, driver)
    if driver == "vault" or driver not in _entry_points("strongroom.clients"):
        raise table.wrong("driver", f"one of {_listed(_DRIVERS, 'strongroom.clients')}")
    return Foreign(driver=driver, options=table.rest())


def _repository(table: Table, driver: str) -> Repository:
    url, passphrase_file = table.url("url", _REPOSITORIES[driver]), table.path("passphrase_file")
    hosts = None if driver == "duplicity" else table.texts("hosts")
    table.done()
    table.need("url")
    if driver == "restic" and url:
        url = url.removeprefix("local:")
    elif driver == "duplicity" and url and url.startswith("/"):
        url = f"file://{url}"
    return _build(Repository, driver=driver, url=url, passphrase_file=passphrase_file, hosts=hosts)


def _bacula(table: Table, driver: str) -> Bacula:
    paths = {key: table.path(key) for key in ("console", "include")}
    names = {key: table.text(key) for key in ("client", "storage", "pool")}
    more = {key: table.text(key) for key in ("next_pool", "address")}
    port, password_file = table.integer("port", 1, 65535), table.path("password_file")
    table.done()
    for key in (*paths, *names):
        table.need(key)
    for key, name in (names | more).items():
        if name is not None and not _BACULA_NAME.fullmatch(name):
            raise table.error(key, "is no name of Bacula's; use letters, digits, spaces and . : _ -")
    if (more["address"] is None) != (password_file is None):
        raise table.error("address", "and password_file go together: with them the director is told of the file daemon")
    if names["pool"] == more["next_pool"]:
        raise table.error("next_pool", "must be another pool than pool: Bacula reads the one and writes the other")
    return _build(Bacula, driver=driver, port=port, password_file=password_file, **paths, **names, **more)


def _command(table: Table, driver: str) -> Command:
    backup, restore = table.texts("backup"), table.texts("restore")
    listing, forget = table.texts("list"), table.texts("forget")
    table.done()
    _check_arguments(table, "backup", backup, "sources")
    _check_arguments(table, "restore", restore, "target")
    if backup and "{sources}" not in backup:
        raise table.error("backup", 'must have "{sources}" as an argument of its own, since it becomes several')
    if listing is not None and not listing:
        raise table.wrong("list", "a program and its arguments")
    if forget is not None:
        _check_arguments(table, "forget", forget, "point")
    return _build(Command, driver=driver, backup=backup, restore=restore, list=listing, forget=forget)


def _jetbackup(table: Table, driver: str) -> JetBackup:
    program, job, downloads = table.path("program"), table.text("job"), table.path("downloads")
    timeout = table.integer("timeout", 1, 7 * 24 * 3600)
    table.done()
    if job is not None and not re.fullmatch(r"[0-9a-f]{24}", job):
        raise table.wrong("job", "the id of a backup job, 24 hexadecimal digits")
    given = program and text(program)
    return _build(JetBackup, driver=driver, program=given, job=job, downloads=downloads, timeout=timeout)


def _check_arguments(table: Table, key: str, arguments: tuple[str, ...] | None, place: str) -> None:
    table.need(key)
    if not arguments:
        raise table.wrong(key, "a program and its arguments")
    for needed in ("point", place):
        if not any(f"{{{needed}}}" in argument for argument in arguments):
            raise table.error(key, f'must have "{{{needed}}}" among its arguments')


def _accounts(root: Table, server: Server) -> dict[str, AccountSettings]:
    table = root.table("accounts")
    if table is None:
        return {}
    if server.layout != "plain":
        raise root.error("accounts", f'is for layout "plain" alone; "{server.layout}" knows its databases itself')
    return {name: _account(account) for name, account in table.tables().items()}


def _account(table: Table) -> AccountSettings:
    databases = table.texts("databases")
    table.done()
    for database in databases or ():
        engine, colon, name = database.partition(":")
        if engine not in ENGINES or not colon or not name:
            raise table.error("databases", f'must hold "mysql:NAME" or "postgresql:NAME", not "{database}"')
    return _build(AccountSettings, databases=databases)


def _entry_points(group: str) -> list[str]:
    from importlib.metadata import entry_points

    return sorted({point.name for point in entry_points(group=group)})


def _listed(known: Iterable[str], group: str) -> str:
    return ", ".join(dict.fromkeys((*known, *(name for name in _entry_points(group) if name != "vault"))))
