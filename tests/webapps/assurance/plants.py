"""What can go wrong in an update of WordPress, and what only looks as if: scripts that an update runs in its folder.

Each failure says by which evidence it has to be found.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.webapps.assurance.ground import PATIENCE


def sql(statement: str) -> str:
    """A script that runs a statement of SQL as the app itself would."""
    code = f"require 'wp-load.php'; exit($wpdb->query(<<<'SQL'\n{statement}\nSQL) === false ? 9 : 0);"
    return f"php -d display_errors=stderr <<'END'\n<?php {code}\nEND\n"


THEME = "wp-content/themes/twentytwentythree"


class Failure(NamedTuple):
    """A script, the kinds of evidence of which one has to be among what fails the update, and how long to wait for pages."""

    script: str
    found_by: tuple[str, ...]
    patience: int = PATIENCE


def first(code: str, path: str = "index.php") -> str:
    """A script that lets a file begin with some PHP."""
    return f"cat > new.php <<'END'\n<?php {code} ?>\nEND\ncat {path} >> new.php\nmv new.php {path}\n"


def always(code: str) -> str:
    """A script that adds some PHP to each request of WordPress."""
    return f"mkdir -p wp-content/mu-plugins\ncat >> wp-content/mu-plugins/more.php <<'END'\n<?php {code} ?>\nEND\n"


FAILURES = {
    "a fatal error": Failure(f"echo '<?php no_such_function();' > {THEME}/functions.php", ("status", "fault")),
    "a parse error": Failure("echo '<?php if (' > wp-includes/functions.php", ("status", "fault")),
    "an error 500": Failure(first("http_response_code(500); exit('Sorry.');"), ("status",)),
    "an empty page": Failure("echo '<?php' > index.php", ("empty",)),
    "a circle of redirects": Failure(
        first("header('Location: ' . strtok($_SERVER['REQUEST_URI'], '?') . '?again'); exit;"), ("redirect",)
    ),
    "visitors sent away": Failure(first("header('Location: http://evil.example/'); exit;"), ("redirect",)),
    "a dropped table": Failure(sql("DROP TABLE wp_posts"), ("status", "fault", "structure", "drift", "redirect")),
    "emptied settings": Failure(sql("DELETE FROM wp_options"), ("status", "fault", "redirect", "structure")),
    "a missing stylesheet": Failure("rm wp-includes/blocks/navigation/style.min.css", ("asset",)),
    "a missing script": Failure("rm -r wp-includes/js/jquery", ("asset",)),
    "a page that takes too long": Failure(first("if (!isset($_GET['p'])) sleep(60);"), ("answer",), 20),
    "half-copied files": Failure(
        "find wp-includes -name '*.php' | sort | awk 'NR % 2' | xargs rm", ("status", "fault", "empty", "version")
    ),
    "a file cut short": Failure("truncate -s 5000 wp-includes/formatting.php", ("status", "fault")),
    "a broken login": Failure("echo '<html><body><h1>Welcome</h1></body></html>' > wp-login.php", ("landmark",)),
    "permission lost": Failure("chmod 000 wp-includes/version.php", ("status", "fault", "version")),
    "the wrong pages": Failure(
        "echo '<html><body><table><tr><td>Another site</td></tr></table></body></html>' > index.php",
        ("structure", "landmark"),
    ),
    "a page that ends too soon": Failure(
        first("ob_start(fn($page) => substr($page, 0, strpos($page, '<footer')));"), ("cut",)
    ),
    "a command that fails": Failure("echo changed > readme.html; exit 3", ("command",)),
}

_PICTURE = '<img src="/wp-admin/images/wordpress-logo.png">'
_POST = (
    "INSERT INTO wp_posts (post_title, post_content, post_name, post_excerpt, to_ping, pinged, post_content_filtered, "
    "post_date, post_date_gmt, post_modified, post_modified_gmt) "
    "VALUES ('Roses', 'Red ones.', 'roses', '', '', '', '', NOW(), NOW(), NOW(), NOW())"
)
HARMLESS = {
    "another text": sql("UPDATE wp_posts SET post_content = CONCAT(post_content, ' Fresh every day.') WHERE ID = 1"),
    "another title of the site": sql(
        "UPDATE wp_options SET option_value = 'The Better Shop' WHERE option_name = 'blogname'"
    ),
    "a new version in the footer": always("add_action('wp_footer', fn() => print('<p>Version 9.9</p>'));"),
    "another picture": sql(f"UPDATE wp_posts SET post_content = CONCAT(post_content, '{_PICTURE}') WHERE ID = 1"),
    "new versions of stylesheets": always(
        "add_filter('style_loader_src', fn($src) => $src ? add_query_arg('v', 2, $src) : $src);"
    ),
    "posts in another order": sql("UPDATE wp_posts SET post_date = '2020-01-01' WHERE ID = 4"),
    "one post more": sql(_POST),
    "another time and another nonce on each page": always(
        "add_action('wp_footer', fn() => printf('<input type=hidden value=%s>%s', bin2hex(random_bytes(8)), microtime()));"
    ),
    "another script and another style on each page": always(
        "add_action('wp_head', fn() => print('<script>1 + 1</script><style>p { color: #111 }</style>'));"
    ),
    "a new plugin": "mkdir wp-content/plugins/quiet; echo '<?php // quiet' > wp-content/plugins/quiet/quiet.php",
    "files touched alone": "find wp-includes -name '*.css' -exec touch {} +",
}
