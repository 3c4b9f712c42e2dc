"""What a killed load leaves on the server, and that the next one puts it right."""

from __future__ import annotations

import os
import signal

from strongroom.exports.mysql_temporary import ready_to_load, temporary_user
from tests.servers.mariadb import MariaDB

SETTINGS = (
    "SELECT @@GLOBAL.max_allowed_packet, @@GLOBAL.log_bin_trust_function_creators, @@GLOBAL.automatic_sp_privileges"
)


def ours(mariadb: MariaDB) -> list[str]:
    return [user for (user,) in mariadb.rows(r"SELECT User FROM mysql.user WHERE User LIKE 'strongroom\\_%'")]


def test_the_next_load_undoes_what_a_killed_one_left(mariadb: MariaDB) -> None:
    before = mariadb.rows(SETTINGS)
    mariadb.run("CREATE DATABASE killed", "CREATE USER strongroom_shop@localhost")
    try:
        child = os.fork()
        if child == 0:
            with ready_to_load(mariadb.settings), temporary_user(mariadb.settings, "killed"):
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        assert len(ours(mariadb)) == 3
        assert mariadb.rows(SETTINGS) == [(1 << 30, 1, 0)] != before
        with ready_to_load(mariadb.settings):
            assert mariadb.rows(SETTINGS) == [(1 << 30, 1, 0)]
        assert mariadb.rows(SETTINGS) == before
        # One with such a name that is none of ours stays.
        assert ours(mariadb) == ["strongroom_shop"]
    finally:
        mariadb.run("DROP DATABASE killed", "DROP USER strongroom_shop@localhost")
