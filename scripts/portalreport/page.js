// What the report asks of a page that is open: one object, whose functions return plain values.
({
  // Where the keyboard is. `marked`: an outline of at least two pixels (WCAG 2.2, 2.4.7 and 2.4.13), on the element, on what
  // it draws over its tile, or on the field around it.
  focus() {
    const e = document.activeElement;
    if (!e || e === document.body || e === document.documentElement) return null;
    const outlined = (style) =>
      style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && !/, 0\)$/.test(style.outlineColor);
    const styles = [getComputedStyle(e), getComputedStyle(e, "::after"), getComputedStyle(e.parentElement)];
    const r = e.getBoundingClientRect();
    const middle = (from, to, most) => (Math.max(0, from) + Math.min(most, to)) / 2;
    const top = document.elementFromPoint(middle(r.left, r.right, innerWidth), middle(r.top, r.bottom, innerHeight));
    const words = (e.getAttribute("aria-label") || e.innerText || e.name || "").trim().replace(/\s+/g, " ");
    const keys = (window.clicKeys = window.clicKeys || new Map());
    if (!keys.has(e)) keys.set(e, keys.size);
    const target = e.tagName === "A" ? e.getAttribute("href") : "";
    return {
      key: keys.get(e),
      name: `${e.tagName.toLowerCase()} “${words.slice(0, 50)}”`,
      target: target.startsWith("#") ? target.slice(1) : null,
      main: Boolean(e.closest("main")),
      marked: styles.some(outlined),
      inView: r.bottom > 0 && r.right > 0 && r.top < innerHeight && r.left < innerWidth && r.width > 0 && r.height > 0,
      free: Boolean(top) && (e.contains(top) || top.contains(e)),
    };
  },

  // How many things there are that one can press or type into.
  reachable() {
    const kinds = "a[href], button, input:not([type=hidden]), select, textarea, audio[controls], video[controls]";
    return Array.from(document.querySelectorAll(kinds))
      .filter((e) => !e.disabled && e.checkVisibility({ visibilityProperty: true })).length;
  },

  // Back to the top, with the keyboard on the link that skips to the content.
  restart() {
    scrollTo(0, 0);
    document.querySelector('a[href^="#"]').focus();
  },

  // Whether one must scroll sideways, and what is to blame.
  overflow() {
    const wide = document.documentElement.clientWidth;
    const cut = (e) =>
      e !== null && e !== document.body && (/hidden|clip|auto|scroll/.test(getComputedStyle(e).overflowX) || cut(e.parentElement));
    const culprits = Array.from(document.querySelectorAll("body *:not(svg *)"))
      .filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > wide + 1 && !cut(e.parentElement));
    return {
      wide: document.documentElement.scrollWidth > wide + 1,
      names: culprits.slice(0, 3).map((e) => e.outerHTML.slice(0, 80)),
    };
  },

  // WCAG 2.2, 1.4.12 Text Spacing. Constructed sheets are not subject to the page's policy.
  spread() {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`
      * { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important }
      p { margin-bottom: 2em !important }`);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  },

  // Texts that are cut off by a box of their own.
  cut() {
    const cut = (e) => e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1;
    return Array.from(document.querySelectorAll("a, button, p, h1, h2, h3, h4, dt, dd, span, strong"))
      .filter((e) => e.innerText && e.checkVisibility() && e.clientWidth > 1 && getComputedStyle(e).overflow !== "visible" && cut(e))
      .map((e) => e.innerText.slice(0, 40));
  },

  // What can be read, without what the script makes or feeds: the search, the filter by language, the ticks of a course and
  // the figures of the box.
  readable() {
    const made = "form[role=search].needs-js, #results, .chips, #progress, #status, .steps label, .without-js, [data-live]";
    const hidden = (e) => e.closest(made) || !e.checkVisibility();
    const plain = (text) => text.trim().replace(/\s+/g, " ");
    const links = Array.from(document.querySelectorAll("a[href]")).filter((e) => !hidden(e))
      .map((e) => `${plain(e.textContent)} -> ${e.getAttribute("href")}`);
    const texts = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
      const e = walk.currentNode.parentElement;
      const text = plain(walk.currentNode.data);
      if (text && !/^(SCRIPT|STYLE|NOSCRIPT)$/.test(e.tagName) && !hidden(e)) texts.push(text);
    }
    return { links, texts };
  },
})
