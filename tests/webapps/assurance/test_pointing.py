"""Settings that point to the copy: read by PHP itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from strongroom.errors import AssuranceError
from strongroom.webapps.assurance.pointing import Pointer, wordpress

POINTER = Pointer(
    url="http://127.0.0.1:8000/", database="shop_copy", user="copy", password="it's \\ a $word", host="localhost:/x"
)
CONFIG = b"""<?php
// define( 'DB_NAME', 'comment' );
define( 'DB_NAME', 'shop' );
define("DB_USER", 'shop'); define('OTHER', 1);
define( 'DB_PASSWORD', 'a);b' );
    define( 'DB_HOST', getenv('DB') );
define( 'WP_HOME', 'http://www.shop.example' );
$table_prefix = 'wp_';
"""


def test_php_reads_the_copys_settings(tmp_path: Path) -> None:
    config = tmp_path / "wp-config.php"
    config.write_bytes(wordpress(CONFIG, POINTER))
    names = ["DB_NAME", "DB_USER", "DB_PASSWORD", "DB_HOST", "WP_HOME", "WP_SITEURL", "DISABLE_WP_CRON", "OTHER"]
    code = f"require {str(config)!r}; echo json_encode(array_map('constant', {names!r}));"
    done = subprocess.run(["php", "-d", "display_errors=1", "-r", code], check=True, capture_output=True)
    address = "http://127.0.0.1:8000"
    assert json.loads(done.stdout) == [
        "shop_copy",
        "copy",
        "it's \\ a $word",
        "localhost:/x",
        address,
        address,
        True,
        1,
    ]


@pytest.mark.parametrize("config", [b"", b"define('DB_NAME', 'x');", b"<?php\nrequire '/etc/settings.php';\n"])
def test_settings_that_are_not_understood_are_refused(config: bytes) -> None:
    with pytest.raises(AssuranceError):
        wordpress(config, POINTER)
