"""The page that opens by itself. Plain HTML in French or English, complete without scripts or other files."""

import html
import string

TEXTS = {
    "fr": {
        "title": "Bienvenue",
        "connected": "Vous êtes sur le wifi <strong>$ssid</strong>.",
        "offline": "Ce réseau n’a pas besoin d’internet : les services et les contenus sont dans la boîte, "
        "tout près de vous.",
        "online": "Les services et les contenus de la boîte sont là, et internet aussi.",
        "continue": "Continuer",
        "done": "Vous avez déjà continué.",
        "open": "Ouvrir le portail",
        "later": "Pour revenir plus tard, ouvrez votre navigateur et tapez&nbsp;:",
        "data": "Si la page ne s’ouvre pas, coupez les données mobiles : votre téléphone les préfère peut-être "
        "à ce wifi. S’il demande s’il faut rester connecté sans internet, répondez oui.",
        "other": "English",
    },
    "en": {
        "title": "Welcome",
        "connected": "You are on the wifi <strong>$ssid</strong>.",
        "offline": "This network needs no internet: services and content are in the box, close to you.",
        "online": "The services and content of the box are here, and so is the internet.",
        "continue": "Continue",
        "done": "You have already continued.",
        "open": "Open the portal",
        "later": "To come back later, open your browser and type:",
        "data": "If the page does not open, switch mobile data off: your phone may prefer it to this wifi. "
        "If it asks whether to stay connected without internet, say yes.",
        "other": "Français",
    },
}

PAGE = string.Template("""\
<!doctype html>
<html lang="$lang">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title – $plain_ssid</title>
<style>
:root { color-scheme: light dark; --ink: #1d2b2a; --paper: #f6f4ee; --strong: #0b5d57; --on-strong: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e9e6dd; --paper: #16201f; --strong: #7fd1c7; --on-strong: #0c1a19; }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.125rem/1.5 system-ui, sans-serif; }
main { max-width: 32rem; margin: 0 auto; padding: 2rem 1.25rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 1rem; }
button, .open { display: block; box-sizing: border-box; width: 100%; padding: .9rem; border: 0; border-radius: .5rem;
  background: var(--strong); color: var(--on-strong); font: inherit; font-weight: 700; text-align: center;
  text-decoration: none; cursor: pointer; }
:focus-visible { outline: 3px solid var(--ink); outline-offset: 3px; }
.address { font-weight: 700; overflow-wrap: anywhere; }
a { color: var(--strong); }
nav { margin-top: 2rem; }
nav a { display: inline-block; padding: .6rem 0; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<p>$connected</p>
<p>$network</p>
$action
<p>$later <span class="address">http://$domain</span></p>
<p>$data</p>
<nav><a href="/captive/?lang=$other_lang" hreflang="$other_lang" lang="$other_lang">$other</a></nav>
</main>
</body>
</html>
""")


def language(header, query):
    """`fr` or `en`: what the address asks for, else what the browser prefers, else French."""
    for asked in query.split("&"):
        if asked in ("lang=fr", "lang=en"):
            return asked[-2:]
    best, found = 0.0, "fr"
    for item in header.split(",")[:20]:
        tag, _, quality = item.partition(";")
        tag = tag.strip().lower().split("-")[0]
        try:
            weight = float(quality.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if tag in TEXTS and best < weight <= 1:
            best, found = weight, tag
    return found


def render(lang, ssid, domain, accepted, online):
    texts = TEXTS[lang]
    safe = html.escape(ssid)
    if accepted:
        action = f"<p>{texts['done']}</p>\n<p><a class=\"open\" href=\"/\">{texts['open']}</a></p>"
    else:
        action = (
            f'<form method="post" action="/captive/continue"><button type="submit">{texts["continue"]}</button></form>'
        )
    return PAGE.substitute(
        lang=lang,
        title=texts["title"],
        plain_ssid=safe,
        connected=string.Template(texts["connected"]).substitute(ssid=safe),
        network=texts["online" if online else "offline"],
        action=action,
        later=texts["later"],
        domain=html.escape(domain),
        data=texts["data"],
        other=texts["other"],
        other_lang="en" if lang == "fr" else "fr",
    ).encode()
