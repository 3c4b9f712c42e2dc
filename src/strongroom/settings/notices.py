"""Notices by mail, through the ``sendmail`` that this machine has, if it has one."""

from __future__ import annotations

import os
import shutil
import subprocess
from email.message import EmailMessage

from strongroom.errors import SettingError

_PLACES = "/usr/sbin:/usr/lib:/sbin:/usr/local/sbin"
_PATIENCE = 60.0


def find_mail() -> Mail | None:
    """The way of mail out of this machine: ``sendmail`` on the path, or where cron's short path does not look."""
    program = shutil.which("sendmail", path=f"{os.environ.get('PATH', '')}:{_PLACES}")
    return Mail(program) if program else None


class Mail:
    """Mail through one program that takes what ``sendmail`` takes."""

    def __init__(self, program: str) -> None:
        self._program = program

    def send(self, to: str, subject: str, body: str) -> None:
        """Hand one message over; ``to`` is an address that was checked. Raise SettingError when it is not taken."""
        message = EmailMessage()
        message["To"] = to
        message["Subject"] = "".join(one if one.isprintable() else "?" for one in subject)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(body)
        try:
            done = subprocess.run(
                [self._program, "-oi", to],
                input=message.as_bytes(),
                capture_output=True,
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SettingError(f"notice to {to}: {self._program}: {error}") from None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise SettingError(f"notice to {to}: {self._program} refused it: {(said or ['no reason given'])[0]}")
