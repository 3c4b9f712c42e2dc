"""Users, roles and grants of an account: all of its own, nothing of anybody else's, and back again with their passwords."""

from __future__ import annotations

import pytest

from strongroom.exports.mysql import MysqlServer
from strongroom.exports.postgresql import PostgresqlServer
from strongroom.model import Account, DatabaseClaim
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL

SITE = Account(
    name="site1",
    claims=(
        DatabaseClaim(engine="mysql", prefix="acc_", user="accadmin"),
        DatabaseClaim(engine="postgresql", prefix="acc_", user="accadmin"),
    ),
)
OTHER = Account(name="site2", claims=(DatabaseClaim(engine="mysql", prefix="oth_", user="othadmin"),))
ALL = [SITE, OTHER]


def test_users_of_mariadb_come_back_with_their_passwords(mariadb: MariaDB) -> None:
    server = MysqlServer(mariadb.settings)
    mariadb.run("CREATE DATABASE acc_wp", "CREATE DATABASE oth_wp")
    try:
        _make(mariadb)
        file = server.users(SITE, ALL)
        text = b"".join(file.pieces)
        assert (file.path, file.failure) == (b"mysql/users.sql", "")
        for never in (b"oth_wp", b"powerful", b"shared", b"othadmin", b"root", b"*.*", b"geheim"):
            assert never not in text
        own = [("accadmin", "localhost"), ("acc_w'eb", "10.%"), ("guest", "localhost")]
        before = [_grants(mariadb, f"`{user}`@`{host}`") for user, host in own]
        mariadb.run("DROP USER accadmin@localhost, `acc_w'eb`@`10.%`, guest@localhost", "DROP ROLE acc_readers")
        assert server.load_users(SITE, ALL, iter([text])) == []
        after = [_grants(mariadb, f"`{user}`@`{host}`") for user, host in own]
        foreign = {grant for grant in before[0] if "oth_wp" in grant}
        assert [grant for grant in after[0] if "`acc\\_%`" in grant]
        assert after == [before[0] - foreign, *before[1:]]
        mariadb.connect("acc_wp", user="accadmin", password="geheim").close()
        # A second time changes nothing.
        assert server.load_users(SITE, ALL, iter([text])) == []
        assert [_grants(mariadb, f"`{user}`@`{host}`") for user, host in own] == after
    finally:
        users = "accadmin@localhost, `acc_w'eb`@`10.%`, guest@localhost, powerful@localhost, shared@localhost, othadmin@localhost"
        mariadb.run(f"DROP USER IF EXISTS {users}", "DROP ROLE IF EXISTS acc_readers")
        mariadb.run("DROP DATABASE acc_wp", "DROP DATABASE oth_wp")


@pytest.mark.parametrize(
    "statement",
    [
        "GRANT ALL ON *.* TO `accadmin`@`localhost`",
        "GRANT ALL PRIVILEGES ON `oth_wp`.* TO `accadmin`@`localhost`",
        "GRANT ALL PRIVILEGES ON `acc%`.* TO `accadmin`@`localhost`",
        "GRANT ALL PRIVILEGES ON `%`.* TO `accadmin`@`localhost`",
        "GRANT ALL PRIVILEGES ON `oth\\_%`.* TO `accadmin`@`localhost`",
        "GRANT PROXY ON `root`@`localhost` TO `accadmin`@`localhost`",
        "ALTER USER `root`@`localhost` IDENTIFIED BY 'x'",
        "CREATE USER IF NOT EXISTS `root`@`localhost` IDENTIFIED BY 'x'",
        "GRANT `mariadb.sys` TO `accadmin`@`localhost`",
        "DROP USER `root`@`localhost`",
        "CREATE USER IF NOT EXISTS `accadmin`@`localhost`, `evil`@`%`; GRANT ALL ON *.* TO `evil`@`%`",
    ],
)
def test_what_is_not_the_accounts_own_is_never_replayed(mariadb: MariaDB, statement: str) -> None:
    server = MysqlServer(mariadb.settings)
    mariadb.run("CREATE DATABASE acc_wp", "CREATE USER accadmin@localhost")
    try:
        before = mariadb.rows("SELECT * FROM mysql.global_priv WHERE User NOT IN ('accadmin') ORDER BY User, Host")
        said = server.load_users(SITE, ALL, iter([statement.encode()]))
        assert said
        assert mariadb.rows("SHOW GRANTS FOR accadmin@localhost") == [("GRANT USAGE ON *.* TO `accadmin`@`localhost`",)]
        assert (
            mariadb.rows("SELECT * FROM mysql.global_priv WHERE User NOT IN ('accadmin') ORDER BY User, Host") == before
        )
    finally:
        mariadb.run("DROP DATABASE acc_wp", "DROP USER IF EXISTS accadmin@localhost")


def test_roles_of_postgresql_come_back_with_their_passwords(postgresql: PostgreSQL) -> None:
    postgresql.run(
        "CREATE ROLE accadmin LOGIN PASSWORD 'geheim' CONNECTION LIMIT 5 VALID UNTIL '2040-01-01 00:00:00+00'",
        'CREATE ROLE "acc_we""b" LOGIN',
        "CREATE ROLE acc_readers NOINHERIT",
        "CREATE ROLE acc_super SUPERUSER",
        "CREATE ROLE stranger LOGIN PASSWORD 'fremd'",
        "GRANT acc_readers TO accadmin WITH ADMIN OPTION",
        "GRANT stranger TO accadmin",
        "CREATE DATABASE acc_wp OWNER accadmin",
        "CREATE DATABASE stranger OWNER stranger",
        "CREATE ROLE guest NOLOGIN",
        "GRANT CONNECT ON DATABASE acc_wp TO guest",
        "CREATE ROLE both_ways",
        "GRANT CONNECT ON DATABASE acc_wp TO both_ways",
        "GRANT CONNECT ON DATABASE stranger TO both_ways",
        'GRANT CREATE, CONNECT ON DATABASE acc_wp TO "acc_we""b"',
        "GRANT CONNECT ON DATABASE acc_wp TO acc_readers WITH GRANT OPTION",
        "ALTER ROLE accadmin SET search_path = \"$user\", 'a, b'",
        "ALTER ROLE accadmin SET statement_timeout = '1min'",
        "ALTER ROLE accadmin SET own.thing = 'it''s \\ so'",
        "ALTER ROLE accadmin SET log_statement = 'all'",
        "COMMENT ON ROLE accadmin IS 'whose ''it'' is'",
    )
    server = PostgresqlServer(postgresql.settings)
    try:
        file = server.users(SITE, ALL)
        text = b"".join(file.pieces)
        assert (file.path, file.failure) == (b"postgresql/users.sql", "")
        for never in (b"stranger", b"both_ways", b"acc_super", b"geheim", b"postgres", b"log_statement"):
            assert never not in text
        before = _roles(postgresql)
        postgresql.run("ALTER DATABASE acc_wp OWNER TO postgres")
        postgresql.run('REVOKE ALL ON DATABASE acc_wp FROM "acc_we""b", acc_readers, guest')
        postgresql.run('DROP ROLE accadmin, "acc_we""b", acc_readers, guest')
        assert server.load_users(SITE, ALL, iter([text])) == []
        wanted = [row for row in before if row[0] != "stranger in accadmin" and "log_statement" not in str(row)]
        assert [row[0] for row in wanted if row[0] == "guest"]
        assert _roles(postgresql) == wanted
        postgresql.connect("acc_wp", user="accadmin", password="geheim").close()
        assert server.load_users(SITE, ALL, iter([text])) == []
        refused = (
            b'CREATE ROLE "stranger"; ALTER ROLE "stranger" WITH SUPERUSER; GRANT "postgres" TO "accadmin"; '
            b'ALTER DATABASE "stranger" OWNER TO "accadmin"; ALTER ROLE "accadmin" WITH SUPERUSER; '
            b'CREATE ROLE "accadmin"; ALTER ROLE "accadmin" SET "log_statement" TO \'all\'; '
            b"ALTER ROLE \"stranger\" SET \"work_mem\" TO '1GB'; COMMENT ON ROLE \"stranger\" IS 'mine'"
        )
        assert len(server.load_users(SITE, ALL, iter([refused]))) == 8
        assert _roles(postgresql) == wanted
    finally:
        postgresql.run("DROP DATABASE acc_wp", "DROP DATABASE stranger")
        postgresql.run('DROP ROLE IF EXISTS accadmin, "acc_we""b", acc_readers, acc_super, stranger, guest, both_ways')


def _make(mariadb: MariaDB) -> None:
    mariadb.run(
        "CREATE TABLE acc_wp.t (x INT, y INT)",
        "CREATE USER accadmin@localhost IDENTIFIED BY 'geheim' WITH MAX_USER_CONNECTIONS 5",
        "CREATE USER `acc_w'eb`@`10.%` IDENTIFIED BY 'p;`'",
        "CREATE USER guest@localhost",
        "CREATE USER powerful@localhost",
        "CREATE USER shared@localhost",
        "CREATE USER othadmin@localhost",
        "CREATE ROLE acc_readers",
        "GRANT ALL ON `acc\\_%`.* TO accadmin@localhost",
        "GRANT ALL ON `acc\\_wp`.* TO accadmin@localhost WITH GRANT OPTION",
        "GRANT ALL ON oth_wp.* TO accadmin@localhost",
        "GRANT SELECT (x), UPDATE ON acc_wp.t TO `acc_w'eb`@`10.%`",
        "GRANT SELECT ON acc_wp.* TO acc_readers",
        "GRANT acc_readers TO accadmin@localhost",
        "SET DEFAULT ROLE acc_readers FOR accadmin@localhost",
        "GRANT SELECT ON acc_wp.* TO guest@localhost",
        "GRANT ALL ON *.* TO powerful@localhost",
        "GRANT SELECT ON acc_wp.* TO powerful@localhost",
        "GRANT SELECT ON acc_wp.* TO shared@localhost",
        "GRANT SELECT ON oth_wp.* TO shared@localhost",
    )


def _grants(mariadb: MariaDB, user: str) -> set[str]:
    found = {grant for (grant,) in mariadb.rows(f"SHOW GRANTS FOR {user}")}
    return found | {created for (created,) in mariadb.rows(f"SHOW CREATE USER {user}")}


def _roles(postgresql: PostgreSQL) -> list[tuple[object, ...]]:
    return (
        postgresql.rows(
            "SELECT rolname, rolsuper, rolinherit, rolcanlogin, rolconnlimit, rolpassword, rolvaliduntil::text "
            "FROM pg_authid WHERE rolname ~ '^(acc|guest)' ORDER BY 1"
        )
        + postgresql.rows(
            "SELECT pg_get_userbyid(roleid) || ' in ' || pg_get_userbyid(member), admin_option FROM pg_auth_members "
            "WHERE pg_get_userbyid(member) ~ '^acc' ORDER BY 1"
        )
        + postgresql.rows(
            "SELECT datname, pg_get_userbyid(datdba), ARRAY(SELECT unnest(datacl)::text ORDER BY 1) FROM pg_database "
            "WHERE datname = 'acc_wp'"
        )
        + postgresql.rows(
            "SELECT setrole::regrole::text, unnest(setconfig) FROM pg_db_role_setting WHERE setdatabase = 0 UNION ALL "
            "SELECT rolname, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'accadmin' ORDER BY 1, 2"
        )
    )
