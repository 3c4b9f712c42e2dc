"""The configuration that ``strongroom init`` writes where there is none: every key, with what it means."""

from __future__ import annotations

import contextlib
import os

from strongroom.errors import ConfigError
from strongroom.model import text

COMMENTED = """\
# Strongroom's configuration. What is commented out shows the default, or a table that may be added.
# Secrets never stand here: keys that end in _file name a file (0600) that holds one.

[server]
layout = "apiscp"                  # which panel's layout: "apiscp", "plain"
# accounts = ["/srv/*"]            # "plain" alone: folders that are accounts, below root
root   = "/"                       # where the server's tree is
state  = "/var/lib/strongroom"     # catalog, caches, locks, audit log

[vault]                            # the embedded client
url             = "/var/backups/strongroom"      # a folder
passphrase_file = "/etc/strongroom/passphrase"   # made by init; without it nothing comes back: keep a copy elsewhere
# dedup         = "vault"          # read by init: equal content is stored once in the "vault", or in each "account"

[backup]
client       = "vault"             # the default client: "vault", or the NAME of a [clients.NAME]
workers      = 0                   # accounts backed up at once, at most 64; 0: one for each core
exclude      = []                  # gitignore-style patterns, on top of the layout's own
full         = "first sunday"      # which nights are what: never, daily, sunday, "first sunday" … "last sunday";
differential = "sunday"            # a full too where there is none or the last is older than 35 days; else incremental

[retention]                        # points kept of each account; 0 keeps none of that kind
# keep_last    = 0
# keep_hourly  = 0
keep_daily     = 7
keep_weekly    = 4
keep_monthly   = 6
# keep_yearly  = 0

[webapps]                          # when an update of a web app counts as failed, and how its pages are looked at
# assurance_drift     = 50         # by how many percent a page's text may grow or shrink
# assurance_structure = 60         # how many percent of what a page is made of have to be there again
# slow_seconds    = 10             # a page is too slow that takes longer, and slow_factor times as long as before
# slow_factor     = 4
# pages           = 6              # how many pages are looked at, at most
# page_seconds    = 30             # how long each may take
# settle_seconds  = 3              # how long PHP gets to see new files before the app is looked at
# command_seconds = 1800           # how long the command of an update may take
# browser         = "auto"         # pictures and errors of scripts where Chromium is installed; or "never"
# keep_snapshots  = 30             # how many snapshots of each app stay; 0 keeps all

# [databases.mysql]                # MariaDB or MySQL; leave the table out where there is no such server
# socket        = "/run/mysqld/mysqld.sock"
# # host        = "127.0.0.1"      # instead of socket
# # port        = 3306
# user          = "root"
# password_file = "/etc/strongroom/mysql"
# # defaults_file = "/root/.my.cnf"   # instead of password_file

# [databases.postgresql]
# host = "/run/postgresql"         # folder of the socket, or a host name
# port = 5432
# user = "postgres"                # by socket the tools run as this user of the system
# # password_file = "/etc/strongroom/postgresql"

# [accounts.shop]                  # "plain" alone: which databases belong to the account in the folder "shop"
# databases = ["mysql:shop", "postgresql:shop_search"]

# Further clients, one table each; its name is what --client takes.
# [clients.offsite]
# driver          = "restic"       # "duplicity", "restic", "borg": a repository, made on first use
# url             = "/mnt/offsite/restic"
# passphrase_file = "/etc/strongroom/offsite"
# # hosts         = ["old-name"]   # restic, borg: whose snapshots of others become points, if not this host's; []: none

# [clients.fleet]
# driver  = "bacula"
# console = "/etc/bacula/bconsole.conf"
# include = "/etc/bacula/strongroom.d"   # the director reads it, Strongroom writes its jobs and file sets there
# client  = "host-fd"
# storage = "File"
# pool    = "Strongroom"           # made where there is none
# # next_pool = "StrongroomFull"   # virtual full jobs go there

# [clients.jetbackup]
# driver    = "jetbackup"            # its backups are shown and brought back, and cover nothing
# downloads = "/usr/local/jetapps/usr/jetbackup5/downloads"

# [clients.other]
# driver  = "command"              # any program that keeps extended attributes; no shell is used
# backup  = ["tool", "save", "{point}", "{sources}"]   # {sources} becomes several arguments; {since} makes increments
# restore = ["tool", "load", "{point}", "{target}"]    # into an empty folder, paths relative to /
# list    = ["tool", "list"]
"""


def write_default(path: bytes) -> bool:
    """Write the commented configuration, readable by its owner alone, and say whether it did: an existing one stays.

    It appears whole or not at all. Raise ConfigError when it cannot be written.
    """
    folder = os.path.dirname(path)
    draft = path + b".%d.new" % os.getpid()
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(COMMENTED.encode())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path, follow_symlinks=False)
        except FileExistsError:
            return False
        finally:
            os.unlink(draft)
        _sync(folder)
    except OSError as error:
        problem = f"cannot be written ({error.strerror}); run as root, or name another with --config"
        raise ConfigError(f"{text(path)}: {problem}") from None
    return True


def _sync(folder: bytes) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
