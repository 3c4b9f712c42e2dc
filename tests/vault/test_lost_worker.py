"""A worker that is killed after it asked for more work, while what it found is still being written."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

from strongroom.vault.folder import FolderStorage
from strongroom.vault.run import Run
from strongroom.vault.series import Outcome, SeriesFailure
from strongroom.vault.storage import Spool
from strongroom.vault.vault import Vault
from tests.vault.ground import PASSPHRASE, quick_vault, request

# Nothing here takes longer than this (seconds) unless it hangs.
PATIENCE = 300


class SlowStorage(FolderStorage):
    """In the first process but our own that makes a spool, writing never comes to an end."""

    def __init__(self, root: str, taken: Path) -> None:
        super().__init__(root)
        self._taken, self._own = taken, os.getpid()

    def spool(self, path: str | None = None) -> Spool:
        if os.getpid() != self._own:
            with contextlib.suppress(FileExistsError):
                os.symlink(str(os.getpid()), self._taken)  # of two at once, one is first
                time.sleep(PATIENCE * 2)
        return super().spool(path)


def test_what_a_killed_worker_had_not_reported_done_fails_and_the_run_goes_on(tmp_path: Path) -> None:
    accounts = [tmp_path / name for name in ("alpha", "beta")]
    for account in accounts:
        account.mkdir()
        (account / "file").write_bytes(os.urandom(1000))
    storage = SlowStorage(str(tmp_path / "vault"), tmp_path / "taken")
    quick_vault(storage)
    vault = Vault(storage, str(tmp_path / "state"), PASSPHRASE)
    requests = [request(account) for account in accounts]
    run = Run(storage, vault.state, vault.unlock, requests, describe=lambda _: b"", progress=lambda _: None, workers=2)

    def slow() -> int:
        try:
            return int(os.readlink(tmp_path / "taken"))
        except FileNotFoundError:
            return 0

    def kill() -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for worker in list(run._crew.workers):
                # The other one, too, is idle with a task for a moment, until its task is reported done.
                if worker.idle and worker.tasks and worker.pid == slow():
                    os.kill(worker.pid, signal.SIGKILL)
                    return
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    ended: list[Outcome | SeriesFailure] = []
    watch = threading.Timer(PATIENCE, run.close)  # a run that waits for ever fails here instead
    watch.start()
    try:
        ended = list(run.outcomes())
    finally:
        watch.cancel()
        killer.join()
    failed = [outcome.message for outcome in ended if isinstance(outcome, SeriesFailure)]
    # It may have been given both accounts before the other worker was awake.
    assert set(failed) == {"the worker that walked it was killed; run the backup of this account again"}
    assert len(ended) == len(accounts)
