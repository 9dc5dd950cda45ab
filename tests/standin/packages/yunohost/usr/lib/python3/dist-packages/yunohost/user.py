"""People and their groups."""

import pwd
import re

from moulinette import Error

from . import app, directory, domain as domains
from .system import hooks, run

GROUPS = ("admins", "all_users", "visitors")
FIRST_ID = 10000


def list_all():
    return {"users": {name: {"username": name} for name in directory.values("ou=users", "(objectClass=posixAccount)", "uid")}}


def check_new(username, password):
    if not re.fullmatch("[a-z0-9_.]+", username):
        raise Error(f"{username} is no user name")
    if username in [found.pw_name for found in pwd.getpwall()]:
        raise Error("Username already exists in the list of system users")
    if len(password) < 8:
        raise Error("The password needs to be at least 8 characters long")


def create(username, fullname, password, domain=None, admin=False):
    check_new(username, password)
    people = list_all()["users"]
    if username in people:
        raise Error(f"The user {username} already exists")
    domain = domain or domains.main()
    hashed = run("openssl", "passwd", "-6", "-stdin", data=password).strip()
    number = FIRST_ID + len(people)
    first, _, last = fullname.partition(" ")
    directory.add(f"uid={username},ou=users", {
        "objectClass": ["inetOrgPerson", "posixAccount"], "uid": username, "cn": fullname, "givenName": first,
        "sn": last or first, "displayName": fullname, "mail": f"{username}@{domain}", "userPassword": "{CRYPT}" + hashed,
        "uidNumber": number, "gidNumber": number, "homeDirectory": f"/home/{username}", "loginShell": "/bin/bash"})
    for group in ("all_users", *(["admins"] if admin else [])):
        directory.join(group, username)
    app.ssowatconf()
    hooks("post_user_create", username, f"{username}@{domain}")
    return {"fullname": fullname, "username": username, "mail": f"{username}@{domain}"}
