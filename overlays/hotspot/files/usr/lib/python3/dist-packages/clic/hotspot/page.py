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

# The colours and the picture are those of the portal (builder/portal/assets), which this page leads to.
PAGE = string.Template("""\
<!doctype html>
<html lang="$lang">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title – $plain_ssid</title>
<style>
:root { color-scheme: light dark; --ink: #1b2422; --soft: #48544f; --paper: #f6f3ea; --card: #fffefa; --line: #ddd7c6;
  --edge: #74807a; --strong: #0a5f57; --on-strong: #fff; --sky: #dcebe8; --far: #b9d6c8; --near: #5f9a7b; --leaf: #3f7f63;
  --trunk: #7a5a3c; --box: #fffefa; --sun: #f4c95d; --lamp: #f4c95d; --folk: #26423a; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #edf1ed; --soft: #b6c2bc; --paper: #111716; --card: #1a2220; --line: #2f3b38; --edge: #8b9892;
    --strong: #83d8c7; --on-strong: #06231f; --sky: #172a33; --far: #1d3a3e; --near: #1c3a34; --leaf: #2c6354;
    --trunk: #4a3a2b; --box: #e9dfc4; --sun: #e9e4cf; --lamp: #7a4b00; --folk: #0c1514; }
}
* { box-sizing: border-box; }
body { max-width: 34rem; margin: 0 auto; padding: 0 1rem 1.5rem; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
header { display: flex; align-items: center; justify-content: space-between; padding: .75rem 0; }
.mark { width: 32px; height: 32px; fill: var(--strong); }
nav a { display: inline-flex; align-items: center; min-height: 44px; padding: .4rem 1rem; border: 1px solid var(--edge);
  border-radius: 99px; background: var(--card); color: var(--ink); text-decoration: none; }
.hero { overflow: hidden; padding: 1.4rem 1.25rem 0; border-radius: 22px; background: var(--sky); }
h1 { font-size: 1.85rem; line-height: 1.2; margin: 0; }
p { margin: .75rem 0; }
.hero p { margin: .5rem 0 0; }
.art { display: block; width: calc(100% + 2.5rem); height: 7rem; margin: .5rem -1.25rem 0; }
@media (min-width: 28em) { .art { height: 9rem; } }
button, .open { display: flex; align-items: center; justify-content: center; width: 100%; min-height: 56px;
  padding: .5rem; border: 0; border-radius: 99px; background: var(--strong); color: var(--on-strong); font: inherit;
  font-size: 1.15rem; font-weight: 700; text-decoration: none; cursor: pointer; }
button:hover, a:hover { text-decoration: underline; }
:focus-visible { outline: 3px solid var(--strong); outline-offset: 3px; }
.card { margin: 1.25rem 0; padding: .9rem 1rem; border: 1px solid var(--line); border-radius: 18px;
  background: var(--card); }
.address { display: block; font-size: 1.15em; font-weight: 700; overflow-wrap: anywhere; }
.note { color: var(--soft); font-size: .97rem; }
</style>
</head>
<body>
<header>
<svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="9"/><path fill="none" \
stroke="var(--on-strong)" stroke-width="2.6" stroke-linecap="round" d="M7 13c5-5 13-5 18 0M11 17.5c3-3 7-3 10 0"/>\
<path fill="var(--lamp)" d="M13.5 21h5v5h-5z"/></svg>
<nav><a href="/captive/?lang=$other_lang" hreflang="$other_lang" lang="$other_lang">$other</a></nav>
</header>
<main>
<div class="hero">
<h1>$title</h1>
<p>$connected</p>
<svg class="art" viewBox="130 18 540 144" preserveAspectRatio="xMidYMax slice" aria-hidden="true">
<circle cx="524" cy="40" r="20" fill="var(--sun)"/>
<path fill="var(--far)" d="M-200 110c130-20 300-26 420-4s170 10 260-16 200-10 320 14 130 6 200-4v62h-1200z"/>
<path fill="var(--trunk)" d="M209 143l4-46h7l4 46zM566 140l3-34h6l3 34z"/>
<path fill="var(--leaf)" d="M217 30c19 0 30 14 28 28 13 7 13 31-5 37-15 7-37 6-47 0-18-6-18-30-5-37-2-14 10-28 29-28zM572 62c16 0 24 \
12 22 23 10 6 8 23-6 27-10 4-22 4-32 0-14-4-16-21-6-27-2-11 6-23 22-23z"/>
<path fill="none" stroke="var(--strong)" stroke-width="4" stroke-linecap="round" d="M371 84c18-15 40-15 58 0M382 97c11-9 25-9 36 \
0M360 71c24-20 56-20 80 0"/>
<path fill="var(--near)" d="M-200 142c150 8 250 4 350-2 150-12 290-8 420-4s290 2 430-12v38h-1200z"/>
<path fill="var(--box)" d="M380 112l20-8 20 8v26l-20 8-20-8z"/>
<path fill="#f4c95d" d="M380 112l20 8 20-8-20-8z"/>
<path fill="var(--folk)" d="M323 106a8.5 8.5 0 1 1-.1 0zM309 153c-1-15 2-29 14-29 9 0 13 8 15 16l14 2c6 1 7 6 5 11zM475 103a8.5 8.5 \
0 1 1-.1 0zM489 152c1-15-2-30-14-30-9 0-13 8-15 16l-13 3c-6 1-7 6-5 11z"/>
</svg>
</div>
<p>$network</p>
$action
<p class="card">$later <span class="address">http://$domain</span></p>
<p class="note">$data</p>
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
