"""Pages as a browser sees them, where Chromium is installed: a picture, and the errors of their scripts.

Chromium is driven through two pipes, so that no port is open which others on this machine could come to; it keeps its own
sandbox, and runs as whoever runs this: the app's owner.
"""

from __future__ import annotations

import base64
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from strongroom.model import Frozen

NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    *("--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-gpu"),
    *(
        "--disable-extensions",
        "--disable-background-networking",
        "--disable-sync",
        "--disable-breakpad",
        "--mute-audio",
    ),
    *("--hide-scrollbars", "--window-size=1200,900", "--disable-dev-shm-usage", "--password-store=basic"),
    *("--disable-component-update", "--no-pings", "--disable-default-apps", "--ignore-certificate-errors"),
)
_START_SECONDS = 60.0
# What a page still does after it was loaded.
_SETTLE_SECONDS = 0.5
_MOST_ERRORS = 20
_MOST_MESSAGE = 32 << 20
_VARIABLE = re.compile(r"\d+")


class BrowserError(Exception):
    """The browser cannot be used; the message says why."""


class View(Frozen):
    """What a browser saw of a page: a JPEG in base64, and what its scripts failed with."""

    picture: str
    errors: tuple[str, ...]


def found() -> str:
    """The path of an installed browser, empty where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), "")


def views(program: str, addresses: Sequence[str], seconds: float) -> dict[str, View]:
    """Open each address in turn, for so long at most. Raise BrowserError when the browser does not work."""
    with tempfile.TemporaryDirectory(prefix="strongroom-browser-", ignore_cleanup_errors=True) as folder:
        with _Browser(program, folder) as browser:
            return {address: browser.view(address, seconds) for address in addresses}


class _Browser:
    """A running browser, and the messages that go to and fro."""

    def __init__(self, program: str, folder: str) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        self._number = 0
        self._rest = b""
        self._log = open(os.path.join(folder, "log"), "wb+")  # noqa: SIM115  (closed with the browser)
        try:
            self._process = subprocess.Popen(
                # The browser takes its pipes as descriptors 3 and 4, which may be taken here.
                ["/bin/sh", "-c", f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}', program, *_OPTIONS]
                + [f"--user-data-dir={folder}/profile", "about:blank"],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(theirs_in, theirs_out),
                env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )
        except OSError as error:
            raise BrowserError(f"{program}: {error.strerror}") from None
        finally:
            os.close(theirs_in)
            os.close(theirs_out)

    def __enter__(self) -> _Browser:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._out)
        os.close(self._in)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def view(self, address: str, seconds: float) -> View:
        """Open one address in a tab of its own."""
        target = self._ask("Target.createTarget", {"url": "about:blank"}, _START_SECONDS)["targetId"]
        session = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True}, seconds)["sessionId"]
        errors: list[str] = []
        loaded = False

        def hear(message: dict[str, Any]) -> None:
            nonlocal loaded
            loaded = loaded or message.get("method") == "Page.loadEventFired"
            if message.get("method") == "Runtime.exceptionThrown" and len(errors) < _MOST_ERRORS:
                errors.append(_said(message["params"]["exceptionDetails"]))

        for method in ("Page.enable", "Runtime.enable"):
            self._ask(method, {}, seconds, session, hear)
        with suppress(TimeoutError):
            self._ask("Page.navigate", {"url": address}, seconds, session, hear)
            self._listen(seconds, hear, lambda: loaded)
            self._listen(_SETTLE_SECONDS, hear, lambda: False)
        shot = {"format": "jpeg", "quality": 60}
        picture = self._ask("Page.captureScreenshot", shot, seconds, session, hear).get("data", "")
        self._ask("Target.closeTarget", {"targetId": target}, seconds)
        return View(picture=picture if _is_jpeg(picture) else "", errors=tuple(dict.fromkeys(errors)))

    def _ask(
        self,
        method: str,
        parameters: dict[str, Any],
        seconds: float,
        session: str | None = None,
        hear: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        """Send one message and wait for its answer; what comes meanwhile is heard."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters} | (
            {"sessionId": session} if session else {}
        )
        try:
            os.write(self._out, json.dumps(message).encode() + b"\0")
        except OSError:
            raise self._ended() from None
        until = time.monotonic() + seconds
        while (came := self._next(until - time.monotonic())) is not None:
            if came.get("id") == self._number:
                if "error" in came:
                    raise BrowserError(f"{method}: {came['error'].get('message', 'refused')}")
                return dict(came.get("result", {}))
            if hear:
                hear(came)
        raise BrowserError(f"it did not answer within {seconds:g} seconds")

    def _listen(self, seconds: float, hear: Callable[[dict[str, Any]], None], enough: Callable[[], bool]) -> None:
        until = time.monotonic() + seconds
        while not enough() and (came := self._next(until - time.monotonic())) is not None:
            hear(came)

    def _next(self, seconds: float) -> dict[str, Any] | None:
        """The next message; None when there is none for so long."""
        until = time.monotonic() + seconds
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return None
            block = os.read(self._in, 1 << 16)
            if not block or len(self._rest) > _MOST_MESSAGE:
                raise self._ended()
            self._rest += block
        message, _, self._rest = self._rest.partition(b"\0")
        came: dict[str, Any] = json.loads(message)
        return came

    def _ended(self) -> BrowserError:
        self._log.seek(0)
        said = [line for line in self._log.read(1 << 16).decode("utf-8", "replace").splitlines() if line.strip()]
        return BrowserError(f"it ended: {said[-1][:300] if said else 'it did not say why'}")


def _said(details: dict[str, Any]) -> str:
    text = details.get("exception", {}).get("description") or details.get("text") or "an error"
    return _VARIABLE.sub("#", str(text).split("\n")[0])[:300]


def _is_jpeg(picture: str) -> bool:
    try:
        return base64.b64decode(picture, validate=True).startswith(b"\xff\xd8")
    except ValueError:
        return False
