"""The directory (LDAP): root comes in over its socket, by the kernel's word."""

import subprocess

from moulinette import Error

BASE = "dc=yunohost,dc=org"
CONNECTION = ["-Q", "-Y", "EXTERNAL", "-H", "ldapi:///"]


def _run(program, *words, data=None):
    done = subprocess.run([program, *CONNECTION, *words], input=data, capture_output=True, text=True)
    if done.returncode != 0:
        raise Error(f"{program}: {done.stderr.strip()}")
    return done.stdout


def _ldif(values):
    return "".join(f"{key}: {value}\n" for key, found in values.items()
                   for value in (found if isinstance(found, list) else [found]))


def add(name, values):
    _run("ldapadd", data=f"dn: {name},{BASE}\n{_ldif(values)}")


def join(group, member):
    _run("ldapmodify", data=f"dn: cn={group},ou=groups,{BASE}\nchangetype: modify\nadd: memberUid\nmemberUid: {member}\n")


def values(below, wanted, attribute):
    """An attribute of everything of a class below a branch."""
    found = _run("ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-b", f"{below},{BASE}", wanted, attribute)
    return [line.split(": ", 1)[1] for line in found.splitlines() if line.startswith(f"{attribute}: ")]
