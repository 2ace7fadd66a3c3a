"""The report as tests read it."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and text in and outside of ``details``."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.details = 0
        self.summaries = 0
        self.shown = ""
        self.hidden = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.details += tag == "details"
        self.summaries += tag == "summary"
        self.handle_data(" ")

    def handle_endtag(self, tag):
        self.details -= tag == "details"
        self.summaries -= tag == "summary"

    def handle_data(self, data):
        if self.details and not self.summaries:
            self.hidden += data
        else:
            self.shown += data

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    def section(self, name: str) -> bool:
        return ("section", {"id": name}) in self.elements


def words(page: Page) -> str:
    """All that stands in a page, shown or folded, with single spaces."""
    return " ".join((page.shown + page.hidden).split())
