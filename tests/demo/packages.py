"""A stand-in for the folder of Debian's unpacked packages: WordPress's shape with its links, in a few files."""

from __future__ import annotations

from pathlib import Path

# As much of WordPress as the demo's installer and its page need, over a real database.
_PRESS = {
    "index.php": """
require __DIR__ . '/wp-load.php';
foreach ( $db->query( 'SELECT post_title, post_content FROM wp_posts ORDER BY ID' ) as $row ) {
    echo '<h1>', $row['post_title'], '</h1><p>', $row['post_content'], "</p>\\n";
}
""",
    "wp-load.php": """
define( 'ABSPATH', __DIR__ . '/' );
require ABSPATH . 'wp-config.php';
""",
    "wp-settings.php": """
$db = new mysqli( 'localhost', DB_USER, DB_PASSWORD, DB_NAME, 0, explode( ':', DB_HOST )[1] );
function add_filter() {}
function is_wp_error( $value ) { return false; }
""",
    "wp-admin/includes/upgrade.php": """
function wp_install( $title ) {
    global $db;
    $db->query( 'CREATE TABLE wp_posts (ID INT AUTO_INCREMENT PRIMARY KEY, post_title TEXT, post_content TEXT)' );
    $db->query( 'CREATE TABLE wp_options (option_name VARCHAR(99) PRIMARY KEY, option_value TEXT)' );
    $db->query( "INSERT INTO wp_options VALUES ('blogname', '$title')" );
}
function wp_insert_post( $post ) {
    global $db;
    $db->execute_query( 'INSERT INTO wp_posts (post_title, post_content) VALUES (?, ?)',
        array( $post['post_title'], $post['post_content'] ) );
    return $db->insert_id;
}
""",
}


def make(folder: Path) -> bytes:
    press = folder / "usr/share/wordpress"
    (press / "wp-includes/ID3").mkdir(parents=True)
    (press / "wp-content/themes").mkdir(parents=True)
    for number in range(80):
        (press / f"wp-includes/part-{number}.php").write_text(f"<?php // part {number}\n" * 40)
    (press / "wp-admin/includes").mkdir(parents=True)
    for name, text in _PRESS.items():
        (press / name).write_text("<?php\n" + text)
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
