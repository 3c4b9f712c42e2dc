"""An app served by PHP's own server, for nobody but us: on the loopback interface, as the app's owner, for a while."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.errors import AssuranceError
from strongroom.webapps.assurance.acting import acting
from strongroom.webapps.assurance.ground import Ground

_WORKERS = 3
_START_SECONDS = 60.0
# No mail to customers from a copy, and no old files from a cache.
_SETTINGS = ("sendmail_path=/bin/false", "display_errors=1", "log_errors=1", "allow_url_fopen=0", "opcache.enable=0")


def free_port() -> int:
    """A port of the loopback interface that is free now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def served(ground: Ground, port: int) -> Iterator[None]:
    """Serve what of an app's folder is served, on a port; raise AssuranceError where that does not come about."""
    if shutil.which("php") is None:
        raise AssuranceError("a rehearsal needs PHP's own server, and php is not on this machine; install php-cli")
    settings = [word for setting in _SETTINGS for word in ("-d", setting)]
    below = os.path.relpath(ground.app.document_root, ground.app.path)
    command = ["php", *settings, "-S", f"127.0.0.1:{port}", "-t", os.fsdecode(below)]
    with tempfile.TemporaryFile() as log:
        with acting(ground.owner, ground.folder, command, log.fileno(), {"PHP_CLI_SERVER_WORKERS": str(_WORKERS)}):
            _wait(port, log.fileno())
            yield


def _wait(port: int, log: int) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        with socket.socket() as asking:
            if asking.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    said = os.pread(log, 2000, 0).decode("utf-8", "replace").strip().splitlines()
    raise AssuranceError(f"PHP's server did not start: {said[-1] if said else 'it did not say why'}")
