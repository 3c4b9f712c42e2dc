"""What a configuration says is what the program sees, and what is wrong is named with file, line and key."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from strongroom.config import Bacula, Command, Config, Repository, load, parse
from strongroom.errors import ConfigError

PATH = b"/etc/strongroom/config.toml"

EVERYTHING = """
[server]
layout = "plain"
accounts = ["/srv/*", "/home//*/www/"]
root = "/tmp/server/"
state = "/var/lib/strongroom/../strongroom"
[vault]
url = "/backups/vault/"
passphrase_file = "/etc/strongroom/passphrase"
dedup = "account"
[backup]
client = "fleet"
workers = 64
exclude = ["*.log", "/cache/"]
full = "last friday"
differential = "Never"
[databases.mysql]
socket = "/run/mysqld/mysqld.sock"
user = "backup"
password_file = "/etc/strongroom/mysql"
[databases.postgresql]
host = "db.example.com"
port = 5433
user = "backup"
password_file = "/etc/strongroom/pg"
[webapps]
assurance_drift = 20
settle_seconds = 0
browser = "never"
[retention]
keep_last = 1
keep_hourly = 2
keep_daily = 0
keep_weekly = 5
keep_monthly = 12
keep_yearly = 3
[clients.dup]
driver = "duplicity"
url = "file:///var/backups/duplicity"
passphrase_file = "/etc/strongroom/duplicity"
[clients.fleet]
driver = "bacula"
console = "/etc/bacula/bconsole.conf"
include = "/etc/bacula/strongroom.d"
client = "host-fd"
storage = "File"
pool = "Strongroom"
[clients."other.one"]
driver = "command"
backup = ["tool", "save", "{point}", "{sources}"]
restore = ["tool", "load", "--id={point}", "--into={target}"]
list = ["tool", "list"]
[accounts.shop]
databases = ["mysql:shop", "postgresql:search:index"]
"""


def refused(document: str | bytes) -> str:
    content = document if isinstance(document, bytes) else document.encode()
    with pytest.raises(ConfigError) as caught:
        parse(content, b"c.toml")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_every_key_of_the_interface_is_read() -> None:
    config = parse(EVERYTHING.encode(), PATH)
    assert config.server.layout == "plain"
    assert config.server.accounts == (b"/srv/*", b"/home/*/www")
    assert config.server.root == b"/tmp/server"
    assert config.server.state == b"/var/lib/strongroom"
    assert (config.vault.url, config.vault.folder, config.vault.dedup) == (
        "/backups/vault",
        b"/backups/vault",
        "account",
    )
    assert (config.backup.client, config.backup.workers) == ("fleet", 64)
    assert config.backup.exclude == ("*.log", "/cache/")
    assert config.databases.mysql is not None
    assert config.databases.mysql.socket == b"/run/mysqld/mysqld.sock"
    assert config.databases.postgresql is not None
    assert (config.databases.postgresql.host, config.databases.postgresql.port) == ("db.example.com", 5433)
    assert (config.retention.keep_daily, config.retention.keep_yearly) == (0, 3)
    assert (config.webapps.assurance_drift, config.webapps.settle_seconds, config.webapps.browser) == (20, 0, "never")
    assert isinstance(config.clients["dup"], Repository)
    assert config.clients["fleet"] == Bacula(
        driver="bacula",
        console=b"/etc/bacula/bconsole.conf",
        include=b"/etc/bacula/strongroom.d",
        client="host-fd",
        storage="File",
        pool="Strongroom",
    )
    assert isinstance(config.clients["other.one"], Command)
    assert config.accounts["shop"].databases == ("mysql:shop", "postgresql:search:index")
    assert config.secrets == tuple(
        sorted(
            [
                b"/etc/strongroom/passphrase",
                b"/etc/strongroom/mysql",
                b"/etc/strongroom/pg",
                b"/etc/strongroom/duplicity",
            ]
        )
    )


def test_an_empty_file_is_a_server_of_the_panel_with_all_defaults() -> None:
    config = parse(b"", PATH)
    assert config == Config(path=PATH)
    assert (config.server.layout, config.server.root, config.backup.client) == ("apiscp", b"/", "vault")
    assert (config.retention.keep_daily, config.retention.keep_weekly, config.retention.keep_monthly) == (7, 4, 6)
    assert config.databases.mysql is None


@pytest.mark.parametrize(
    ("document", "where", "what"),
    [
        ("[backup]\n\nworker = 3", "3: backup.worker:", "did you mean workers"),
        ("[nonsense]\nx = 1", "1: nonsense:", "unknown key"),
        ("# one\nbackup = { client = 'vault',  wrokers = 1 }", "2: backup.wrokers:", "did you mean workers"),
        ("backup.workers = 1\nbackup.client = 3", "2: backup.client:", "not 3"),
        ('[backup]\nexclude = [\n  "a",\n  # "]"\n]\n"wor kers" = 1', '6: backup."wor kers":', "unknown key"),
        ("[backup]\nworkers = 65", "2: backup.workers:", "from 0 to 64"),
        ("[backup]\nworkers = -1", "2: backup.workers:", "from 0 to 64"),
        ("[backup]\nworkers = true", "2: backup.workers:", "not true"),
        ("[backup]\nworkers = '2'", "2: backup.workers:", "whole number"),
        ("[backup]\nexclude = '*.log'", "2: backup.exclude:", "a list of texts"),
        ("[backup]\nexclude = ['a', 1]", "2: backup.exclude:", "not one with 1"),
        ("[backup]\nexclude = ['!']", "2: backup.exclude:", "no gitignore pattern"),
        ("[backup]\nclient = 'restic'", "2: backup.client:", "must be one of vault"),
        ("[backup]\nfull = 'fifth sunday'", "2: backup.full:", "first sunday"),
        ("[backup]\nfull = ''", "2: backup.full:", "a text"),
        ("[server]\nroot = 'srv'", "2: server.root:", "absolute path"),
        ("[server]\nstate = '~/x'", "2: server.state:", "absolute path"),
        ('[server]\nroot = "/a\\u0000b"', "2: server.root:", "on one line"),
        ("[server]\nlayout = 'cpanel'", "2: server.layout:", "apiscp, plain"),
        ("[server]\nlayout = 'plain'", "1: server.accounts:", "is missing"),
        ("[server]\naccounts = ['/srv/*']", "2: server.accounts:", 'layout "plain" alone'),
        ("[server]\nlayout = 'plain'\naccounts = ['srv/*']", "3: server.accounts:", "absolute globs"),
        ("[server]\nlayout = 'plain'\naccounts = ['/srv/../*']", "3: server.accounts:", "absolute globs"),
        ("[server]\nlayout = 'plain'\naccounts = ['/']", "3: server.accounts:", "absolute globs"),
        ("[accounts.x]\ndatabases = []", "1: accounts:", 'layout "plain" alone'),
        (
            "[server]\nlayout='plain'\naccounts=['/a']\n[accounts.x]\ndatabases = ['shop']",
            "5: accounts.x.databases:",
            "mysql:NAME",
        ),
        ("server = 3", "1: server:", "must be a table, not 3"),
        ("[[server]]\nroot = '/'", "1: server:", "must be a table, not a list"),
        ("[retention]\nkeep_daily = -1", "2: retention.keep_daily:", "whole number"),
        ("[retention]\nkeep_daily = 1.5", "2: retention.keep_daily:", "not 1.5"),
        ("[webapps]\nassurance_drift = 0", "2: webapps.assurance_drift:", "from 1 to 1000"),
        ("[webapps]\nbrowser = 'firefox'", "2: webapps.browser:", "auto, never"),
        ("[webapps]\ndrift = 5", "2: webapps.drift:", "assurance_drift"),
        ("[vault]\nurl = 'backups'", "2: vault.url:", "absolute path or a URL"),
        ("[vault]\nurl = 's3://me:secret@bucket/x'", "2: vault.url:", "holds a password"),
        ("[vault]\ndedup = 'all'", "2: vault.dedup:", "vault, account"),
        ("[vault]\nurl = '/v'\npassphrase_file = '/v/key'", "3: vault.passphrase_file:", "lies in the vault"),
        ("[vault]\nurl = '/var/lib'", "2: vault.url:", "holds server.state"),
        ("[vault]\n\npassphrase = 'hunter2'", "3: vault.passphrase:", "set passphrase_file"),
        ("[databases.mysql]\npassword = 'x'", "2: databases.mysql.password:", "set password_file or defaults_file"),
        ("password = 'x'", "1: password:", "ends in _file"),
        ("[databases.oracle]", "1: databases.oracle:", "mysql, postgresql"),
        ("[databases.mysql]\nsocket = '/s'\nhost = 'h'", "2: databases.mysql.socket:", "contradicts"),
        ("[databases.mysql]\nport = 1", "2: databases.mysql.port:", "needs host"),
        ("[databases.mysql]\nhost = 'h'\nport = 0", "3: databases.mysql.port:", "1 to 65535"),
        (
            "[databases.mysql]\ndefaults_file = '/a'\npassword_file = '/b'",
            "3: databases.mysql.password_file:",
            "contradicts defaults_file",
        ),
        ("[clients.x]\nurl = '/x'", "1: clients.x.driver:", "is missing"),
        ("[clients.x]\ndriver = 'rsync'", "2: clients.x.driver:", "duplicity, restic"),
        ("[clients.x]\ndriver = 'vault'", "2: clients.x.driver:", "duplicity, restic"),
        ("[clients.x]\ndriver = 'borg'", "1: clients.x.url:", "is missing"),
        ("[clients.x]\ndriver = 'borg'\nconsole = '/c'\nurl = '/x'", "3: clients.x.console:", "unknown key"),
        ("[clients.vault]\ndriver = 'borg'", "1: clients.vault:", "embedded"),
        ("[clients.'a b']\ndriver = 'borg'", '1: clients."a b":', "no client's name"),
        ("[clients.f]\ndriver = 'bacula'\nconsole = '/c'", "1: clients.f.include:", "is missing"),
        (
            "[clients.c]\ndriver = 'command'\nrestore = ['x', '{point}', '{target}']",
            "1: clients.c.backup:",
            "is missing",
        ),
        (
            "[clients.c]\ndriver = 'command'\nbackup = ['t', '{point}', '-s{sources}']\nrestore = ['{point}{target}']",
            "3: clients.c.backup:",
            "an argument of its own",
        ),
        (
            "[clients.c]\ndriver = 'command'\nbackup = ['t', '{point}', '{sources}']\nrestore = ['t', '{point}']",
            "4: clients.c.restore:",
            '"{target}"',
        ),
        ("[server]\nroot = \n", "2: not TOML:", "Invalid value"),
        ("[server]\nroot = '/'\nroot = '/'\n", "", "not TOML: Cannot overwrite"),
        ("x = " + "[" * 5000, "1: not TOML:", ""),
        (b"[server]\nroot = '/caf\xe9'", "2: not UTF-8", "save the file"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_full_name(document: str | bytes, where: str, what: str) -> None:
    message = refused(document)
    assert message.startswith(f"c.toml:{where}")
    assert what in message


def test_a_key_is_found_behind_texts_that_look_like_keys() -> None:
    lines = ("[backup]", 'client = "vault" # [x]', 'full = """daily"""', '"exclude" = ["a=1,{", \'[x]\']', "late = 1")
    assert refused("\r\n".join(lines)).startswith("c.toml:5: backup.late:")


def test_a_secret_is_never_repeated_in_the_message() -> None:
    assert "hunter2" not in refused("[vault]\npassphrase = 'hunter2'")
    assert "hunter2" not in refused("[clients.x]\ndriver = 'duplicity'\nurl = 'sftp://me:hunter2@host/x'")


def test_a_user_in_a_url_is_no_password() -> None:
    config = parse(b"[clients.x]\ndriver = 'borg'\nurl = 'ssh://me@host:22/x'", PATH)
    assert isinstance(config.clients["x"], Repository)


@pytest.mark.parametrize(
    ("driver", "url", "taken"),
    [
        ("restic", "sftp:me@host:/srv/restic", None),
        ("restic", "rest:https://host:8000/", None),
        ("restic", "s3:s3.amazonaws.com/bucket", None),
        ("restic", "local:/srv/restic", "/srv/restic"),
        ("borg", "me@host:relative/path", None),
        ("borg", "host:/srv/borg", None),
        ("duplicity", "/srv/sets", "file:///srv/sets"),
        ("duplicity", "boto3+s3://bucket/prefix", None),
    ],
)
def test_a_repository_is_named_as_its_software_names_it(driver: str, url: str, taken: str | None) -> None:
    settings = parse(f"[clients.x]\ndriver = '{driver}'\nurl = '{url}'".encode(), PATH).clients["x"]
    assert isinstance(settings, Repository)
    assert settings.url == (taken or url)


@pytest.mark.parametrize(
    ("driver", "url"),
    [("restic", "host:/srv"), ("restic", "srv/restic"), ("borg", "srv/borg"), ("borg", "::archive"), ("duplicity", "host:/x")],
)
def test_what_no_software_takes_for_a_repository_is_refused(driver: str, url: str) -> None:
    assert "clients.x.url: must be an absolute path or a URL" in refused(f"[clients.x]\ndriver = '{driver}'\nurl = '{url}'")


def test_the_configuration_given_goes_before_the_environment(tmp_path: Path) -> None:
    given, other = tmp_path / "given.toml", tmp_path / "other.toml"
    given.write_text("[backup]\nworkers = 1\n")
    other.write_text("[backup]\nworkers = 2\n")
    environ = {"STRONGROOM_CONFIG": str(other)}
    assert load(str(given), environ).backup.workers == 1
    assert load(None, environ).backup.workers == 2
    assert load(None, environ).path == os.fsencode(other)


def test_a_configuration_that_is_absent_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path}/no.toml: no such") + ".*strongroom init"):
        load(f"{tmp_path}/no.toml")


def test_a_folder_in_place_of_the_configuration_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(str(tmp_path))
