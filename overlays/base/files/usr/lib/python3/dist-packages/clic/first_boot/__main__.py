"""clic-first-boot: makes this device's own secrets, and tells about it."""

import argparse
import json
import os
import sys

from clic.disk import Root
from clic.first_boot import runner, state, steps, work


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="clic-first-boot", description="Secrets that are made on the device, once.")
    parser.add_argument("--root", default="/", metavar="DIR", help="a directory that stands for / (default: /)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in (("status", "is first boot over, and how did each step end; exit code 0 if it is over"),
                       ("secrets", "each secret's SHA-256, and whether it is as the image had it")):
        command = commands.add_parser(name, help=what)
        command.add_argument("--json", action="store_true", help="one JSON object")
    command = commands.add_parser("run", help="run a step unless it is done, or all steps")
    command.add_argument("step", nargs="?", help="a step's name, such as 10-identity")
    commands.add_parser("finish", help="say how first boot ended, and note it if nothing is left to do")
    commands.add_parser("check", help="are all steps' files valid")
    asked = parser.parse_args(words)
    root = Root(asked.root)
    os.umask(0o077)
    if asked.command != "check" and asked.root == "/" and os.geteuid() != 0:
        print(f"clic-first-boot {asked.command} is for root", file=sys.stderr)
        return 2
    return COMMANDS[asked.command](root, asked)


def _run(root: Root, asked: argparse.Namespace) -> int:
    if asked.step is None:
        return 0 if runner.run_all(root) else 1
    if asked.step not in steps.names(root):
        print(f"there is no step {asked.step}; there are: {', '.join(steps.names(root)) or 'none'}", file=sys.stderr)
        return 2
    return 0 if runner.run(root, asked.step) else 1


def _finish(root: Root, _: argparse.Namespace) -> int:
    return 0 if runner.finish(root) else 1


def _check(root: Root, _: argparse.Namespace) -> int:
    found, wrong = steps.load_all(root)
    for step in found:
        print(f"ok  {step.name}")
    for why in wrong.values():
        print(f"error: {why}", file=sys.stderr)
    return 2 if wrong else 0


def _status(root: Root, asked: argparse.Namespace) -> int:
    report = state.status(root)
    if asked.json:
        print(json.dumps(report))
    else:
        print(f"first boot: {report['state']}; {'' if report['set_up'] else 'not '}set up")
        for step in report["steps"]:
            print(f"  {step['name']:32} {step['state']}{': ' if 'why' in step else ''}{step.get('why', '')}")
    return 0 if report["state"] == "done" else 1


def _secrets(root: Root, asked: argparse.Namespace) -> int:
    report = state.secrets(root)
    if asked.json:
        print(json.dumps({"secrets": report}))
    else:
        for secret in report:
            print(f"{secret['sha256'] or '-':64}  {secret['state']:7}  {secret['secret']}")
    # For scripts: a secret that all devices share is the one thing that must not be.
    return 1 if any(secret["as_image"] for secret in report) else 0


COMMANDS = {"run": _run, "finish": _finish, "check": _check, "status": _status, "secrets": _secrets}

if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except work.Failed as error:
        print(f"clic-first-boot: {error}", file=sys.stderr)
        sys.exit(1)
