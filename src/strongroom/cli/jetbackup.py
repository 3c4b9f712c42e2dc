"""``jetbackup``: the panel's side of JetBackup 5, and how it is put in place."""

from __future__ import annotations

import sys

import click

from strongroom.cli.invocation import Invocation
from strongroom.cli.options import Group
from strongroom.errors import UsageError

# More than any question; users with many grants make the longest.
_MOST_BYTES = 64 << 20


@click.group(cls=Group)
def jetbackup() -> None:
    """Be the panel that JetBackup 5 asks for accounts."""


@jetbackup.command()
@click.pass_obj
def answer(invocation: Invocation) -> None:
    """Answer one question of JetBackup's classes.

    The question is a JSON document on standard input, and so is the answer on standard output. For the classes that
    `jetbackup install` puts in place, not for people.
    """
    from strongroom.jetbackup.answers import Answers

    document = sys.stdin.buffer.read(_MOST_BYTES + 1)
    if len(document) > _MOST_BYTES:
        raise UsageError("the question on standard input is too long")
    # Whoever asks reads JSON, whatever was said of it.
    invocation.json = True
    answers = Answers(invocation.config, invocation.layout, lambda: invocation.servers)
    invocation.answer({"answer": answers.answer(document)})


@jetbackup.command()
@click.option("--root", metavar="DIR", default="/", help="Where JetBackup's folders are (another one for a test).")
@click.pass_obj
def install(invocation: Invocation, root: str) -> None:
    """Put the classes where JetBackup looks for them, for root alone.

    What is there already of these files is replaced. JetBackup must be stopped, or told to reload, by you.
    """
    import os

    from strongroom.jetbackup.installing import install as put
    from strongroom.model import text

    folder, written = put(os.path.abspath(os.fsencode(root)), invocation.config.path)
    document = {"folder": text(folder), "files": written}
    invocation.answer(document, [f"{text(folder)}: {len(written)} files, for root alone"], summary=True)
