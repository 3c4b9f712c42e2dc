"""The report of an update as one HTML page that needs nothing else: pictures within it, no script, nothing from elsewhere.

Everything in it but the frame comes from a stranger's app and is escaped; a policy in the page forbids what escaping missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape

from strongroom.webapps.assurance.look import Look, Page
from strongroom.webapps.assurance.outcome import Outcome, Verdict
from strongroom.webapps.assurance.verdict import Evidence

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1b1f24; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { border-bottom: 1px solid #d8dee4; padding: .35rem .6rem;
text-align: left; vertical-align: top; overflow-wrap: anywhere; } th { font-weight: 600; }
.verdict { padding: .8rem 1rem; border-radius: .4rem; } .confirmed { background: #dafbe1; } .back { background: #fff8c5; }
.failed { background: #ffebe9; } .fails td:first-child { color: #b42318; font-weight: 600; } .pair { display: flex; gap: 1rem; }
.pair figure { flex: 1; margin: 0; } .pair img { width: 100%; border: 1px solid #d8dee4; } figcaption { color: #57606a; }
@media (max-width: 40rem) { .pair { flex-direction: column; } }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_HEADINGS = {
    Verdict.CONFIRMED: ("confirmed", "The update is in place."),
    Verdict.ROLLED_BACK: ("back", "The update was rolled back: files and database are as they were before."),
    Verdict.FAILED: ("failed", "The update failed, and the app is not as it was before. Something is left to do."),
}
_REHEARSED = {
    Verdict.CONFIRMED: ("confirmed", "A rehearsal on a copy went well. The app itself was not touched."),
    Verdict.ROLLED_BACK: ("back", "A rehearsal on a copy failed. The app itself was not touched."),
    Verdict.FAILED: ("failed", "The rehearsal could not be done. The app itself was not touched."),
}
_LOOKS = ("before", "after", "after the rollback")


def page(outcome: Outcome) -> str:
    """The report of one update."""
    title = f"Update of {outcome.app}: {outcome.what}"
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
    )
    return head + "\n".join((*_summary(outcome, title), *_details(outcome))) + "\n</body></html>\n"


def _summary(outcome: Outcome, title: str) -> Iterator[str]:
    kind, said = (_REHEARSED if outcome.rehearsed else _HEADINGS)[outcome.verdict]
    yield f"<h1>{escape(title)}</h1>"
    yield f'<p class="verdict {kind}"><strong>{escape(outcome.verdict.value.capitalize())}.</strong> {escape(said)}</p>'
    if outcome.left:
        yield "<h2>What is left to do</h2>" + _list(outcome.left)
    reasons = outcome.reasons
    if reasons:
        yield "<h2>Why</h2>" + _list(reasons)
    facts = [
        ("App", outcome.app),
        ("Address", outcome.url),
        ("Version", f"{outcome.was or 'unknown'} → {outcome.version or 'unknown'}"),
        ("Snapshot of before", outcome.snapshot),
        ("Modes of Fortification", "; ".join(outcome.modes)),
        ("Written", _time(outcome.steps[-1].started if outcome.steps else 0.0)),
    ]
    yield _table((), [(name, value) for name, value in facts if value])


def _details(outcome: Outcome) -> Iterator[str]:
    yield "<h2>What was seen</h2>" + (_evidence(outcome.evidence) if outcome.evidence else "<p>No difference.</p>")
    if len(outcome.looks) > 1:
        yield "<h2>Pages before and after</h2>" + "\n".join(_pages(outcome.looks))
    if len(outcome.looks) == 3 or outcome.proof:
        seen = _evidence(outcome.proof) if outcome.proof else "<p>No difference from before the update.</p>"
        yield "<h2>After the rollback</h2>" + seen
    rows = [(step.name, _time(step.started), f"{step.seconds:.1f} s") for step in outcome.steps]
    yield "<h2>Steps</h2>" + _table(("Step", "Began", "Took"), rows)
    remarks = list(dict.fromkeys(remark for look in outcome.looks for remark in look.remarks))
    if remarks:
        yield "<h2>Not looked at</h2>" + _list(remarks)


def _evidence(evidence: Iterable[Evidence]) -> str:
    rows = []
    for each in sorted(evidence, key=lambda each: not each.fails):
        mark, row = ("fails", ' class="fails"') if each.fails else ("told", "")
        cells = (mark, each.sort.value, each.page, each.text)
        rows.append(f"<tr{row}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "<tr><th></th><th>About</th><th>Page</th><th>What</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _pages(looks: Sequence[Look]) -> Iterator[str]:
    by_url = [{page.url: page for page in look.pages} for look in looks]
    for first in looks[0].pages:
        seen = [pages.get(first.url) for pages in by_url]
        yield f"<h3>{escape(first.role)}: {escape(first.url)}</h3>"
        rows = [(when, *_facts(each)) for when, each in zip(_LOOKS, seen, strict=False) if each is not None]
        yield _table(("", "Answer", "Title", "Text", "Took"), rows)
        pictures = [(when, each) for when, each in zip(_LOOKS, seen, strict=False) if each is not None and each.picture]
        if pictures:
            yield '<div class="pair">' + "".join(_picture(when, each) for when, each in pictures) + "</div>"


def _facts(page: Page) -> tuple[str, ...]:
    answer = page.failure or str(page.status)
    return answer, page.title, f"{page.content:,} characters", f"{page.seconds:.2f} s"


def _picture(when: str, page: Page) -> str:
    source = f"data:image/jpeg;base64,{escape(page.picture)}"
    return f'<figure><img alt="{escape(page.url)} {when}" src="{source}"><figcaption>{when}</figcaption></figure>'


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>" if head else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{top}{body}</table>"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if seconds else ""
