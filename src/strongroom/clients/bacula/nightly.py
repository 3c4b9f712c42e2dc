"""Configuration for a director that keeps the calendar itself: one job for a whole server, as the panel's add-in has it.

Pools of their own ages, a schedule, a file set that asks the server each time which accounts there are, and the exports of all
databases before the job, so that they are in step. Such jobs are no sets of ours: they are adopted as points.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from strongroom.config import Bacula
from strongroom.config.values import Days
from strongroom.model import Frozen

_ORDINALS = {1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 5: "5th", -1: "last"}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_AT = {"Full": "00:00", "Differential": "05:45", "Incremental": "05:45"}

_NIGHTLY = """# Written by `strongroom clients --configure {table}`, which writes it anew when it is asked to again.
{pools}
Schedule {{
  Name = "{name}"
{runs}
}}
FileSet {{
  Name = "{name}"
  Ignore FileSet Changes = yes
  Include {{
{excluded}    Options {{
      Signature = SHA1
      Compression = GZIP
      AclSupport = yes
      XattrSupport = yes
      Sparse = yes
      NoAtime = yes
      OneFS = yes
    }}
    File = "\\\\|sh -c 'ls -d {places} 2>/dev/null; true'"
  }}
}}
Job {{
  Name = "{name}"
  Type = Backup
  Level = Incremental
  Accurate = yes
  Allow Duplicate Jobs = no
  Max Full Interval = 2 months
  Client = "{client}"
  FileSet = "{name}"
  Schedule = "{name}"
  Storage = "{storage}"
  Pool = "{name}-full"
  Full Backup Pool = "{name}-full"
  Differential Backup Pool = "{name}-differential"
  Incremental Backup Pool = "{name}-incremental"
  Messages = "{messages}"
  RunScript {{
    RunsWhen = Before
    RunsOnClient = yes
    FailJobOnError = no
    Command = "{command}"
  }}
}}
"""
_POOL = """Pool {{
  Name = "{name}-{kind}"
  Pool Type = Backup
  Label Format = "{name}-{kind}-"
  Maximum Volume Jobs = 1
  Volume Use Duration = {use}
  Volume Retention = {age}
  Recycle = yes
  AutoPrune = yes
  Action On Purge = Truncate
}}"""
_POOLS = (("full", "1 month", "2 months"), ("differential", "1 week", "20 days"), ("incremental", "3 days", "10 days"))
_HOSTS = """# Written by `strongroom clients --configure {table}`. It holds the passwords of daemons.
"""
_CLIENT = """Client {{
  Name = "{client}"
  Address = {address}
  FDPort = {port}
  Password = "{password}"
  Catalog = "{catalog}"
  AutoPrune = no
  File Retention = 100 years
  Job Retention = 100 years
}}
"""


class Whole(Frozen):
    """What a job for a whole server takes: shell patterns of paths, regular expressions of what is left out, and the command
    that exports all databases."""

    places: tuple[str, ...]
    excluded: tuple[str, ...]
    export: tuple[str, ...]


def name_of(settings: Bacula) -> str:
    """What the job, its schedule and its file set are called."""
    return f"nightly-{settings.client}"


def nightly(settings: Bacula, table: str, messages: str, whole: Whole, full: Days, differential: Days) -> str:
    """The text; ``messages`` names the resource that tells of its jobs."""
    name = name_of(settings)
    return _NIGHTLY.format(
        table=table,
        name=name,
        client=settings.client,
        storage=settings.storage,
        messages=messages,
        pools="\n".join(_POOL.format(name=name, kind=kind, use=use, age=age) for kind, use, age in _POOLS),
        runs="\n".join(f"  Run = Level={level} {when} at {_AT[level]}" for level, when in runs(full, differential)),
        excluded="".join(_excluded(whole.excluded)),
        places=" ".join(map(_pattern, whole.places)),
        command=_quoted(shlex.join(whole.export)),
    )


def _excluded(patterns: Sequence[str]) -> list[str]:
    """A block of its own before the one that takes things: the first that fits counts."""
    if not patterns:
        return []
    lines = "".join(f'      RegexDir = "{_quoted(pattern)}"\n' for pattern in patterns)
    return [f"    Options {{\n{lines}      Exclude = yes\n    }}\n"]


def runs(full: Days, differential: Days) -> list[tuple[str, str]]:
    """When each level runs, in the words of a schedule; a day is of one level, and each day has one."""
    found = []
    if full.phrase != "never":
        found.append(("Full", _words(full)))
    if differential.phrase != "never" and full.phrase != "daily":
        found.append(("Differential", _without(differential, full)))
    taken = {day.weekday for day in (full, differential) if day.weekday is not None}
    if "daily" not in (full.phrase, differential.phrase):
        rest = [day for number, day in enumerate(_DAYS) if number not in taken]
        found.append(("Incremental", ",".join(rest)))
        found += [("Incremental", _left(number, full, differential)) for number in sorted(taken)]
    return [(level, when) for level, when in found if when]


def _words(days: Days) -> str:
    if days.weekday is None:
        return "mon-sun"
    return f"{_ORDINALS[days.nth]} {_DAYS[days.weekday]}" if days.nth else _DAYS[days.weekday]


def _without(days: Days, taken: Days) -> str:
    """The days that are not another's."""
    if days.weekday is None or taken.weekday != days.weekday or days.nth is not None:
        return _words(days)
    left = [_ORDINALS[nth] for nth in range(1, 6) if nth != taken.nth] if taken.nth else []
    return f"{','.join(left)} {_DAYS[days.weekday]}" if left else ""


def _left(weekday: int, full: Days, differential: Days) -> str:
    """On which of a month's such weekdays neither of the others runs."""
    mine = [days for days in (full, differential) if days.weekday == weekday]
    if any(days.nth is None for days in mine):
        return ""
    left = [_ORDINALS[nth] for nth in range(1, 6) if nth not in {days.nth for days in mine}]
    return f"{','.join(left)} {_DAYS[weekday]}"


def hosts(settings: Bacula, table: str, password: str, catalog: str) -> str:
    """The client's resource of the director."""
    return _HOSTS.format(table=table) + _CLIENT.format(
        client=settings.client,
        address=settings.address,
        port=settings.port,
        password=_quoted(password),
        catalog=catalog,
    )


def _pattern(place: str) -> str:
    """A pattern as the shell takes it, inside the quotes of Bacula's own: nothing but its wildcards means anything."""
    return re.sub(r"([^A-Za-z0-9/_.,:@%+=*?\[\]-])", r"\\\\\1", place)


def _quoted(value: str) -> str:
    """A value inside Bacula's quotes."""
    return value.replace("\\", "\\\\").replace('"', '\\"')
