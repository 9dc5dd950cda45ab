"""What the other modules ask of the system."""

import os
import subprocess

import yaml
from moulinette import Error


def run(*words, data=None, **more):
    """Runs a program that must succeed; its output."""
    done = subprocess.run(words, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode != 0:
        raise Error(f"{' '.join(words)} ended with {done.returncode}: {done.stdout.strip()}")
    return done.stdout


def read_yaml(path):
    try:
        with open(path, encoding="utf-8") as file:
            return yaml.safe_load(file) or {}
    except FileNotFoundError:
        return {}


def write(path, text, mode=0o644):
    """Under a temporary name first: nobody reads half of it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        os.chmod(file.fileno(), mode)
        file.write(text)
    os.replace(f"{path}.new", path)


def write_yaml(path, value, mode=0o600):
    write(path, yaml.safe_dump(value, allow_unicode=True), mode)


def hooks(event, *arguments):
    """Scripts that somebody put there for an event, each with its number first. One that fails is told, and no more."""
    directory = f"/etc/yunohost/hooks.d/{event}"
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        done = subprocess.run(["bash", f"{directory}/{name}", *arguments])
        if done.returncode != 0:
            print(f"Warning: {directory}/{name} ended with {done.returncode}")
