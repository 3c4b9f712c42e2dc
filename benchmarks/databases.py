"""What an export costs beside the server's own dump: ``python -m benchmarks.databases [MEBIBYTES]``.

Both sides write one file compressed by ``zstd -3``; ours goes through the export's files, as a run reads them. The two take
turns, and the best of each counts: what else the machine does can only add.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from strongroom.exports.base import DatabaseServer
from strongroom.exports.mysql import MysqlServer
from strongroom.exports.postgresql import PostgresqlServer
from strongroom.model import Status
from tests.servers.folder import server_folder
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import USER, PostgreSQL, programs

BUDGET = 1.1
ROUNDS = 5
PIPE = 1 << 20
# What a row of the tables below is in a dump, about.
ROW = 200


def exported(server: DatabaseServer, target: Path) -> float:
    """Seconds for one export into a file."""
    started = time.perf_counter()
    with target.open("wb") as output:
        zstd = subprocess.Popen(["zstd", "-3", "-q"], stdin=subprocess.PIPE, stdout=output)
        assert zstd.stdin
        # Room for what is on its way, as between the programs of a run.
        fcntl.fcntl(zstd.stdin.fileno(), fcntl.F_SETPIPE_SZ, PIPE)
        with server.export("bench", None) as export:
            for file in export.files():
                for piece in file.pieces:
                    zstd.stdin.write(piece)
            copy, _ = export.result()
        zstd.stdin.close()
        status = zstd.wait()
    taken = time.perf_counter() - started
    assert (status, copy.status) == (0, Status.COMPLETE)
    return taken


def dumped(command: list[str], target: Path, user: str | None = None) -> float:
    """Seconds for the server's own program into a file."""
    started = time.perf_counter()
    with target.open("wb") as output:
        dump = subprocess.Popen(command, stdout=subprocess.PIPE, user=user, cwd="/")
        zstd = subprocess.Popen(["zstd", "-3", "-q"], stdin=dump.stdout, stdout=output)
        assert dump.stdout
        fcntl.fcntl(dump.stdout.fileno(), fcntl.F_SETPIPE_SZ, PIPE)
        dump.stdout.close()
        assert (dump.wait(), zstd.wait()) == (0, 0)
    return time.perf_counter() - started


def contest(name: str, server: int, ours: Callable[[], float], theirs: Callable[[], float]) -> None:
    """Take turns and print the best of each, in seconds of the clock and of all processors, the server's included."""
    walls: list[tuple[float, float]] = []
    processors: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        started = processor(server)
        their = theirs()
        between = processor(server)
        our = ours()
        walls.append((their, our))
        processors.append((between - started, processor(server) - between))
    for what, times in (("clock", walls), ("processors", processors)):
        their, our = (min(side) for side in zip(*times, strict=True))
        print(f"{name:<24} {what:<10} {their:7.2f} s {our:7.2f} s {our / their:6.2f}", flush=True)


def processor(server: int) -> float:
    """Seconds of processors that we, our ended children, and a server with its ended children have had."""
    fields = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
    mine = os.times()
    ticks = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return mine.user + mine.system + mine.children_user + mine.children_system + ticks


def mysql(folder: Path, rows: int) -> None:
    """A MariaDB database of so many rows."""
    server = MariaDB(folder)
    try:
        server.run("CREATE DATABASE bench")
        server.run(
            "CREATE TABLE t (id INT PRIMARY KEY, a CHAR(32), b VARCHAR(99), c INT, d DATETIME)",
            "INSERT INTO t SELECT seq, MD5(seq), CONCAT(SHA1(seq), 'it''s', SHA1(seq + 1)), seq, NOW() "
            f"FROM seq_1_to_{rows}",
            database="bench",
        )
        command = ["mariadb-dump", "--no-defaults", f"--socket={server.socket}", "--single-transaction", "bench"]
        target = folder / "out"
        contest(
            "mariadb-dump | zstd -3",
            server.process.pid,
            lambda: exported(MysqlServer(server.settings), target),
            lambda: dumped(command, target),
        )
    finally:
        server.stop()


def postgresql(folder: Path, rows: int) -> None:
    """A PostgreSQL database of so many rows."""
    server = PostgreSQL(folder)
    try:
        server.run("CREATE DATABASE bench")
        server.run(
            "CREATE TABLE t AS SELECT i AS id, md5(i::text) AS a, "
            "md5(i::text) || 'it''s' || repeat(md5((-i)::text), 2) AS b, now() AS d "
            f"FROM generate_series(1, {rows}) i",
            database="bench",
        )
        command = [str(programs() / "pg_dump"), "-h", str(server.sockets), "bench"]
        target = folder / "out"
        contest(
            "pg_dump | zstd -3",
            server.process.pid,
            lambda: exported(PostgresqlServer(server.settings), target),
            lambda: dumped(command, target, USER),
        )
    finally:
        server.stop()


def main() -> None:
    """Both servers, one after the other."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    print(f"{size} MiB, {os.cpu_count()} cores, best of {ROUNDS}; budget: {BUDGET} of the clock")
    print(f"{'':<35} {'theirs':>9} {'ours':>9} {'ratio':>6}", flush=True)
    for work in (mysql, postgresql):
        with server_folder() as folder:
            work(folder, (size << 20) // ROW)


if __name__ == "__main__":
    main()
