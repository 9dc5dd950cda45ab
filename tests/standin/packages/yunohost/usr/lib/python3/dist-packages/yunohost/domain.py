"""Domains, each with a certificate that the box's own authority signed."""

import os
import shutil
import time

from moulinette import Error

from . import app, conf, directory
from .system import hooks, run, write

SSL = "/usr/share/yunohost/ssl"
CERTIFICATES = "/etc/yunohost/certs"


def names():
    return directory.values("ou=domains", "(objectClass=mailDomain)", "virtualdomain")


def main():
    with open("/etc/yunohost/current_host", encoding="utf-8") as file:
        return file.read().strip()


def info(domain):
    if domain not in names():
        raise Error(f"The domain {domain} is unknown")
    return {"certificate": cert_status([domain])["certificates"][domain], "main": domain == main()}


def add(domain, ignore_dyndns=False):
    if domain in names():
        raise Error(f"The domain {domain} already exists")
    _certificate(domain)
    directory.add(f"virtualdomain={domain},ou=domains", {"objectClass": ["mailDomain", "top"], "virtualdomain": domain})
    if os.path.exists("/etc/yunohost/installed"):
        conf.regenerate()
        app.ssowatconf()
    hooks("post_domain_add", domain)


def make_main(domain):
    write("/etc/yunohost/current_host", f"{domain}\n")
    for kind, name in (("static", domain), ("transient", domain), ("pretty", f"(YunoHost/{domain})")):
        run("hostnamectl", f"--{kind}", "set-hostname", name)


def _certificate(domain):
    place = time.strftime(f"{CERTIFICATES}/{domain}-history/%Y%m%d.%H%M%S-selfsigned", time.gmtime())
    os.makedirs(place)
    with open(f"{SSL}/openssl.cnf", encoding="utf-8") as file:
        write(f"{place}/openssl.cnf", file.read().replace("yunohost.org", domain), 0o600)
    key, certificate, request = f"{place}/key.pem", f"{place}/crt.pem", f"{SSL}/certs/yunohost_csr.pem"
    run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-config", f"{place}/openssl.cnf", "-out", request,
        "-keyout", key)
    run("openssl", "ca", "-batch", "-config", f"{place}/openssl.cnf", "-days", "3650", "-in", request, "-out", certificate)
    os.symlink(f"{CERTIFICATES}/yunohost.org/ca.pem", f"{place}/ca.pem")
    with open(f"{place}/ca.pem", encoding="utf-8") as authority, open(certificate, "a", encoding="utf-8") as file:
        file.write("\n" + authority.read())
    for path in (key, certificate):
        shutil.chown(path, "root", "ssl-cert")
        os.chmod(path, 0o640)
    link = f"{CERTIFICATES}/{domain}"
    if os.path.lexists(link):
        os.unlink(link)
    os.symlink(place, link)


def cert_status(domain_list=()):
    return {"certificates": {domain: {"CA_type": "selfsigned"} for domain in domain_list or names()}}


def cert_renew(domain_list=(), email=False):
    """Only certificates that others signed are renewed, and the stand-in has none."""
