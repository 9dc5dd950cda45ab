"""A stand-in for Moulinette: one table of actions, for the shell and over HTTP."""

import argparse
import http.server
import json
import sys

import yaml


class Error(Exception):
    """What a person did wrong, or what could not be done."""


def cli(program, actions, words):
    """Runs `program CATEGORY ... ACTION ARGUMENTS`. `actions` has, by name, a function and its arguments."""
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument("--output-as", choices=["json", "plain", "none"])
    common.add_argument("--json", dest="output_as", action="store_const", const="json")
    common.add_argument("--quiet", action="store_true")
    common.add_argument("--debug", action="store_true")
    options, words = common.parse_known_args(words)
    for length in (3, 2):
        name = " ".join(words[:length])
        if name in actions:
            break
    else:
        sys.exit(f"Error: {program} {' '.join(words[:3])}: the stand-in knows {', '.join(sorted(actions))}")
    function, arguments = actions[name]
    parser = argparse.ArgumentParser(prog=f"{program} {name}", allow_abbrev=False)
    for argument in arguments:
        parser.add_argument(*argument["names"], **{key: value for key, value in argument.items() if key != "names"})
    given = vars(parser.parse_args(words[length:]))
    try:
        result = function(**given)
    except (Error, OSError) as error:
        sys.exit(f"Error: {error}")
    if result is None or options.quiet or options.output_as == "none":
        return
    if options.output_as == "json":
        print(json.dumps(result, ensure_ascii=False))
    else:
        print(yaml.safe_dump(result, allow_unicode=True, sort_keys=False), end="")


def serve(port, routes):
    """Answers on 127.0.0.1. `routes` has, by path, a function of the host that was asked. All else needs a log in, which nobody has."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            function = routes.get(self.path.partition("?")[0])
            if function:
                self.answer(200, "application/json", json.dumps(function(self.headers.get("Host", ""))))
            else:
                self.answer(401, "text/plain", "Authentication required")

        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer(401, "text/plain", "Invalid credentials")

        def answer(self, status, kind, text):
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
