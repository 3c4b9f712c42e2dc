"""Entry points: the words of a command line in, an exit status out, each error as one line or one JSON document."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

import click

from strongroom.cli import (
    accounts,
    apps,
    backup,
    care,
    clients,
    contents,
    copy,
    databases,
    demo,
    download,
    init,
    jetbackup,
    later,
    output,
    points,
    restore,
    scope,
    timers,
)
from strongroom.cli.invocation import Clients, Invocation, Servers
from strongroom.cli.options import Program
from strongroom.errors import StrongroomError, UsageError, of_system

INTERRUPTED = 130


@click.group(cls=Program, invoke_without_command=True)
@click.pass_context
def program(context: click.Context) -> None:
    """Back up a server that hosts many accounts, and prove it."""
    if context.invoked_subcommand is None:
        raise UsageError("no command given; 'strongroom --help' lists them")


# In the order of the interface's table; those that are not built yet stand where they belong.
for _command in (
    init.init,
    accounts.accounts,
    backup.backup,
    points.points,
    points.show,
    contents.ls,
    contents.history,
    contents.find,
    contents.diff,
    restore.restore,
    restore.plan,
    download.download,
    care.check,
    care.forget,
    care.prune,
    care.status,
    databases.databases,
    scope.scope,
    apps.apps,
    clients.clients,
    jetbackup.jetbackup,
    timers.timers,
    timers.nightly,
    copy.copy,
    demo.demo,
    *later.commands(),
):
    program.add_command(_command)


def main(arguments: Sequence[str] | None = None, clients: Clients | None = None, servers: Servers | None = None) -> int:
    """Run one command and return its exit status; nothing but that escapes.

    ``clients`` and ``servers`` are where clients and database servers come from, for tests; None: the configuration's own.
    """
    return _program(program, arguments, Invocation(clients, servers))


def backup_dbs(arguments: Sequence[str] | None = None, servers: Servers | None = None) -> int:
    """The panel's program for the owners' dumps: ``strongroom databases dump`` under the name that is known."""
    return _program(databases.dump, arguments, Invocation(servers=servers, name="backup_dbs"))


def cpcmd() -> int:
    """The panel's command line for scopes."""
    from strongroom.cli import cpcmd as commands

    invocation = Invocation(name="cpcmd")
    return _guarded(invocation, lambda: commands.run(invocation, sys.argv[1:]))


def _program(command: click.Command, arguments: Sequence[str] | None, invocation: Invocation) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Known before the parser is, so that its errors come in the form that was asked for.
    options = given[: given.index("--")] if "--" in given else given
    invocation.json = "--json" in options
    return _guarded(invocation, lambda: _invoke(command, given, invocation))


def _invoke(command: click.Command, arguments: list[str], invocation: Invocation) -> int:
    # Not command.main: it turns a broken pipe into a status of its own.
    with command.make_context(invocation.name, arguments, obj=invocation) as context:
        status = command.invoke(context)
    return status if isinstance(status, int) else 0


def _guarded(invocation: Invocation, work: Callable[[], int]) -> int:
    """Do the work of one program: its exit status, or one line and a status for whatever goes wrong."""
    _make_output_safe()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        status = _run(invocation, work)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _give_up_output()  # whoever read it has seen enough
        return 0
    except OSError as error:
        _give_up_output()
        sys.stderr.write(f"{invocation.name}: standard output cannot be written: {error.strerror}\n")
        return 2


def _terminated(number: int, frame: FrameType | None) -> None:
    """A service that is stopped ends as tidily as one that is interrupted, with the status a shell would give it."""
    raise SystemExit(128 + number)


def _give_up_output() -> None:
    """Let what is left of the output go nowhere: Python must not try to write it again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(invocation: Invocation, work: Callable[[], int]) -> int:
    try:
        try:
            return work()
        finally:
            invocation.close()
    except StrongroomError as error:
        return _fail(invocation, error.code, str(error), error.exit_status)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.ClickException as error:
        return _fail(invocation, UsageError.code, _usage(error), UsageError.exit_status)
    except (KeyboardInterrupt, click.Abort):
        return _fail(invocation, "interrupted", "interrupted; what was finished stays", INTERRUPTED)
    except SystemExit as ending:
        return _fail(invocation, "interrupted", "stopped; what was finished stays", int(ending.code or 0))
    except (BrokenPipeError, output.OutputError):
        raise
    except OSError as error:
        return _fail(invocation, "system", of_system(error), 2)
    except Exception as error:
        if invocation.verbose:
            import traceback

            traceback.print_exc()
        kind = type(error).__name__
        return _fail(invocation, "bug", f"a bug in Strongroom: {kind}: {error}; run it with -v for the details", 2)


def _fail(invocation: Invocation, code: str, message: str, status: int) -> int:
    line = " ".join(message.split("\n"))
    if invocation.json:
        output.write_json({"error": {"code": code, "message": line}})
    else:
        sys.stderr.write(f"{invocation.name}: {output.harmless(line)}\n")
    return status


def _usage(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    where = context.command_path if context else "strongroom"
    return f"{' '.join(error.format_message().split()).rstrip('.')}; see: {where} --help"


def _make_output_safe() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Started with a closed stream: the next file that is opened must not become standard output.
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for as long as the program runs
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - for as long as the program runs
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 - for as long as the program runs
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
