"""The system's configuration, as YunoHost makes it once it has a domain, and again when something changed.

What somebody changed or took away since stays as it is, unless `force` says otherwise.
"""

import hashlib
import os
import re
import secrets
import shutil
import socket
import string

from . import directory, settings
from .system import read_yaml, run, write, write_yaml

TEMPLATES = "/usr/share/yunohost/conf"
KNOWN = "/etc/yunohost/regenconf.yml"
SSHD = "/etc/ssh/sshd_config"
DOMAIN_FILES = re.compile(r"/etc/(nginx/conf\.d/[^.]+\.[^/]+\.conf|dnsmasq\.d/[^/]+\.[^/]+)\Z")


def regenerate(force=False, names=()):
    domains = directory.values("ou=domains", "(objectClass=mailDomain)", "virtualdomain")
    with open("/etc/yunohost/current_host", encoding="utf-8") as file:
        main = file.read().strip()
    _secrets()
    wanted = _wanted(domains, main)
    if "ssh" not in names:
        del wanted[SSHD]
    if names:
        wanted = {path: text for path, text in wanted.items() if any(f"/{name}/" in path for name in names)}
    changed = _put(wanted, force)
    for domain in domains:
        os.makedirs(f"/etc/nginx/conf.d/{domain}.d", exist_ok=True)
    _after(domains, changed)


def _wanted(domains, main):
    """Every file's text by its path."""
    wanted = {}
    for directory_, _, files in os.walk(f"{TEMPLATES}/system"):
        for name in files:
            with open(f"{directory_}/{name}", encoding="utf-8") as file:
                wanted[f"{directory_}/{name}".removeprefix(f"{TEMPLATES}/system")] = file.read().replace("@MAIN@", main)
    with open(f"{TEMPLATES}/domains/nginx.conf", encoding="utf-8") as file:
        server = file.read()
    for domain in domains:
        plain = f"include /etc/nginx/conf.d/{domain}.d/*.conf;"
        if settings.get("security.nginx.nginx_redirect_to_https"):
            plain = "location / { return 301 https://$host$request_uri; }"
        wanted[f"/etc/nginx/conf.d/{domain}.conf"] = server.replace("@PLAIN@", plain).replace("@DOMAIN@", domain)
        if not domain.endswith(".local"):
            links = "".join(f"interface-name={domain},{link}\n" for _, link in socket.if_nameindex())
            wanted[f"/etc/dnsmasq.d/{domain}"] = f"{links}mx-host={domain},{domain},5\n"
    certificates = "".join(f"{domain} /etc/yunohost/certs/{domain}/key.pem /etc/yunohost/certs/{domain}/crt.pem\n"
                           for domain in domains)
    wanted["/etc/postfix/sni"] = f"# Each domain's certificate.\n{certificates}"
    return wanted


def _digest(path):
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        return hashlib.md5(file.read()).hexdigest()


def _put(wanted, force):
    """Writes what is new or different, and returns which paths were."""
    known, changed = read_yaml(KNOWN), set()
    # As YunoHost does: files of domains that are gone go, whoever wrote them.
    for directory_ in ("/etc/nginx/conf.d", "/etc/dnsmasq.d"):
        for path in (f"{directory_}/{name}" for name in os.listdir(directory_)):
            if DOMAIN_FILES.match(path) and path not in wanted and path in known:
                os.unlink(path)
                del known[path]
                changed.add(path)
    for path, text in wanted.items():
        new, there = hashlib.md5(text.encode()).hexdigest(), _digest(path)
        if new != there:
            if path in known and known[path] != there and not force:
                print(f"Warning: {path} was changed or removed by hand, and stays as it is")
                continue
            write(path, text, 0o755 if text.startswith("#!") else 0o644)
            changed.add(path)
        known[path] = new
    write_yaml(KNOWN, known)
    return changed


def _secrets():
    """Secrets that YunoHost makes when it is set up, and not when it is installed."""
    if not os.path.exists("/etc/yunohost/installed"):
        return
    letters = string.ascii_letters + string.digits
    for name, length, owner in ((".admin_cookie_secret", 64, "root"), (".ssowat_cookie_secret", 32, "ynh-portal")):
        path = f"/etc/yunohost/{name}"
        if not os.path.exists(path):
            write(path, "".join(secrets.choice(letters) for _ in range(length)), 0o400)
        shutil.chown(path, owner, "root")


def _after(domains, changed):
    """Tells the programs whose configuration it is."""

    def touched(part):
        return any(part in path for path in changed)

    if touched("/systemd/"):
        run("systemctl", "daemon-reload")
    if touched("/etc/nftables"):
        run("systemctl", "restart", "nftables")
    if touched("/nginx/"):
        run("nginx", "-t")
        # Only if it runs.
        run("systemctl", "try-reload-or-restart", "nginx")
    _dkim(domains)
    if os.path.exists("/etc/postfix/sni"):
        # Copies of the keys, for postfix.
        run("postmap", "-F", "hash:/etc/postfix/sni")
    for part, unit in (("/slapd.service.d/", "slapd"), ("/dnsmasq.d/", "dnsmasq"), ("/fail2ban/", "fail2ban"),
                       ("/postfix/", "postfix"), ("/dovecot/", "dovecot"), ("/ssh/", "ssh")):
        if touched(part):
            run("systemctl", "restart", unit)
    run("systemctl", "restart", "opendkim")


def _dkim(domains):
    os.makedirs("/etc/dkim", exist_ok=True)
    keys, signers = "", ""
    for domain in domains:
        key = f"/etc/dkim/{domain}.mail.key"
        if not os.path.exists(key):
            run("opendkim-genkey", f"--domain={domain}", "--selector=mail", "--directory=/etc/dkim", "-b", "1024")
            os.rename("/etc/dkim/mail.private", key)
            os.rename("/etc/dkim/mail.txt", f"/etc/dkim/{domain}.mail.txt")
        keys += f"mail._domainkey.{domain} {domain}:mail:{key}\n"
        signers += f"*@{domain} mail._domainkey.{domain}\n"
    write("/etc/dkim/keytable", keys)
    write("/etc/dkim/signingtable", signers)
    run("chown", "-R", "opendkim", "/etc/dkim")
    os.chmod("/etc/dkim", 0o700)
