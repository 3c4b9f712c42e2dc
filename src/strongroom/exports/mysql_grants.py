"""All users, roles and grants of a MariaDB server, as statements that make them again on a new one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from strongroom.exports.mysql_connection import Connection, account
from strongroom.exports.mysql_users import EVERYBODY

END = b"-- End of the users and grants\n"
_HEADER = b"-- Users, roles and grants of the whole server. Load it when the databases are there: a grant may be on a table.\n"
# The server makes these itself, and each version in its own way.
_SERVERS_OWN = ("mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema")
_PASSWORD = re.compile(r" IDENTIFIED BY PASSWORD '[^']*'")


def grants(connection: Connection) -> Iterator[bytes]:
    """The statements, users' passwords as the server keeps them; the end mark is last."""
    yield _HEADER
    found = [
        (name, host, bool(is_role))
        for name, host, is_role in connection.rows(
            "SELECT User, Host, is_role = 'Y' FROM mysql.user ORDER BY is_role DESC, User, Host"
        )
        if name not in _SERVERS_OWN
    ]
    granted: dict[str, None] = {}
    for name, host, is_role in found:
        spelled = account(name, host).partition("@`")[0] if is_role else account(name, host)
        if is_role and name != EVERYBODY:
            yield f"CREATE ROLE IF NOT EXISTS {spelled};\n".encode()
        elif not is_role:
            created = connection.value(f"SHOW CREATE USER {spelled}")
            yield f"{created.replace('CREATE USER', 'CREATE USER IF NOT EXISTS', 1)};\n".encode()
            yield f"{created.replace('CREATE USER', 'ALTER USER', 1)};\n".encode()
        shown = connection.rows(f"SHOW GRANTS FOR {EVERYBODY if is_role and name == EVERYBODY else spelled}")
        # What a role has from another is told with both; the order in which the server tells is no matter of rights.
        granted |= {_PASSWORD.sub("", grant, count=1).strip(): None for (grant,) in shown}
    yield from (f"{grant};\n".encode() for grant in sorted(granted, key=lambda grant: (grant.startswith("SET "), grant)))
    yield END
