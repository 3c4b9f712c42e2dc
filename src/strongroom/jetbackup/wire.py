"""One JSON document each way between the PHP classes and this program.

Strings are bytes in PHP and JSON is UTF-8: a string that is no text is sent as ``{"base64": "…"}``, both ways.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from strongroom.errors import UsageError

_KEY = "base64"


def readable(document: bytes) -> Any:
    """A document that came in, its strings as Python has names: bytes that are no text as lone surrogates.

    Raise UsageError.
    """
    try:
        return _read(json.loads(document))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"standard input is no JSON document ({error})") from None


def sendable(value: Any) -> Any:
    """A document that goes out."""
    if isinstance(value, dict):
        return {key: sendable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [sendable(each) for each in value]
    if not isinstance(value, str):
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return {_KEY: base64.b64encode(value.encode("utf-8", "surrogateescape")).decode()}
    return value


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_KEY} and isinstance(value[_KEY], str):
        try:
            return base64.b64decode(value[_KEY], validate=True).decode("utf-8", "surrogateescape")
        except binascii.Error as error:
            raise ValueError(str(error)) from None
    return {key: _read(each) for key, each in value.items()}
