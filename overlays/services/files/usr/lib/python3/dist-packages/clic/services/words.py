"""What clic-service says, in French or English."""

import os
from collections.abc import Mapping

TEXTS = {
    "usage": (
        "clic-service COMMANDE [NOM] [--json]\n\n"
        "  list            les services de cette boîte\n"
        "  status [NOM]    leur état, et ce qu’il leur faut\n"
        "  enable NOM      met un service en marche\n"
        "  disable NOM     l’arrête\n"
        "  recover         termine ce qu’une coupure a interrompu (au démarrage)\n\n"
        "  --json          un objet JSON sur la sortie standard\n"
        "  --root DOSSIER  un dossier qui tient lieu de /\n",
        "clic-service COMMAND [NAME] [--json]\n\n"
        "  list            the services of this box\n"
        "  status [NAME]   how they are, and what they need\n"
        "  enable NAME     switches a service on\n"
        "  disable NAME    switches it off\n"
        "  recover         ends what a power cut interrupted (at boot)\n\n"
        "  --json          one JSON object on standard output\n"
        "  --root DIR      a directory that stands for /\n"),
    "error": ("erreur", "error"),
    "for-root": ("clic-service {command} est réservé à root : essayez « sudo clic-service {command} »",
                 "clic-service {command} is for root: try `sudo clic-service {command}`"),
    "unknown-command": ("commande inconnue : {command}", "unknown command: {command}"),
    "unknown-option": ("option inconnue : {option}", "unknown option: {option}"),
    "one-name": ("{command} demande le nom d’un service", "{command} needs the name of one service"),
    "too-many": ("de trop : {word}", "one word too many: {word}"),
    "unknown-service": ("il n’y a pas de service « {name} » dans cette boîte", "there is no service `{name}` in this box"),
    "near": (" ; vouliez-vous dire « {name} » ?", "; is `{name}` meant?"),
    "there-are": (" ; il y a : {names}", "; there are: {names}"),
    "none": ("il n’y a aucun service dans cette boîte", "there is no service in this box"),
    "enabled": ("en marche", "on"),
    "dormant": ("en sommeil", "dormant"),
    "already-enabled": ("{title} était déjà en marche : rien à faire.", "{title} was on already: nothing to do."),
    "already-dormant": ("{title} était déjà arrêté : rien à faire.", "{title} was off already: nothing to do."),
    "now-enabled": ("{title} est en marche : {url}", "{title} is on: {url}"),
    "now-dormant": ("{title} est arrêté.", "{title} is off."),
    "repaired": ("{title} devait être en marche et ne l’était plus : remis en marche.",
                 "{title} was meant to be on and was not: switched on again."),
    "refused-enable": ("{title} n’a pas été mis en marche, et rien n’a été changé :",
                       "{title} was not switched on, and nothing was changed:"),
    "refused-disable": ("{title} n’a pas été arrêté, et rien n’a été changé :",
                        "{title} was not switched off, and nothing was changed:"),
    "undone-enable": ("{title} n’a pas pu être mis en marche ; tout a été remis comme avant : {why}",
                      "{title} could not be switched on; everything is as it was before: {why}"),
    "undone-disable": ("{title} n’a pas pu être arrêté ; tout a été remis comme avant : {why}",
                       "{title} could not be switched off; everything is as it was before: {why}"),
    "half": ("{title} : {why} ; revenir en arrière a échoué aussi : {second}. Au prochain démarrage, la boîte réessaiera, "
             "ou maintenant avec « clic-service recover »",
             "{title}: {why}; undoing it failed as well: {second}. The box tries again at its next boot, or now with "
             "`clic-service recover`"),
    "recovered": ("une coupure avait interrompu un changement de {title}, terminé maintenant : {state}",
                  "a change of {title} had been interrupted, and has ended now: {state}"),
    "nothing-to-recover": ("rien n’avait été interrompu", "nothing had been interrupted"),
    "interrupted": ("interrompu", "interrupted"),
    "disk-full": ("il faut {needed} libres sur le disque, il y en a {there}",
                  "it needs {needed} free on the disk; {there} are free"),
    "memory-short": ("il faut {needed} de mémoire libre, il y en a {there}",
                     "it needs {needed} of free memory; {there} are free"),
    "memory-short-on": ("il faut {needed} de mémoire libre, il y en a {there} ; en marche : {names}",
                        "it needs {needed} of free memory; {there} are free; on are: {names}"),
    "package-missing": ("le paquet {package} n’est pas dans cette image", "the package {package} is not in this image"),
    "unit-missing": ("l’unité {unit} n’est pas dans cette image", "the unit {unit} is not in this image"),
    "unit-masked": ("l’unité {unit} est masquée", "the unit {unit} is masked"),
    "needs-service": ("il faut d’abord {title} : clic-service enable {name}",
                      "it needs {title} first: clic-service enable {name}"),
    "needs-unknown": ("il faut le service « {name} », qui n’est pas dans cette boîte",
                      "it needs the service `{name}`, which is not in this box"),
    "needed-by": ("{title} en a besoin : clic-service disable {name}", "{title} needs it: clic-service disable {name}"),
    "conflict": ("il ne va pas avec {title} : clic-service disable {name}",
                 "it does not go with {title}: clic-service disable {name}"),
    "path-taken": ("l’adresse {path} est prise par {title} : clic-service disable {name}",
                   "the address {path} is taken by {title}: clic-service disable {name}"),
    "no-yunohost": ("YunoHost n’est pas installé sur cette boîte", "YunoHost is not installed on this box"),
    "no-app": ("l’application YunoHost {app} n’est pas dans cette image", "the YunoHost app {app} is not in this image"),
    "no-program": ("{program} n’est pas installé", "{program} is not installed"),
    "not-understood": ("réponse incomprise de {program} ({what})", "an answer of {program} was not understood ({what})"),
    "too-slow": ("{what} : pas fini après {seconds} s", "{what}: not ready after {seconds} s"),
    "unit-failed": ("{unit} n’a pas démarré : voir « journalctl -u {unit} »",
                    "{unit} did not start: see `journalctl -u {unit}`"),
    "unit-down": ("{unit} n’est pas active après {seconds} s", "{unit} is not active after {seconds} s"),
    "port-silent": ("rien n’écoute sur le port {port} après {seconds} s", "nothing listens on port {port} after {seconds} s"),
    "not-running": ("en marche, mais {unit} ne l’est pas : {state}", "on, but {unit} is not: {state}"),
    "can-enable": ("peut être mis en marche", "can be switched on"),
    "unfinished": ("un changement de {name} n’est pas terminé : clic-service recover",
                   "a change of {name} has not ended: clic-service recover"),
    "room": ("disque libre : {disk} ; mémoire libre : {memory}", "free disk: {disk}; free memory: {memory}"),
}

UNITS = {"fr": ("o", "Kio", "Mio", "Gio", "Tio", "Pio"), "en": ("B", "KiB", "MiB", "GiB", "TiB", "PiB")}


def language(environment: Mapping[str, str] = os.environ) -> str:
    """French for French locales, else English. The first that is set says it (locale(7))."""
    for key in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environment.get(key):
            return "fr" if environment[key].lower().startswith("fr") else "en"
    return "en"


def say(key: str, **more: object) -> str:
    return TEXTS[key][0 if language() == "fr" else 1].format(**more)


def text(texts: Mapping[str, str]) -> str:
    """A service's own text, in the language that is asked for, else in any."""
    return texts.get(language()) or next(iter(texts.values()), "")


def size(number: float) -> str:
    """Bytes, as people read them."""
    units, step = UNITS[language()], 0
    while number >= 1024 and step < len(units) - 1:
        number, step = number / 1024, step + 1
    digits = f"{number:.1f}" if step and number < 10 else f"{number:.0f}"
    return f"{digits.replace('.', ',') if language() == 'fr' else digits} {units[step]}"
