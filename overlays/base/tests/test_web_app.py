"""What a service refuses before any of its own functions is asked, and what it says of it."""

import contextlib
import io
import unittest

from clic import web
from clic.limits import Limit, Stations
from clic.web import tokens
from web_service import GUEST, HOST, OTHER, Case, Clock


class Hosts(Case):
    def test_by_its_names_and_by_the_address_that_was_reached(self) -> None:
        for host in (HOST, HOST.upper(), f"{HOST}:80", f"{HOST}.", "10.42.0.1", "10.42.0.1:8080"):
            self.assertEqual(self.ask("/board/all", host=host).status, 200, host)
        self.assertEqual(self.ask("/board/all", host="[fd00::1]:80", x_clic_server="fd00::1").status, 200)

    def test_no_other_name(self) -> None:
        hosts = ("evil.example", "clic.internal", f"x.{HOST}", f"{HOST}.evil.example", "10.42.0.2", "", "[::1", "\xff",
                 f"evil.example:80@{HOST}", f"evil.example, {HOST}")
        for host in hosts:
            answer = self.ask("/board/all", host=host)
            self.assertEqual(answer.status, 421, host)
            self.assertIn("Cette boîte ne connaît pas ce nom", answer.body.decode())
        self.assertEqual(self.ask("/board/all", host="", x_clic_server="").status, 421)
        self.assertEqual(self.send(f"token={self.token()}&text=x", host="evil.example").status, 421)
        self.assertEqual(self.written, [])


class Posts(Case):
    def test_a_form_from_our_page(self) -> None:
        answer = self.send(f"token={self.token()}&text=caf%C3%A9+noir")
        self.assertEqual((answer.status, dict(answer.headers)["Location"]), (303, "/board/all"))
        self.assertEqual(self.written, ["café noir"])

    def test_what_browsers_say_of_where_it_came_from(self) -> None:
        good = f"token={self.token()}&text=x"
        said: list[tuple[dict[str, str], int]] = [
            ({"origin": f"http://{HOST}"}, 303),
            ({"origin": f"https://{HOST}", "x_forwarded_proto": "https"}, 303),
            ({"sec_fetch_site": "same-origin"}, 303),
            ({"sec_fetch_site": "none"}, 303),
            ({"origin": "http://evil.example"}, 403),
            ({"origin": "null"}, 403),
            ({"origin": ""}, 403),
            ({"origin": f"http://{HOST}.evil.example"}, 403),
            ({"origin": f"http://{HOST}:8080"}, 403),
            ({"origin": f"ftp://{HOST}"}, 403),
            ({"origin": f"http://{HOST}", "x_forwarded_proto": "https"}, 403),
            # Others' pages live under the same site.
            ({"origin": "http://content.clic.internal"}, 403),
            ({"sec_fetch_site": "same-site"}, 403),
            ({"sec_fetch_site": "cross-site"}, 403),
            ({"sec_fetch_site": ""}, 403),
        ]
        for headers, status in said:
            self.written.clear()
            answer = self.send(good, **headers)
            self.assertEqual(answer.status, status, headers)
            self.assertEqual(len(self.written), int(status == 303), headers)
        self.assertIn("Ce formulaire n’est plus valable", self.send(good, origin="null").body.decode())

    def test_an_old_browser_that_says_nothing_has_its_token(self) -> None:
        form = {"host": HOST, "x-real-ip": GUEST, "content-type": "application/x-www-form-urlencoded"}
        request = web.Request("POST", "/board/", form, f"token={self.token()}&text=x".encode())
        self.assertEqual(self.app(request).status, 303)

    def test_tokens_that_are_not_from_here(self) -> None:
        token = self.token()
        moment, _, signature = token.partition("-")
        later = f"{int(moment, 16) + 1:x}"
        wrong = {
            "missing": "text=x",
            "empty": "token=&text=x",
            "twice": f"token={token}&token={token}&text=x",
            "forged": f"token={moment}-{'0' * 64}&text=x",
            "newer": f"token={later}-{signature}&text=x",
            "cut": f"token={token[:-1]}&text=x",
            "longer": f"token={token}0&text=x",
            "other digits": f"token=%D9%A1-{signature}&text=x",
            "somebody else's": f"token={self.token(OTHER)}&text=x",
            "another secret's": f"token={web.Tokens(b'y' * 32, self.clock).make(HOST, GUEST)}&text=x",
            "another host's": f"token={self.tokens.make('clic.internal', GUEST)}&text=x",
        }
        for what, form in wrong.items():
            self.assertIn(self.send(form).status, (400, 403), what)
        self.assertEqual(self.written, [])
        self.assertEqual(self.send(f"token={token}&text=x").status, 303)

    def test_a_token_gets_old(self) -> None:
        form = f"token={self.token()}&text=x"
        self.clock.now += tokens.LIFETIME
        self.assertEqual(self.send(form).status, 303)
        self.clock.now += 1
        self.assertEqual(self.send(form).status, 403)
        # From before the last start of the box, with a secret that was kept all the same.
        future = f"token={self.token()}&text=x"
        self.clock.now = 5
        self.assertEqual(self.send(future).status, 403)

    def test_what_is_no_form(self) -> None:
        token = self.token()
        for kind in ("", "text/plain", "application/json", "multipart/form-data; boundary=x"):
            self.assertEqual(self.send(f"token={token}&text=x", content_type=kind).status, 415, kind)
        for fields in (f"token={token}&text=%ff%fe", f"token={token}&text=%C3", f"token={token}&text=é",
                       f"token={token}&text", f"token={token}" + "&a=b" * 500):
            self.assertEqual(self.send(fields).status, 400, fields[:120])
        self.assertEqual(self.written, [])

    def test_fields_in_one_shape(self) -> None:
        self.send(f"token={self.token()}&text=+e%CC%81t%C3%A9%0D%0Adeux%0Dtrois%00%1B%C2%85%09x+")
        self.assertEqual(self.written, ["été\ndeux\ntrois\tx"])
        form = web.Form({"box": ["a", "b"]})
        self.assertEqual((form.all("box"), form.all("none"), form.text("none")), (["a", "b"], [], ""))
        with self.assertRaisesRegex(web.Refused, "400 Bad Request"):
            form.text("box")

    def test_forms_without_tokens_are_a_mistake(self) -> None:
        app = web.App(self.app._pages, hosts=[HOST])
        with self.assertRaisesRegex(ValueError, "/x: a service that takes forms needs tokens"):
            app.post("/x")
        app.post("/x", anybody=True)(lambda request: web.Response(200, b"taken"))
        self.assertEqual(app(web.Request("POST", "/x", {"host": HOST, "origin": "null"})).body, b"taken")


class Often(Case):
    def setUp(self) -> None:
        self.ticks = Clock()
        self.limit = Limit(3, 60, clock=self.ticks)
        super().setUp()

    def test_one_in_a_hurry_waits_and_others_do_not(self) -> None:
        form = f"token={self.token()}&text=x"
        self.assertEqual([self.send(form).status for _ in range(5)], [303, 303, 303, 429, 429])
        answer = self.send(form)
        self.assertEqual(dict(answer.headers)["Retry-After"], "1")
        self.assertIn("Un peu trop vite", answer.body.decode())
        self.assertEqual(self.send(f"token={self.token(OTHER)}&text=x", x_real_ip=OTHER).status, 303)
        self.ticks.now += 1
        self.assertEqual(self.send(form).status, 303)

    def test_wrong_tokens_count(self) -> None:
        self.assertEqual([self.send("token=&text=x").status for _ in range(4)], [403, 403, 403, 429])


class Paths(Case):
    def test_names_in_a_path(self) -> None:
        for target, name in (("/board/a", "a"), ("/board/caf%C3%A9?x=1", "café"), ("/board/%3Cb%3E", "&lt;b&gt;"),
                             ("/board/a%20b", "a b"), ("/board/%2e%2e%2e", "...")):
            answer = self.ask(target)
            self.assertEqual(answer.status, 200, target)
            self.assertIn(f"Bonjour {name} !", answer.body.decode())

    def test_tricks(self) -> None:
        tricks = ("/board/../board/a", "/board/..", "/board/.", "/board/%2e%2e", "/board/%2E%2e", "/board/a%2fb",
                  "/board/a%5cb", "/board/a%00", "/board/%0d%0aX:y", "/board/%c2%85", "//board/a", "/board//a", "/board/",
                  "/board", "/board/a/", "", "*", "http://evil.example/board/a", "/BOARD/a")
        for target in tricks:
            answer = self.ask(target)
            # A form is sent to /board/.
            self.assertEqual(answer.status, 405 if target == "/board/" else 404, target)
        for target in ("/board/%ff", "/board/%c0%ae%c0%ae", "/board/%ed%a0%80", "/board/\xe9"):
            self.assertEqual(self.ask(target).status, 400, target)

    def test_methods(self) -> None:
        self.assertEqual(self.ask("/board/a", "HEAD").status, 200)
        for method in ("DELETE", "PUT", "get", "POST"):
            answer = self.ask("/board/a", method)
            self.assertEqual((answer.status, dict(answer.headers)["Allow"]), (405, "GET, HEAD"), method)
        self.assertEqual(dict(self.ask("/board/").headers)["Allow"], "POST")


class Answers(Case):
    def test_every_answer_is_closed_to_others(self) -> None:
        answers = [self.ask("/board/a"), self.ask("/nowhere"), self.ask("/board/a", host="x"), self.send("token="),
                   self.send(f"token={self.token()}&text=x")]
        self.assertEqual([answer.status for answer in answers], [200, 404, 421, 403, 303])
        for answer in answers:
            headers = dict(answer.headers)
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            # Not no-referrer: with that, browsers say `Origin: null` of our own forms.
            self.assertEqual(headers["Referrer-Policy"], "same-origin")
            for part in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"):
                self.assertIn(part, headers["Content-Security-Policy"])
            self.assertNotIn("unsafe", headers["Content-Security-Policy"])

    def test_what_somebody_has_is_not_sent_again(self) -> None:
        first = self.ask("/board/a")
        tag = dict(first.headers)["ETag"]
        self.assertEqual(first.cache, "no-cache")
        for known in (tag, f"W/{tag}", f'"x", {tag}'):
            again = self.ask("/board/a", if_none_match=known)
            self.assertEqual((again.status, again.body, dict(again.headers)["ETag"]), (304, b"", tag))
        self.assertEqual(self.ask("/board/b", if_none_match=tag).status, 200)
        self.assertEqual(self.ask("/nowhere", if_none_match=tag).status, 404)
        # A form that is shown again with what is wrong in it.
        self.app.get("/wrong")(lambda request: self.app.page(request, "board.html", 422, name="a"))
        wrong = self.ask("/wrong", if_none_match=tag)
        self.assertEqual((wrong.status, dict(wrong.headers).get("ETag")), (422, None))

    def test_languages(self) -> None:
        for header, query, text in (("en-GB", "", "Hello a!"), ("de", "", "Bonjour a !"), ("en", "?lang=fr", "Bonjour a !")):
            answer = self.ask(f"/board/a{query}", accept_language=header)
            self.assertIn(text, answer.body.decode())
            self.assertIn(("Vary", "Accept-Language"), answer.headers)
        self.assertIn("There is no such page", self.ask("/nowhere", accept_language="en").body.decode())

    def test_a_mistake_of_ours_tells_the_journal_and_nobody_else(self) -> None:
        self.app.get("/fails")(lambda request: web.Response(1 // 0))
        with contextlib.redirect_stderr(io.StringIO()) as journal:
            answer = self.ask("/fails?secret")
        self.assertEqual(answer.status, 500)
        self.assertIn("La faute est à la boîte", answer.body.decode())
        self.assertNotIn("ZeroDivision", answer.body.decode())
        self.assertIn("ZeroDivisionError", journal.getvalue())
        self.assertNotIn("secret", journal.getvalue())

    def test_no_header_breaks_out_of_its_line(self) -> None:
        for value in ("a\r\nX: y", "a\0", "a\nb", "€"):
            with self.assertRaisesRegex(ValueError, "no header can have the value"):
                web.Response(200, headers=(("X", value),))
        self.assertEqual(dict(web.redirect("/é\r\nX: y").headers)["Location"], "/%C3%A9%0D%0AX:%20y")


class Secrets(Case):
    def test_a_secret_that_is_kept(self) -> None:
        path = self.directory / "secret"
        one, two = web.Tokens.kept(path), web.Tokens.kept(path)
        self.assertTrue(two.good(one.make(HOST, GUEST), HOST, GUEST))
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(len(path.read_bytes()), tokens.SECRET_BYTES)
        self.assertEqual([p.name for p in self.directory.glob("secret*")], ["secret"])
        path.write_bytes(b"short")
        with self.assertRaisesRegex(ValueError, "a secret of 5 bytes is too short: 32 are needed"):
            web.Tokens.kept(path)

    def test_one_in_memory_is_another_each_time(self) -> None:
        one, two = web.Tokens.in_memory(), web.Tokens.in_memory()
        self.assertTrue(one.good(one.make(HOST, GUEST), HOST, GUEST))
        self.assertFalse(two.good(one.make(HOST, GUEST), HOST, GUEST))

    def test_parts_do_not_run_into_each_other(self) -> None:
        self.assertFalse(self.tokens.good(self.tokens.make("ab", "c"), "a", "bc"))


class StationsAndTokens(Case):
    def test_a_device_that_gets_another_address_keeps_its_token(self) -> None:
        table = self.directory / "arp"
        row = "{}  0x1  0x2  02:00:00:00:01:00  *  hotspot0\n"
        table.write_text("heading\n" + row.format(GUEST) + row.format(OTHER), encoding="ascii")
        self.app._stations = Stations(str(table))
        self.assertEqual(self.send(f"token={self.token()}&text=x", x_real_ip=OTHER).status, 303)


if __name__ == "__main__":
    unittest.main()
