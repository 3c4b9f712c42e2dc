"""As little of each web application as makes it known, with settings as its installer writes them, and what is in them."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """Files of one application, and what has to be found in them: version, database, the database's user, host, prefix, URL."""

    files: dict[str, str]
    version: str
    database: str = ""
    login: tuple[str, str, str, str] = ("", "", "", "")
    url: str = ""


SHAPES = {
    "wordpress": Shape(
        {
            "wp-includes/version.php": "<?php\n$wp_version = '6.1.9';\n$wp_db_version = 53496;\n",
            "wp-config.php": "<?php\ndefine( 'DB_NAME', 'me_wp' );\ndefine( 'DB_USER', 'me_u' );\n"
            "define( 'DB_PASSWORD', 'pw' );\ndefine( 'DB_HOST', 'localhost:/run/s' );\n$table_prefix = 'wp_';\n"
            "define( 'WP_HOME', 'https://www.one.com/' );\n",
        },
        "6.1.9",
        "mysql:me_wp",
        ("me_u", "pw", "localhost:/run/s", "wp_"),
        "https://www.one.com/",
    ),
    "drupal": Shape(
        {
            "core/lib/Drupal.php": "<?php class Drupal {\n  const VERSION = '10.1.2';\n}",
            "sites/default/settings.php": "<?php $databases['default']['default'] = array (\n 'database' => 'me_d',\n"
            " 'username' => 'me_u', 'password' => 'pw', 'prefix' => 'd_', 'host' => 'db', 'port' => '3306',\n"
            " 'driver' => 'mysql',\n);",
        },
        "10.1.2",
        "mysql:me_d",
        ("me_u", "pw", "db:3306", "d_"),
    ),
    "joomla": Shape(
        {
            "administrator/manifests/files/joomla.xml": '<?xml version="1.0"?><extension><version>4.3.4</version></extension>',
            "configuration.php": "<?php\nclass JConfig {\n\tpublic $dbtype = 'mysqli';\n\tpublic $host = 'localhost';\n"
            "\tpublic $user = 'me_u';\n\tpublic $password = 'p\\'w';\n\tpublic $db = 'me_j';\n\tpublic $dbprefix = 'j_';\n}",
        },
        "4.3.4",
        "mysql:me_j",
        ("me_u", "p'w", "localhost", "j_"),
    ),
    "mediawiki": Shape(
        {
            "includes/Defines.php": "<?php\ndefine( 'MW_VERSION', '1.39.17' );\n",
            "includes/WebStart.php": "<?php\n",
            "LocalSettings.php": '<?php\n$wgServer = "https://one.com";\n$wgScriptPath = "/w";\n$wgDBtype = "postgres";\n'
            '$wgDBserver = "localhost"; $wgDBport = "5432";\n$wgDBname = "me_mw";\n$wgDBuser = "me_u";\n$wgDBpassword = "pw";\n',
        },
        "1.39.17",
        "postgresql:me_mw",
        ("me_u", "pw", "localhost:5432", ""),
        "https://one.com/w/",
    ),
    "laravel": Shape(
        {
            "artisan": "#!/usr/bin/env php\n",
            "bootstrap/app.php": "<?php\n",
            "public/index.php": "<?php\n",
            "vendor/laravel/framework/src/Illuminate/Foundation/Application.php": "<?php\n const VERSION = '9.52.1';\n",
            ".env": "APP_NAME=Shop # a comment\nAPP_URL=http://one.com\nDB_CONNECTION=mysql\nDB_HOST=127.0.0.1\nDB_PORT=3306\n"
            '#DB_DATABASE=old\nDB_DATABASE=me_l\nexport DB_USERNAME=\'me_u\'\nDB_PASSWORD="p#w\\""\n',
        },
        "9.52.1",
        "mysql:me_l",
        ("me_u", 'p#w"', "127.0.0.1:3306", ""),
        "http://one.com/",
    ),
    "nextcloud": Shape(
        {
            "occ": "#!/usr/bin/env php\n",
            "lib/versioncheck.php": "<?php\n",
            "version.php": "<?php\n$OC_Version = array(27,0,2,1);\n$OC_VersionString = '27.0.2';\n",
            "config/config.php": "<?php\n$CONFIG = array (\n  'dbtype' => 'pgsql',\n  'dbname' => 'me_nc',\n  'dbhost' => 'h',\n"
            "  'dbuser' => 'me_u',\n  'dbpassword' => 'pw',\n  'dbtableprefix' => 'oc_',\n"
            "  'trusted_domains' => array ( 0 => 'one.com' ),\n  'overwrite.cli.url' => 'https://one.com/cloud',\n);\n",
        },
        "27.0.2",
        "postgresql:me_nc",
        ("me_u", "pw", "h", "oc_"),
        "https://one.com/cloud/",
    ),
    "ghost": Shape(
        {
            ".ghost-cli": '{"active-version": "5.59.1"}',
            "versions/5.59.1/package.json": "{}",
            "content/data/.keep": "",
            "config.production.json": '{"url": "https://one.com", "database": {"client": "mysql", "connection": '
            '{"host": "localhost", "user": "me_u", "password": "pw", "database": "me_g"}}}',
        },
        "5.59.1",
        "mysql:me_g",
        ("me_u", "pw", "localhost", ""),
        "https://one.com/",
    ),
    "magento": Shape(
        {
            "bin/magento": "#!/usr/bin/env php\n",
            "app/etc/di.xml": "<config/>",
            "pub/index.php": "<?php\n",
            "composer.json": '{"require": {"magento/product-community-edition": "2.4.6-p1"}}',
            "app/etc/env.php": "<?php\nreturn [\n 'db' => [ 'table_prefix' => 'm_', 'connection' => [ 'default' => [\n"
            " 'host' => 'localhost', 'dbname' => 'me_m', 'username' => 'me_u', 'password' => 'pw' ] ] ] ];\n",
        },
        "2.4.6-p1",
        "mysql:me_m",
        ("me_u", "pw", "localhost", "m_"),
    ),
    "dokuwiki": Shape({"doku.php": "<?php", "inc/init.php": "<?php", "VERSION": '2022-07-31b "Igor"\n'}, "2022-07-31b"),
    "phpbb": Shape(
        {
            "viewtopic.php": "<?php",
            "includes/constants.php": "<?php\n@define('PHPBB_VERSION', '3.3.10');\n",
            "styles/prosilver/style.cfg": "",
            "config.php": "<?php\n$dbms = 'phpbb\\\\db\\\\driver\\\\mysqli';\n$dbhost = 'h';\n$dbport = '';\n$dbname = 'me_p';\n"
            "$dbuser = 'me_u';\n$dbpasswd = 'pw';\n$table_prefix = 'phpbb_';\n",
        },
        "3.3.10",
        "mysql:me_p",
        ("me_u", "pw", "h", "phpbb_"),
    ),
    "adhoc": Shape(
        {
            ".webapp.yml": "manifest_version: 1\nbase: /var/www/html\nname: Our own\nversion: '2'\nsignature: abc\n"
            "database:\n  type: pgsql\n  user: me_u\n  password: pw\n  db: me_a\n  host: h\n  prefix: x_\n"
            "fortification:\n  max: [storage]\n  min:\n    - .\n",
        },
        "2",
        "postgresql:me_a",
        ("me_u", "pw", "h", "x_"),
    ),
}
