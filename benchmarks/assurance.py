"""``python -m benchmarks.assurance``: what Update Assurance finds in a real WordPress, and what it lets pass.

Each planted failure is an update of its own, by the real program, of WordPress on MariaDB behind PHP's own server: was it
found, by which evidence, and were files and database as before afterwards? Each harmless change is one too: did it stay?
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers.folder import server_folder
from tests.servers.mariadb import MariaDB
from tests.webapps.assurance.ground import MORE, PATIENCE, Assured, assured, core
from tests.webapps.assurance.plants import FAILURES, HARMLESS
from tests.webapps.ground import PRESS, Press, folder_of_apps

_UPGRADE = (
    '$wpdb->query("ALTER TABLE wp_posts ADD COLUMN half INT"); $wpdb->query("ALTER TABLE wp_none ADD COLUMN x INT");'
)


@contextmanager
def shop() -> Iterator[Assured]:
    """WordPress with assurance on, in folders that go afterwards."""
    with server_folder() as folder:
        mariadb = MariaDB(folder)
        try:
            with server_folder() as files, folder_of_apps(mariadb) as server:
                server.config.write_text(server.config.read_text() + MORE)
                with assured(server, Press(files, mariadb)) as found:
                    yield found
        finally:
            mariadb.stop()


def update(found: Assured, *words: str | Path) -> dict[str, Any]:
    """One update, whatever comes of it."""
    document: dict[str, Any] = found.server("--json", "apps", "update", PRESS, "--url", found.url, *words).document
    return document


def failures(found: Assured, folder: Path) -> Iterator[tuple[str, str, str, bool]]:
    """For each: what it is, what became of it, by which evidence, and whether all is as before."""
    broken = core(found.press, folder / "new", upgrade=_UPGRADE)
    for name, each in [*FAILURES.items(), ("an upgrade of the database that fails", None)]:
        before = found.tree(), found.database()
        with found.patience(each.patience if each else PATIENCE):
            document = update(found, *(("--", "sh", "-ec", each.script) if each else ("--from", broken)))
        equal = (found.tree(), found.database()) == before
        sorts = dict.fromkeys(piece["kind"] for piece in document.get("evidence", ()) if piece["fails"])
        yield name, str(document.get("verdict")), ", ".join(sorts), equal
        found.reset()


def harmless(found: Assured) -> Iterator[tuple[str, str]]:
    """For each: what it is and what became of it."""
    for name, script in HARMLESS.items():
        document = update(found, "--", "sh", "-ec", script)
        yield name, str(document.get("verdict"))
        found.reset()


def main(arguments: list[str] | None = None, say: Callable[[str], None] = print) -> int:
    """Print both tables; 1 when anything is otherwise than it has to be."""
    argparse.ArgumentParser(prog="benchmarks.assurance", description=__doc__).parse_args(arguments)
    with shop() as found, tempfile.TemporaryDirectory() as folder:
        say("| planted | verdict | found by | as before |\n|---|---|---|---|")
        good = bad = 0
        for name, verdict, sorts, equal in failures(found, Path(folder)):
            right = verdict == "rolled back" and equal
            good, bad = good + right, bad + (not right)
            say(f"| {name} | {verdict} | {sorts} | {'yes' if equal else 'no'} |")
        planted = good + bad
        say(f"\n{good} of {planted} planted failures found and rolled back to equal files and an equal database.")
        say("\n| harmless | verdict |\n|---|---|")
        kept = lost = 0
        for name, verdict in harmless(found):
            kept, lost = kept + (verdict == "confirmed"), lost + (verdict != "confirmed")
            say(f"| {name} | {verdict} |")
        say(f"\n{lost} of {kept + lost} harmless changes rolled back.")
    return 1 if bad or lost else 0


if __name__ == "__main__":
    sys.exit(main())
