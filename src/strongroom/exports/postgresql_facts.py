"""What a PostgreSQL server knows of its databases, apart from their content."""

from __future__ import annotations

from typing import NamedTuple

from strongroom.exports import ownership
from strongroom.exports.base import POSTGRESQL
from strongroom.exports.manifest import ForeignKey
from strongroom.exports.postgresql_connection import Connection

# Whose objects are the server's own or a session's.
_SCHEMAS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_NOT_OF_AN_EXTENSION = (
    "NOT EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid WHERE d.classid = 'pg_class'::regclass "
    "AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' "
    "AND NOT c.oid = ANY (COALESCE(e.extconfig, '{}')))"
)


class Relation(NamedTuple):
    """A table, view or sequence: its schema and name, and both as SQL spells them; ``kind`` is pg_class's."""

    schema: str
    plain: str
    identity: str
    kind: str

    @property
    def parts(self) -> tuple[str, str]:
        """Schema and name."""
        return self.schema, self.plain

    @property
    def name(self) -> str:
        """As an owner says it."""
        return f"{self.schema}.{self.plain}"


def databases(connection: Connection) -> dict[str, set[str]]:
    """Every database that one can connect to, with its owner."""
    found = connection.rows(
        "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datallowconn AND NOT datistemplate"
    )
    return {name: {owner} for name, owner in found if not ownership.is_servers(POSTGRESQL, name)}


def relations(connection: Connection) -> tuple[Relation, ...]:
    """The tables (r, partitioned p), views (v, materialized m) and sequences (S), as this transaction sees them."""
    found = connection.rows(
        "SELECT n.nspname, c.relname, quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind::text "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND "
        + _SCHEMAS
        + " AND "
        + _NOT_OF_AN_EXTENSION
        + " ORDER BY 1, 2"
    )
    return tuple(Relation(*row) for row in found)


def large_objects(connection: Connection) -> int:
    """How many large objects there are."""
    return int(connection.value("SELECT count(*) FROM pg_largeobject_metadata"))


def attributes(connection: Connection, database: str) -> dict[str, str]:
    """Encoding, locale, owner, limit and comment of a database, what everybody may do with it (``public``), and what is set for
    its sessions, all (``set NAME``) or those of one role (``role ROLE set NAME``); empty when it is not there.
    """
    found = connection.rows(
        "SELECT pg_encoding_to_char(encoding), datcollate, datctype, pg_get_userbyid(datdba), t.spcname, datconnlimit::text, "
        "COALESCE(shobj_description(d.oid, 'pg_database'), ''), "
        "ARRAY_TO_STRING(ARRAY(SELECT privilege_type FROM aclexplode(COALESCE(datacl, acldefault('d', datdba))) "
        "WHERE grantee = 0 ORDER BY 1), ' ') "
        "FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE datname = %s",
        database,
    )
    if not found:
        return {}
    names = ("encoding", "collate", "ctype", "owner", "tablespace", "limit", "comment", "public")
    settings = connection.rows(
        "SELECT CASE WHEN setrole = 0 THEN '' ELSE 'role ' || pg_get_userbyid(setrole) || ' ' END, unnest(setconfig) "
        "FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = %s",
        database,
    )
    set_to = ((whose, *setting.partition("=")) for whose, setting in settings)
    return dict(zip(names, found[0], strict=True)) | {f"{whose}set {name}": value for whose, name, _, value in set_to}


def extensions(connection: Connection) -> dict[str, str]:
    """The extensions of the database, but for the one that every database has, with the schema of each."""
    query = "SELECT extname, nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace ORDER BY 1"
    return {name: schema for name, schema in connection.rows(query) if name != "plpgsql"}


def superusers(connection: Connection) -> tuple[str, ...]:
    """The roles that may do everything."""
    return tuple(name for (name,) in connection.rows("SELECT rolname FROM pg_roles WHERE rolsuper ORDER BY 1"))


def foreign_keys(connection: Connection) -> tuple[ForeignKey, ...]:
    """The foreign keys between tables."""
    found = connection.rows(
        "SELECT k.conname, tn.nspname || '.' || t.relname, rn.nspname || '.' || r.relname, "
        "ARRAY(SELECT attname FROM unnest(k.conkey) WITH ORDINALITY u(num, place) JOIN pg_attribute a "
        "ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY place)::text[], "
        "ARRAY(SELECT attname FROM unnest(k.confkey) WITH ORDINALITY u(num, place) JOIN pg_attribute a "
        "ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY place)::text[] "
        "FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace "
        "JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace "
        "WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 2, 1"
    )
    return tuple(
        ForeignKey(
            name=name,
            table=table,
            columns=tuple(columns),
            referenced=referenced,
            referenced_columns=tuple(referenced_columns),
        )
        for name, table, referenced, columns, referenced_columns in found
    )
