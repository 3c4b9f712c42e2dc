"""What a probe saw of an app, as values: pages, what they are made of, and what went wrong in them."""

from __future__ import annotations

from strongroom.model import Frozen


class Wanted(Frozen):
    """A page to look at, and why it was chosen (``home``, ``login``, ``post``, ``visited``, ``sitemap``)."""

    url: str
    role: str


class Fault(Frozen):
    """An error of PHP, of a database or of a script, as its text says; ``severe`` ones stop what they happen in.

    ``text`` has no numbers of lines and no addresses in it, so that the same fault is the same value another time.
    """

    kind: str
    text: str
    severe: bool = True


class Asset(Frozen):
    """A stylesheet, script or image of the app's own; ``failure`` says why it does not load, empty when it does."""

    url: str
    kind: str
    failure: str = ""


class Page(Frozen):
    """One page as it was answered.

    ``status`` is 0 where there was no answer, and ``failure`` says why. ``lands`` is the path that redirects led to.
    ``content`` counts the characters that a reader sees, ``structure`` are the kinds of places in the page where elements
    stand, ``landmarks`` how many there are of what pages are known by. ``whole`` is whether the page came to its end.
    ``seconds`` is the shortest of the times it took.
    """

    url: str
    role: str
    status: int = 0
    failure: str = ""
    lands: str = ""
    seconds: float = 0.0
    size: int = 0
    content: int = 0
    kind: str = ""
    title: str = ""
    structure: tuple[str, ...] = ()
    landmarks: dict[str, int] = {}
    whole: bool = True
    faults: tuple[Fault, ...] = ()
    assets: tuple[str, ...] = ()
    picture: str = ""

    @property
    def answered(self) -> bool:
        """Whether there was a page, and not an error."""
        return 200 <= self.status < 300 and not self.failure

    @property
    def works(self) -> bool:
        """Whether the page is the app's, and not its word for being broken, which may come as a page like any other."""
        return self.answered and not any(fault.severe and fault.kind in ("app", "database") for fault in self.faults)


class Look(Frozen):
    """An app at one time: ``faults`` are those that went into its logs meanwhile, ``remarks`` what was not looked at.

    Times are seconds since 1970.
    """

    started: float
    finished: float
    pages: tuple[Page, ...] = ()
    assets: tuple[Asset, ...] = ()
    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()


class Task(Frozen):
    """What the probe's process is asked: the app's address, pages (empty: choose up to ``most_pages``), and limits.

    ``login`` and ``posts`` are addresses relative to ``url`` that apps of its kind have. ``visits`` are access logs,
    ``logs`` error logs, both by server path.
    ``picture_of`` is how many pages are also opened in the browser ``browser`` (empty: none).
    """

    url: str
    uid: int
    gid: int
    pages: tuple[Wanted, ...] = ()
    login: tuple[str, ...] = ()
    posts: tuple[str, ...] = ()
    visits: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    most_pages: int = 6
    most_assets: int = 40
    page_seconds: float = 30.0
    slow_seconds: float = 10.0
    browser: str = ""
    picture_of: int = 3
