"""An ssh server on loopback with a user of its own key, and an ``ssh`` for clients that knows it as the host ``far``."""

from __future__ import annotations

import random
import socket
import subprocess
from pathlib import Path

from strongroom.demo.process import ServerProcess

HOST = "far"
_SERVER = """ListenAddress {address}:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
Subsystem sftp internal-sftp
"""
_CLIENT = """Host {host}
HostName {address}
Port {port}
User root
IdentityFile {folder}/user
IdentitiesOnly yes
UserKnownHostsFile {folder}/known
StrictHostKeyChecking accept-new
LogLevel ERROR
"""


class SshServer:
    """Started when it is made. ``programs`` is a folder for the beginning of PATH."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        address = ".".join(["127", *(str(random.SystemRandom().randint(1, 254)) for _ in range(3))])
        with socket.socket() as taken:
            taken.bind((address, 0))
            self._at = (address, int(taken.getsockname()[1]))
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        words = {"folder": folder, "address": address, "port": self._at[1], "host": HOST}
        (folder / "sshd_config").write_text(_SERVER.format(**words))
        (folder / "ssh_config").write_text(_CLIENT.format(**words))
        self.programs = folder / "bin"
        self.programs.mkdir()
        (self.programs / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F "{folder}/ssh_config" "$@"\n')
        (self.programs / "ssh").chmod(0o755)
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it, whatever its configuration says
        command: list[str | Path] = ["/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd_config"]
        self._process = ServerProcess(command, folder / "log", self._listens)

    def _listens(self) -> bool:
        try:
            socket.create_connection(self._at, timeout=5).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End it; who is connected stays so."""
        self._process.kill()
