"""The kinds of web apps: one small module for each; those of other distributions come by their entry points."""

from __future__ import annotations

from functools import cache

from strongroom.errors import ConfigError
from strongroom.webapps.base import Kind
from strongroom.webapps.kinds.ad_hoc import AdHoc
from strongroom.webapps.kinds.dokuwiki import DokuWiki
from strongroom.webapps.kinds.drupal import Drupal, DrupalProject
from strongroom.webapps.kinds.ghost import Ghost
from strongroom.webapps.kinds.joomla import Joomla
from strongroom.webapps.kinds.laravel import Laravel
from strongroom.webapps.kinds.magento import Magento
from strongroom.webapps.kinds.mediawiki import MediaWiki
from strongroom.webapps.kinds.nextcloud import Nextcloud
from strongroom.webapps.kinds.phpbb import PhpBB
from strongroom.webapps.kinds.wordpress import WordPress

GROUP = "strongroom.webapps"
# What an app says of itself comes before what it looks like.
SHIPPED: tuple[Kind, ...] = (
    AdHoc(),
    WordPress(),
    Drupal(),
    DrupalProject(),
    Joomla(),
    MediaWiki(),
    Laravel(),
    Nextcloud(),
    Ghost(),
    Magento(),
    DokuWiki(),
    PhpBB(),
)


@cache
def all_kinds() -> tuple[Kind, ...]:
    """Every kind, the shipped ones first. Raise ConfigError when one of another distribution cannot be loaded."""
    from importlib.metadata import entry_points

    ours = {type(kind).__module__ for kind in SHIPPED}
    found = list(SHIPPED)
    for point in entry_points(group=GROUP):
        if point.module in ours:
            continue
        try:
            found.append(point.load()())
        except (ImportError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"the kind of web app {point.name!r} is not installed as it should be ({error}); reinstall it"
            ) from None
    return tuple(found)
