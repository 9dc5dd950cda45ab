"""Settings for the whole box."""

from moulinette import Error

from .system import read_yaml, write_yaml

PATH = "/etc/yunohost/settings.yml"
# Those that mean something to the stand-in, as YunoHost has them at first.
DEFAULTS = {
    "security.ssh.ssh_password_authentication": 1,
    "security.nginx.nginx_redirect_to_https": 1,
    "security.webadmin.webadmin_allowlist_enabled": 0,
}
YES, NO = ("yes", "true", "1", "y", "on"), ("no", "false", "0", "n", "off")


def read():
    # In the file they have their last name only.
    kept = read_yaml(PATH)
    return {key: kept.get(key.rpartition(".")[2], value) for key, value in DEFAULTS.items()}


def get(key):
    try:
        return read()[key]
    except KeyError:
        raise Error(f"the stand-in has no setting {key}") from None


def set_one(key, value):
    from . import conf

    get(key)
    if value.lower() not in YES + NO:
        raise Error(f"{key}: use one of {', '.join(YES + NO)}")
    kept = read_yaml(PATH)
    kept[key.rpartition(".")[2]] = int(value.lower() in YES)
    write_yaml(PATH, kept)
    conf.regenerate()
