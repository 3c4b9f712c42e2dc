"""The configuration: read, checked, one typed object (`Config`)."""

from strongroom.config.commented import COMMENTED, write_default
from strongroom.config.reading import DEFAULT_PATH, config_path, load, parse
from strongroom.config.values import (
    AccountSettings,
    Backup,
    Bacula,
    ClientSettings,
    Command,
    Config,
    Databases,
    Days,
    Foreign,
    Mysql,
    Postgresql,
    Repository,
    Retention,
    Server,
    Vault,
)

__all__ = [
    "COMMENTED",
    "DEFAULT_PATH",
    "AccountSettings",
    "Backup",
    "Bacula",
    "ClientSettings",
    "Command",
    "Config",
    "Databases",
    "Days",
    "Foreign",
    "Mysql",
    "Postgresql",
    "Repository",
    "Retention",
    "Server",
    "Vault",
    "config_path",
    "load",
    "parse",
    "write_default",
]
