"""MediaWiki in an account, from Debian's packages: in English, with one skin and without extensions, on SQLite."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.webapps import packages
from tests.webapps.ground import Apps

ENCYCLOPEDIA, UID = "site4:/var/www/html", 10040
VERSION = "1.39.17"
SKIN = "MonoBook"
# Thousands of files that nobody here looks at.
_LEFT_OUT = ("extensions", "extensions-core", "config", "images", "languages", "skins", "LocalSettings.php")


def site(server: Apps, url: str) -> Path:
    """site4, with MediaWiki that knows itself at an address; returns its folder."""
    data = server.site(4, "127.0.0.1", uid=UID)
    docroot = server.docroot(4)
    docroot.parent.mkdir(parents=True)
    program(docroot)
    # What the package leaves to its administrator, and the folder that the installer makes in no folder of strangers.
    for name in ("extensions", "images", "data"):
        (docroot / name).mkdir()
    subprocess.run(["chown", "-R", f"{UID}:{UID}", "--", data / "var"], check=True)
    install = ["--dbtype=sqlite", "--dbname=wiki", f"--dbpath={docroot}/data", f"--server={url.rstrip('/')}", "--scriptpath="]
    run(docroot, "install", *install, "--pass=a long enough one", f"--skins={SKIN}", "The Encyclopedia", "Admin")
    # Debian's keeps its texts in a folder of the system.
    with (docroot / "LocalSettings.php").open("a") as settings:
        settings.write('\n$wgCacheDirectory = "$IP/cache";\n')
    return docroot


def program(folder: Path) -> None:
    """Its files as a release has them."""
    package = Path(os.fsdecode(packages.app("mediawiki"))) / "usr/share/mediawiki"

    def left_out(above: str, names: list[str]) -> list[str]:
        if Path(above) == package:
            return [name for name in names if name in _LEFT_OUT]
        return [name for name in names if name.endswith(".json") and name != "en.json"] if above.endswith("/i18n") else []

    shutil.copytree(package, folder, ignore=left_out)
    shutil.copytree(package / "skins" / SKIN, folder / "skins" / SKIN, ignore=left_out)
    shutil.copytree(package / "languages/data", folder / "languages/data")
    for path in ("i18n/en.json", "i18n/exif/en.json", "messages/MessagesEn.php"):
        (folder / "languages" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(package / "languages" / path, folder / "languages" / path)
    (folder / "cache").mkdir()


def run(docroot: Path, script: str, *arguments: str, given: str = "") -> str:
    """Run one of its maintenance scripts as its owner."""
    done = subprocess.run(
        ["php", f"maintenance/{script}.php", *arguments], cwd=docroot, input=given, capture_output=True, text=True,
        user=UID, group=UID, extra_groups=[], env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout
