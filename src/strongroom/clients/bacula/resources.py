"""The resources of the director that are ours, as text: one file set, what all jobs share, and a job for each account."""

from __future__ import annotations

import re

from strongroom.config import Bacula
from strongroom.model import Frozen

# A unique name is a job's with 24 characters more, and no name may have more than 127.
_LONGEST = 100

# Each name of an inode is stored with its content: of names that share one, a virtual full job (9.6.7) loses which they are, and
# then the content of all but one. The sidecar knows them.
_SHARED = """# Written by Strongroom for [clients.{table}] of {client}: what is changed here is lost. There is no secret in it.
Messages {{
  Name = "{prefix}"
  Catalog = all, !skipped, !saved, !restored
}}
FileSet {{
  Name = "{prefix}"
  Ignore FileSet Changes = yes
  Include {{
    Options {{
      Signature = SHA1
      AclSupport = yes
      XattrSupport = yes
      HardLinks = no
      Sparse = yes
      NoAtime = yes
      OneFS = no
      Accurate = mcs
    }}
    File = "{shown}"
  }}
}}
JobDefs {{
  Name = "{prefix}"
  Type = Backup
  Level = Incremental
  Accurate = yes
  Allow Duplicate Jobs = no
  Client = "{client}"
  FileSet = "{prefix}"
  Storage = "{storage}"
  Pool = "{pool}"
  Messages = "{prefix}"
}}
Job {{
  Name = "{restore}"
  Type = Restore
  Client = "{client}"
  FileSet = "{prefix}"
  Storage = "{storage}"
  Pool = "{pool}"
  Messages = "{prefix}"
  Where = "/nowhere"
}}
"""
# One job for each volume, so that what is purged is freed; what goes is Strongroom's to say, and no retention's.
_POOL = """Pool {{
  Name = "{pool}"
  Pool Type = Backup
  Storage = "{storage}"
  Label Format = "{pool}-"
  Maximum Volume Jobs = 1
  Recycle = yes
  AutoPrune = no
  Volume Retention = 100 years
  Job Retention = 100 years
  File Retention = 100 years
  Action On Purge = Truncate
}}
"""
_JOB = re.compile(r'^Job \{ Name = "([^"]+)"; JobDefs = ', re.MULTILINE)


class Names(Frozen):
    """What the resources of one client's table are called."""

    table: str
    client: str

    @property
    def prefix(self) -> str:
        """What file set, messages and defaults are called, and what our jobs' names begin with."""
        return f"strongroom-{self.client}-{self.table}"

    @property
    def tails(self) -> str:
        """The job of all second parts."""
        return f"{self.prefix}-tails"

    @property
    def restore(self) -> str:
        """The job that brings back."""
        return f"{self.prefix}-restore"

    def job(self, series: str) -> str:
        """The job of one account's sets; a series is of one server alone."""
        return f"strongroom-{self.table}-{series}"[-_LONGEST:]


def shared(settings: Bacula, names: Names, shown: str) -> str:
    """What every job of one table needs; ``shown`` is the folder that the file daemon is shown the accounts in."""
    return _SHARED.format(
        table=names.table,
        client=settings.client,
        prefix=names.prefix,
        restore=names.restore,
        storage=settings.storage,
        pool=settings.pool,
        shown=shown,
    )


def pool(name: str, storage: str) -> str:
    """A pool such as Strongroom needs; a virtual full job asks the one that it writes to for its storage."""
    return _POOL.format(pool=name, storage=storage)


def job(name: str, names: Names) -> str:
    """A job, on one line."""
    return f'Job {{ Name = "{name}"; JobDefs = "{names.prefix}" }}\n'


def jobs_in(written: str) -> set[str]:
    """The names of the jobs that a file of ours has."""
    return set(_JOB.findall(written))
