"""An update that fills the disk is rolled back all the same."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.webapps.assurance.ground import MORE, Assured, assured
from tests.webapps.ground import Press, folder_of_apps

# WordPress, its snapshots, and some room.
_MEBIBYTES = 200


@pytest.fixture
def shop(press: Press) -> Iterator[Assured]:
    """A WordPress whose account has a file system of its own."""
    with folder_of_apps(press.mariadb) as server:
        server.config.write_text(server.config.read_text() + MORE)
        account = server.data(1).parent
        account.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_MEBIBYTES}m,mode=755", "none", str(account)]
        if (done := subprocess.run(mount, capture_output=True, text=True)).returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        try:
            with assured(server, press) as found:
                yield found
        finally:
            subprocess.run(["umount", "--lazy", account], check=True)
            press.remove()


def test_a_disk_that_an_update_filled(shop: Assured) -> None:
    tree, database = shop.tree(), shop.database()
    script = "echo broken > index.php; rm -r wp-admin; mkdir new; cat /dev/zero > new/fill"
    document = shop.by(script, status=1)
    assert document["verdict"] == "rolled back"
    assert "No space left on device" in document["evidence"][0]["text"]
    assert shop.tree() == tree
    assert shop.database() == database
    shop.reset()
    assert shop.update("--", "true", status=0)["verdict"] == "confirmed"
