"""A stand-in for the folder of Debian's unpacked packages: WordPress's shape with its links, in a few files."""

from __future__ import annotations

from pathlib import Path


def make(folder: Path) -> bytes:
    press = folder / "usr/share/wordpress"
    (press / "wp-includes/ID3").mkdir(parents=True)
    (press / "wp-content/themes").mkdir(parents=True)
    for number in range(80):
        (press / f"wp-includes/part-{number}.php").write_text(f"<?php // part {number}\n" * 40)
    (press / "index.php").write_text("<?php require 'wp-blog-header.php';\n")
    (press / "wp-config.php").write_text("<?php // Debian's own\n")
    (press / "wp-includes/ID3/getid3.php").symlink_to("../../../php/getid3/getid3.php")
    (press / "wp-includes/ca-bundle.crt").symlink_to("/etc/ssl/certs/not-in-a-package.crt")
    (press / ".htaccess").symlink_to("/etc/wordpress/htaccess")
    (folder / "etc/wordpress").mkdir(parents=True)
    (folder / "etc/wordpress/htaccess").write_text("# empty\n")
    # One link more on the way, as /usr/share/php/getid3 may be one itself.
    (folder / "usr/share/php/getid3").mkdir(parents=True)
    (folder / "usr/share/php/getid3/getid3.php").symlink_to("real.php")
    (folder / "usr/share/php/getid3/real.php").write_text("<?php // getid3\n")
    return bytes(folder)
