"""Texts and templates: those of a small service, and all that the overlays bring."""

import re
import tempfile
import unittest
from pathlib import Path

import jinja2

from clic import texts
from clic.pages import Pages
from helpers import OVERLAYS

PACKAGES = Path(OVERLAYS).glob("*/files/usr/lib/python3/dist-packages/clic/*")
WITH_TEXTS = sorted(path for path in PACKAGES if (path / "texts").is_dir())


class Case(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        (self.directory / "texts").mkdir()
        (self.directory / "templates").mkdir()

    def text(self, **languages: str) -> None:
        for language, text in languages.items():
            (self.directory / f"texts/{language}.toml").write_text(text, encoding="utf-8")

    def render(self, template: str, language: str = "fr", **values: object) -> str:
        (self.directory / "templates/page.html").write_text(template, encoding="utf-8")
        return Pages(str(self.directory / "page.py")).render("page.html", language, **values).decode()


class Languages(Case):
    def test_what_somebody_gets(self) -> None:
        self.text(fr='a = "à"', en='a = "a"')
        found = texts.Texts(self.directory / "texts")
        for header, query, wanted in (
            ("", "", "fr"), ("en", "", "en"), ("en-GB,en;q=0.9,fr;q=0.8", "", "en"), ("de,fr;q=0.5,en;q=0.4", "", "fr"),
            ("EN-us", "", "en"), ("fr", "lang=en", "en"), ("fr", "x=1&lang=en", "en"), ("en", "lang=xx", "en"),
            ("en", "lang=", "en"), ("en", "language=fr", "en"), ("en;q=abc,fr;q=9,en;q=0.1", "", "en"), ("en;q=nan", "", "fr"),
            ("en;q=0", "", "fr"), ("," * 5000 + "en", "", "fr"), ("../../etc", "lang=../en", "fr"),
        ):
            self.assertEqual(found.choose(header, query), wanted, (header, query))

    def test_a_text_that_is_missing_is_there_in_the_default_language(self) -> None:
        self.text(fr='a = "à"\nb = "bé"', en='a = "a"')
        found = texts.Texts(self.directory / "texts")
        self.assertEqual((found.text("en", "a"), found.text("en", "b")), ("a", "bé"))
        self.assertEqual(texts.differences(self.directory / "texts"), ["en.toml has no b"])

    def test_placeholders_are_the_same(self) -> None:
        self.text(fr='a = "{x} et {y}"\nb = "{x}"', en='a = "{y} and {x}"\nb = "{z}"')
        self.assertEqual(texts.differences(self.directory / "texts"), ["b has other placeholders in another language"])

    def test_what_is_wrong_with_a_file(self) -> None:
        self.text(en='a = "a"')
        with self.assertRaisesRegex(FileNotFoundError, "texts: no fr.toml, which is the default language"):
            texts.Texts(self.directory / "texts")
        self.text(fr="a = 5")
        with self.assertRaisesRegex(ValueError, "fr.toml: a is no text"):
            texts.Texts(self.directory / "texts")
        self.text(fr="a = ")
        with self.assertRaisesRegex(ValueError, r"fr.toml: Invalid value \(at end of document\)"):
            texts.Texts(self.directory / "texts")


class Templates(Case):
    def setUp(self) -> None:
        super().setUp()
        self.text(fr='hello = "Bonjour {name}, <ici> !"', en='hello = "Hello {name}, <here>!"')

    def test_all_is_escaped(self) -> None:
        evil = "<script>alert('\"&')</script>"
        page = self.render('<p title="{{ x }}">{{ x }} {{ t("hello", name=x) }}</p>', x=evil)
        self.assertNotIn("<script", page)
        self.assertNotIn("<ici", page)
        self.assertEqual(page.count("&lt;script&gt;alert(&#39;&#34;&amp;&#39;)&lt;/script&gt;"), 3)

    def test_a_text_can_stand_around_a_part_of_the_page(self) -> None:
        page = self.render('{% macro b(x) %}<b>{{ x }}</b>{% endmacro %}{{ t("hello", name=b(x)) }}', "en", x="<i>{y}")
        self.assertEqual(page, "Hello <b>&lt;i&gt;{y}</b>, &lt;here&gt;!")

    def test_a_name_that_nobody_gave_is_a_mistake(self) -> None:
        with self.assertRaisesRegex(jinja2.UndefinedError, "'nobody' is undefined"):
            self.render("{{ nobody }}")
        with self.assertRaises(KeyError):
            self.render('{{ t("nothing") }}')
        with self.assertRaises(jinja2.TemplateNotFound):
            self.render('{% include "../../../../etc/passwd" %}')

    def test_half_a_character(self) -> None:
        self.assertEqual(self.render("{{ x }}", x="a\udcffb"), "a?b")


class Overlays(unittest.TestCase):
    def test_every_package_has_both_languages(self) -> None:
        self.assertLessEqual({"hotspot", "web"}, {path.name for path in WITH_TEXTS})
        for package in WITH_TEXTS:
            directory = package / "texts"
            self.assertEqual(sorted(path.name for path in directory.iterdir()), ["en.toml", "fr.toml"], package)
            self.assertEqual(texts.differences(directory), [], package)

    def test_every_text_that_is_asked_for_is_there_and_none_too_many(self) -> None:
        for package in WITH_TEXTS:
            there = set(texts.read(package / "texts/fr.toml"))
            sources = [*package.glob("templates/*.html"), *package.glob("*.py")]
            asked = {found for path in sources for found in re.findall(r'\bt\(([^)]*)', path.read_text(encoding="utf-8"))}
            words = {word for call in asked for word in re.findall(r'"([^"]+)"', call)}
            # "title-%s": one of several.
            wanted = {key for word in words for key in there if re.fullmatch(word.replace("%s", ".*"), key)}
            self.assertEqual([w for w in words if not any(re.fullmatch(w.replace("%s", ".*"), k) for k in there)], [], package)
            self.assertEqual(there - wanted, set(), package)

    def test_no_template_takes_its_own_word_for_safe(self) -> None:
        templates = [path for package in WITH_TEXTS for path in package.glob("templates/*")]
        self.assertGreater(len(templates), 2)
        for path in templates:
            text = path.read_text(encoding="utf-8")
            self.assertNotRegex(text, r"\|\s*safe|autoescape|Markup", path)
            # Compiles; and nothing is loaded from elsewhere.
            jinja2.Environment(autoescape=True).parse(text)
            self.assertNotRegex(text, r'(src|href|action)="(https?:)?//', path)


if __name__ == "__main__":
    unittest.main()
