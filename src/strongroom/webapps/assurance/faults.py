"""Errors of PHP and databases, known by what they print on pages and into logs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from strongroom.webapps.assurance.look import Fault

PHP, DATABASE, APP = "php", "database", "app"
_MOST_FAULTS = 20
_MOST_TEXT = 300

# As PHP prints it with and without HTML, and as it writes it into logs.
_PHP = re.compile(
    r"(?:PHP )?(Parse error|Fatal error|Recoverable fatal error|Warning|Notice|Deprecated) ?: {1,3}"
    r"(.{1,400}?) in (\S{1,300}?)(?: on line |:)\d+",
    re.DOTALL,
)
_UNCAUGHT = re.compile(r"(Uncaught [\w\\]{1,80}(?:Error|Exception)): (.{1,200})")
_SEVERE = ("Parse error", "Fatal error", "Recoverable fatal error")
# Notices and what is deprecated are printed by sites that work.
_MILD = ("Notice", "Deprecated")
_DATABASE = re.compile(
    r"Error establishing a database connection|SQLSTATE\[\w+\].{0,160}|You have an error in your SQL syntax"
    r"|WordPress database error:?.{0,160}|Table '[^']{1,130}' doesn't exist|MySQL server has gone away"
    r"|ERROR: {1,2}(?:relation|column) \"[^\"]{1,130}\" does not exist|no such table: \S{1,100}"
    r"|Cannot access the database|A database query error has occurred",
    re.IGNORECASE,
)
_APP = re.compile(
    r"There has been a critical error on this website|Briefly unavailable for scheduled maintenance"
    r"|The website encountered an unexpected error|Internal error\b.{0,20}Exception|DokuWiki Setup Error"
    r"|MediaWiki internal error"
)
_VARIABLE = re.compile(r"0x[0-9a-f]+|\d+", re.IGNORECASE)


def in_text(text: str) -> tuple[Fault, ...]:
    """The faults in the text of a page."""
    found = [
        Fault(kind=PHP, text=_plain(f"{match[1]}: {match[2]} in {match[3]}"), severe=match[1] not in _MILD)
        for match in _PHP.finditer(text)
    ]
    found += [Fault(kind=DATABASE, text=_plain(match[0])) for match in _DATABASE.finditer(text)]
    found += [Fault(kind=APP, text=_plain(match[0])) for match in _APP.finditer(text)]
    return _distinct(found)


def in_log(text: str) -> tuple[Fault, ...]:
    """The faults in what was added to an error log; warnings are no severe ones there."""
    found = []
    for line in text.splitlines():
        line = line[:2000]
        if match := _PHP.search(line):
            said = f"{match[1]}: {match[2]} in {match[3]}"
            found.append(Fault(kind=PHP, text=_plain(said), severe=match[1] in _SEVERE))
        elif match := _UNCAUGHT.search(line):
            found.append(Fault(kind=PHP, text=_plain(f"{match[1]}: {match[2]}")))
        elif match := _DATABASE.search(line):
            found.append(Fault(kind=DATABASE, text=_plain(match[0])))
    return _distinct(found)


def _plain(text: str) -> str:
    return _VARIABLE.sub("#", " ".join(text.split()))[:_MOST_TEXT]


def _distinct(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(dict.fromkeys(faults))[:_MOST_FAULTS]
