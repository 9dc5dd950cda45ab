"""Makes a ZIM file of a directory of pages, with an index of their words, by libzim.

Runs in the build's sandbox, with the tools of the image's own suite. The same files and words give the same file, but for
the numbers that libzim and Xapian draw at random: see `zim/settle.rs`. So names come sorted, whatever order the file system
has them in; one thread does the work; and nothing asks for the date, the machine's list of file types, or its language.

    zim.py PAGES WORDS.json ICON.png OUT.zim
"""

import json
import mimetypes
import sys
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

from libzim.writer import Creator, FileProvider, Hint, IndexData, Item

# Python knows these, and may know them otherwise in its next version; those after are not in it.
TYPES = mimetypes.MimeTypes(filenames=())
for ending, kind in {
    ".css": "text/css", ".htm": "text/html", ".html": "text/html", ".js": "text/javascript", ".json": "application/json",
    ".md": "text/markdown", ".ogg": "audio/ogg", ".otf": "font/otf", ".svg": "image/svg+xml", ".ttf": "font/ttf",
    ".txt": "text/plain", ".webm": "video/webm", ".webp": "image/webp", ".woff": "font/woff", ".woff2": "font/woff2",
    ".xhtml": "text/html", ".xml": "text/xml",
}.items():
    TYPES.add_type(kind, ending)
UNKNOWN = "application/octet-stream"
# What stands in these is not read.
SILENT = {"script", "style", "template", "noscript"}


class Page(HTMLParser):
    """The title of a page, and its text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.title, self.text, self.inside, self.titled = "", [], [], False
        self.feed(text)
        self.close()
        self.title = " ".join(self.title.split())

    def handle_starttag(self, tag, attributes):
        if tag in SILENT or (tag == "title" and not self.titled):
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if tag in self.inside:
            # A page that forgot to close another one before has closed it now.
            del self.inside[self.inside.index(tag):]
            self.titled = self.titled or tag == "title"

    def handle_data(self, data):
        if not self.inside:
            self.text.append(data)
        elif self.inside[-1] == "title":
            self.title += data


def plain(text):
    """Without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def searchable(text):
    """The text, and once more without accents those words that have some: people type `eleve` and `élève`, and some
    versions of kiwix-serve look for just what was typed."""
    text = unicodedata.normalize("NFC", text)
    return " ".join([text, *(plain(word) for word in text.split() if not word.isascii())])


class Words(IndexData):
    """What a page is found by."""

    def __init__(self, page):
        super().__init__()
        self.page, self.content = page, searchable(" ".join(page.text))

    def has_indexdata(self):
        return True

    def get_title(self):
        return searchable(self.page.title)

    def get_content(self):
        return self.content

    def get_keywords(self):
        return ""

    def get_wordcount(self):
        return len(self.content.split())


class File(Item):
    def __init__(self, path, file):
        super().__init__()
        self.path, self.file = path, file
        self.kind = TYPES.guess_type(path)[0] or UNKNOWN
        is_page = self.kind == "text/html"
        self.page = Page(file.read_text(encoding="utf-8", errors="replace")) if is_page else None

    def get_path(self):
        return self.path

    def get_title(self):
        return (self.page.title or self.path) if self.page else ""

    def get_indexdata(self):
        return Words(self.page) if self.page else None

    def get_mimetype(self):
        return self.kind

    def get_contentprovider(self):
        return FileProvider(self.file)

    def get_hints(self):
        # Pages are found by their titles and suggested while somebody types; pictures are not.
        return {Hint.FRONT_ARTICLE: self.page is not None, Hint.COMPRESS: not self.kind.startswith(("audio/", "video/"))}


def main():
    pages, words, icon, out = map(Path, sys.argv[1:])
    words = json.loads(words.read_text())
    creator = Creator(out).config_indexing(True, words["language"]).config_nbworkers(1)
    with creator:
        creator.set_mainpath(words["start"])
        creator.add_illustration(48, icon.read_bytes())
        for name in ("Name", "Title", "Description", "Language", "Creator", "Publisher", "License", "Date", "Tags"):
            creator.add_metadata(name, words[name.lower()], "text/plain;charset=utf-8")
        for file in sorted(pages.rglob("*")):
            if file.is_file():
                creator.add_item(File(file.relative_to(pages).as_posix(), file))


if __name__ == "__main__":
    main()
