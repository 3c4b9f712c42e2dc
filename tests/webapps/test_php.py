"""Literals of PHP files, as PHP itself would have them; nothing is ever run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.webapps.php import MOST_BYTES, below, read, word

SETTINGS = rb"""<html>define('NO', 'outside');
<?php
# define('NO', 'a comment');
// define('NO', 'a comment'); ?> define('NO', 'outside'); <?php
/* define('NO', 'a comment'); */
if ( ! defined( 'A' ) ) { define( 'A', 'it\'s \\ \n' ); }
define('A', 'the second one');
\define("B", "tab\t\x41\u{e9}\101\$x\q");
define('COMPUTED', getenv('X')); define('JOINED', 'a' . 'b'); define('INSIDE', "a $b c");
define('WHOLE', 12); define('NEGATIVE', -3); define('TURNED_ON', TRUE); @define('QUIET', 'yes');
$text = <<<EOT
define('NO', 'in a text');
EOT;
$table_prefix  = 'wp_';
$databases['default']['default'] = array('database' => 'shop', 'port' => '', 'nested' => [1, 2, ['x' => null]], 'f' => f(1, [2]),
    'last' => 'one',);
$databases['default']['other'] = 'more';
class JConfig { public $db = 'joomla'; public string $user = "me"; const VERSION = '9.1'; }
$later = 'first'; $later = 'last';
"""


def test_literals_are_found_and_nothing_else() -> None:
    found = read(SETTINGS)
    assert found.constants == {
        "A": "it's \\ \\n",
        "B": "tab\tA\xe9A$x\\q",
        "WHOLE": 12,
        "NEGATIVE": -3,
        "TURNED_ON": True,
        "QUIET": "yes",
        "VERSION": "9.1",
    }
    assert found.variables["table_prefix"] == "wp_"
    assert found.variables["databases"]["default"] == {
        "default": {"database": "shop", "port": "", "nested": {"0": 1, "1": 2, "2": {"x": None}}, "last": "one"},
        "other": "more",
    }
    assert (found.variables["db"], found.variables["user"], found.variables["later"]) == ("joomla", "me", "last")
    assert below(found.variables, "databases", "default", "default", "database") == "shop"
    assert below(found.variables, "databases", "default", "other", "database") is None


def test_what_a_file_returns() -> None:
    assert read(b"<?php return ['db' => ['connection' => ['default' => ['dbname' => 'm']]]];").returned == {
        "db": {"connection": {"default": {"dbname": "m"}}}
    }
    assert read(b"<?php return call();").returned is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<?php define(",
        b"<?php $a['x",
        b"<?php $a = [" * 500,
        b"<?php $a = array(" + b"array(" * 5000,
        b"<?php '\\",
    ],
)
def test_what_is_cut_or_deep_ends_well(content: bytes) -> None:
    assert read(content).returned is None


def test_a_file_of_the_largest_size_is_read_in_one_pass() -> None:
    # Were it square in the size, this would take minutes.
    for unit in (b"$a=[", b"'", b'"\\', b"/*", b"<<<A\n", b"#", b"(", b"define('x',"):
        assert read(b"<?php define('A', 1); " + unit * (MOST_BYTES // 2 // len(unit))).constants == {"A": 1}


@given(st.dictionaries(st.text(max_size=8), st.text() | st.integers(-(2**53), 2**53) | st.booleans(), max_size=5))
def test_what_python_writes_as_php_is_read_back(values: dict[str, object]) -> None:
    listed = ", ".join(f"{_php(key)} => {_php(value)}" for key, value in values.items())
    assert read(f"<?php $a = [{listed}];".encode("utf-8", "surrogatepass")).variables["a"] == values


def _php(value: object) -> str:
    if isinstance(value, bool):
        return str(value)
    return str(value) if isinstance(value, int) else "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def test_php_agrees(tmp_path: Path) -> None:
    """What is read is what PHP has after it ran the file."""
    code = "echo json_encode([A, B, WHOLE, NEGATIVE, TURNED_ON, $databases['default']['default']['nested'], $table_prefix]);"
    file = tmp_path / "settings.php"
    file.write_bytes(SETTINGS.replace(b"f(1, [2])", b"1"))
    command = ["php", "-d", "error_reporting=0", "-r", f"require '{file}'; {code}"]
    said = subprocess.run(command, capture_output=True, check=True).stdout
    constants = read(SETTINGS).constants
    assert json.loads(said[said.index(b'["it') :]) == [
        *(constants[name] for name in ("A", "B", "WHOLE", "NEGATIVE", "TURNED_ON")),
        [1, 2, {"x": None}],
        "wp_",
    ]


def test_a_word_is_text_or_a_number() -> None:
    assert list(map(word, ["a", 5, True, None, {}])) == ["a", "5", "", "", ""]
