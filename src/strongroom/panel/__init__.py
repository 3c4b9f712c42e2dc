"""What is on this server, read only: one module for each layout."""

from __future__ import annotations

from strongroom.config import Config
from strongroom.errors import ConfigError
from strongroom.panel.base import SERVER, Layout

__all__ = ["SERVER", "Layout", "load_layout"]


def load_layout(config: Config) -> Layout:
    """The layout that the configuration names; those of other distributions are found by their entry point.

    Raise ConfigError when such a one cannot be loaded.
    """
    name = config.server.layout
    if name == "apiscp":
        from strongroom.panel.apiscp import Apiscp

        return Apiscp(config)
    if name == "plain":
        from strongroom.panel.plain import Plain

        return Plain(config)
    from importlib.metadata import entry_points

    try:
        (point,) = entry_points(group="strongroom.layouts", name=name)
        layout: Layout = point.load()(config)
    except (ValueError, ImportError, AttributeError, TypeError) as error:
        raise ConfigError(f"server.layout: {name!r} is not installed as it should be ({error}); reinstall it") from None
    return layout
