"""A worker process: takes tasks, walks them, and ends with the coordinating process."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

from strongroom.vault.errors import SourceError, VaultError
from strongroom.vault.feed import Carried
from strongroom.vault.messages import Base, Draw, Failed, Finish, Ready, Work
from strongroom.vault.tools import Tools
from strongroom.vault.walk import Series, Walker, raise_descriptor_limit


def work(tools: Tools, series: Sequence[Series]) -> None:
    """Work until there is none. Never raises: the other side of the pipe is told, or is gone."""
    # The terminal's interrupt goes to the coordinating process, which ends the run in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    depth = raise_descriptor_limit()
    walker: Walker | None = None
    at: tuple[int, Base | None] | None = None
    with suppress(EOFError, OSError):
        while True:
            tools.send(Ready())
            message = tools.receive()
            if isinstance(message, Finish):
                tools.finish()
                return
            assert isinstance(message, Work | Draw)  # noqa: S101 - a ready worker gets work or the end
            try:
                if isinstance(message, Draw):
                    _draw(series[message.series], message, tools)
                    tools.done(message.task)
                    continue
                if walker is None or at != (message.series, message.base):
                    walker, at = Walker(series[message.series], message, tools, depth), (message.series, message.base)
                walker.run(message)
                tools.done(message.task)
            except SourceError as error:
                tools.send(Failed(message.task, str(error)))
            except VaultError as error:
                tools.send(Failed(None, str(error)))


def _draw(series: Series, draw: Draw, tools: Tools) -> None:
    # Late: most runs have no feed.
    if isinstance(series.feed, Carried):
        from strongroom.vault.carrying import Carrying

        Carrying(series.feed, series, draw, tools).run()
    elif series.feed is not None:
        from strongroom.vault.drawing import Drawing

        Drawing(series.feed, series, draw, tools).run()


def start(tools: Tools, series: Sequence[Series], close: Sequence[int], abandon: Callable[[], None]) -> int:
    """Fork a worker; returns its process id in the parent.

    ``close``: descriptors that are the parent's alone; ``abandon`` lets go of the parent's session.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        # What came from the parent is no garbage, and to look through it would copy its pages; a folder's stats are none either.
        gc.freeze()
        gc.set_threshold(50_000)
        for fd in close:
            os.close(fd)
        abandon()
        work(tools, series)
    except Exception as error:  # a fault of ours: said where the user reads it, as the failure of the run
        with suppress(OSError):
            tools.send(Failed(None, f"a worker failed, which is a fault in strongroom: {error!r}"))
    finally:
        tools.release()
        os._exit(0)  # nothing of the parent's clean-up may run here
