"""``download``: an archive of what an account has now, or had at a point."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

import click

from strongroom.cli.invocation import Invocation
from strongroom.cli.options import command, point_options
from strongroom.cli.output import OutputError, escaped, size
from strongroom.cli.restore import asked_paths, chosen
from strongroom.counting import counted
from strongroom.errors import UnknownError, UsageError
from strongroom.paths import owners, stored

if TYPE_CHECKING:
    from strongroom.clients.base import Client
    from strongroom.restores.download import DownloadRequest, DownloadResult
    from strongroom.runs.choosing import Wanted

FORMATS = ("tar", "tar.zst", "zip")
STANDARD_OUTPUT = "-"
# What people expect of such names, and no format of ours has.
_OTHERS = (".gz", ".tgz", ".bz2", ".tbz", ".xz", ".txz", ".zst", ".tzst", ".7z", ".rar")


@command()
@click.argument("account", metavar="ACCOUNT")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("-o", "--output", metavar="FILE", required=True, help="The archive; '-' streams it to standard output.")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="Else what FILE ends in, else tar.")
@point_options
@click.pass_obj
def download(
    invocation: Invocation, account: str, paths: tuple[str, ...], output: str, kind: str | None, wanted: Wanted
) -> int:
    """Write an archive of the live data, or of a point."""
    if output == STANDARD_OUTPUT and invocation.json:
        raise UsageError("--json and '-o -' contradict each other: both want standard output")
    if output == STANDARD_OUTPUT and sys.stdout.isatty():
        raise UsageError("'-o -' would write an archive to the terminal; name a FILE, or send it on through a pipe")
    from strongroom.restores.download import download as pack

    request, client = _request(invocation, account, paths, kind or _kind(output), wanted)
    with _opened(output) as out:
        result = pack(request, client, out, invocation.teller)
    say = invocation.teller.note if result.status == "complete" else invocation.teller.error
    for remark in result.warnings:
        where = f"{escaped(owners(remark.path))}: " if remark.path else ""
        say(f"{where}{escaped(remark.message)}")
    if output != STANDARD_OUTPUT:
        line = (
            f"{escaped(output)}: {size(result.bytes)}, {counted(result.entries, 'entry', 'entries')}, {result.status}"
        )
        invocation.answer(_document(output, result), [line], summary=True)
    return 0 if result.status == "complete" else 1


def _document(output: str, result: DownloadResult) -> dict[str, object]:
    from strongroom.cli import documents

    path = os.path.abspath(output)
    more = {"status": result.status.value, "warnings": documents.remarks(result.warnings)}
    return {"path": path, "bytes": result.bytes, "entries": result.entries} | more


def _kind(output: str) -> str:
    """The format that a file's name says; raise UsageError when it says one that there is not."""
    kind = next((kind for kind in ("tar.zst", "zip") if output.endswith(f".{kind}")), "tar")
    if kind == "tar" and (other := os.path.splitext(output)[1].lower()) in _OTHERS:
        raise UsageError(
            f"there is no format for names in '{other}'; let FILE end in .tar, .tar.zst or .zip, or give --format"
        )
    return kind


def _request(
    invocation: Invocation, account: str, paths: tuple[str, ...], kind: str, wanted: Wanted
) -> tuple[DownloadRequest, Client | None]:
    """What to pack, and the client that has it (None for live data)."""
    from strongroom.restores.download import ArchiveFormat, DownloadRequest

    excludes = invocation.config.backup.exclude
    if not (wanted.point or wanted.at or wanted.complete or wanted.client):
        live = invocation.layout.account(account)
        if not live.locations:
            raise UnknownError(f"{live.name} has lost all its folders on this server; take a point: --point latest")
        inside = tuple(stored(path) for path in paths)
        return DownloadRequest(paths=inside, format=ArchiveFormat(kind), account=live, excludes=excludes), None
    subject, point = chosen(invocation, account, wanted)
    inside = asked_paths(invocation, point, paths)
    request = DownloadRequest(
        paths=inside, format=ArchiveFormat(kind), point=point, account=subject.account, excludes=excludes
    )
    return request, invocation.client(point.client)


@contextmanager
def _opened(output: str) -> Iterator[BinaryIO]:
    """The stream to write to; a file appears under its name once it is whole, readable by its owner alone."""
    if output == STANDARD_OUTPUT:
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except BrokenPipeError as error:
            # Whoever leaves a list has seen enough; half an archive is of no use to anybody.
            raise OutputError(error.errno, "closed before the archive was whole; look at what reads it") from error
        return
    try:
        with _in_place(output) if _is_device(output) else _draft(output) as file:
            yield file
    except OSError as error:
        raise OSError(error.errno, error.strerror, output) from error


def _is_device(output: str) -> bool:
    """Whether a device or a pipe stands there, which is written to and not replaced; raise UsageError for a link."""
    try:
        mode = os.lstat(output).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISLNK(mode):
        raise UsageError(f"'{output}' is a link; name the file it leads to, or '-' for standard output")
    return not stat.S_ISREG(mode)


@contextmanager
def _in_place(output: str) -> Iterator[BinaryIO]:
    with open(os.open(output, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "wb") as file:
        yield file


@contextmanager
def _draft(output: str) -> Iterator[BinaryIO]:
    draft = f"{output}.{os.getpid()}.part"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            yield file
        os.rename(draft, output)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise
