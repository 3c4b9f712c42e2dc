"""Owners and privileges of an export's objects, given by root in statements that we write.

The export's own text is read for what it says, word by word: only its known forms are understood, and roles that do not
exist get nothing. A superuser gets back what was a superuser's when it was exported, and nothing else: what a tenant wrote
must not run with rights that only this server gives to that name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from strongroom.errors import ExportError
from strongroom.exports.postgresql_connection import Connection
from strongroom.exports.postgresql_text import statements
from strongroom.exports.stream import Stream

_IDENTIFIER = r'(?:"(?:[^"]|"")+"|[a-z_\u0080-\U0010ffff][a-z0-9_$\u0080-\U0010ffff]*)'
_GIVEN_TO = re.compile(rf"\s(?:OWNER TO|TO|FROM)\s+({_IDENTIFIER}|PUBLIC)(?:\s+WITH GRANT OPTION)?\Z")
_FORMS = (
    re.compile(r"ALTER (?!ROLE |USER |SYSTEM |DATABASE |EVENT )[A-Z ]+ \S.* OWNER TO \S+", re.DOTALL),
    re.compile(
        r"(?:GRANT|REVOKE)\s[^;]*\sON (?:(?:TABLE|SEQUENCE|FUNCTION|PROCEDURE|ROUTINE|SCHEMA|TYPE|DOMAIN|LARGE OBJECT) )?\S.*",
        re.DOTALL,
    ),
    re.compile(r"ALTER DEFAULT PRIVILEGES .*", re.DOTALL),
)
_FOR_ROLE = re.compile(rf"\sFOR ROLE ({_IDENTIFIER})\s")


def apply(root: Connection, text: bytes, superusers: Collection[str] = ()) -> Iterator[str]:
    """Give the objects of the database that ``root`` is in their owners and privileges; yield what was left out, and why.

    ``superusers`` are those of the server and the time that the text is of.
    """
    owner = root.value("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()")
    known = dict(
        root.rows("SELECT quote_ident(rolname), rolsuper AND NOT rolname = ANY (%s) FROM pg_roles", list(superusers))
    )
    known |= {"PUBLIC": False, root.value("SELECT quote_ident(%s)", owner): False}
    told = set()
    for statement in statements(Stream(iter([text]))):
        wanted = statement.text.decode()
        if not wanted.startswith(("ALTER ", "GRANT ", "REVOKE ")):
            continue
        problem = _problem(wanted, known) or _given(root, wanted)
        if problem and problem not in told:
            told.add(problem)
            yield problem


def _problem(wanted: str, known: dict[str, bool]) -> str:
    given = _GIVEN_TO.search(wanted)
    if given is None or not any(form.fullmatch(wanted) for form in _FORMS):
        return f"left out, as it is none of the forms in which owners and privileges are written: {wanted[:60]}"
    for role in (given[1], *_FOR_ROLE.findall(wanted)):
        if role not in known:
            return f"owners and privileges of role {role} were left out: there is no such role"
        if known[role]:
            return f"owners and privileges of role {role} were left out: it is a superuser"
    return ""


def _given(root: Connection, wanted: str) -> str:
    try:
        root.run_text(wanted)
    except ExportError as error:
        return f"{wanted[:60]}: {error}"
    return ""
