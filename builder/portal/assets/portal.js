// What the pages can do beyond HTML: search, filter by language, the sign-in banner, figures of the box, steps done.
// Runs in <head>, before anything is drawn. Everything works, in a plainer way, where this file does not run.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const find = (selector, from) => (from || document).querySelector(selector);
  const all = (selector, from) => Array.from((from || document).querySelectorAll(selector));
  const make = (tag, text) => Object.assign(document.createElement(tag), { textContent: text || "" });
  const TIMEOUT = 8000; // milliseconds

  async function ask(url) {
    const control = new AbortController();
    const timer = setTimeout(() => control.abort(), TIMEOUT);
    try {
      const answer = await fetch(url, { signal: control.signal, credentials: "same-origin" });
      if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
      return await answer.json();
    } finally {
      clearTimeout(timer);
    }
  }

  // Whether the sign-in banner is there is the box's word. The page waits for it, though not for long: else it would move from
  // under somebody's finger when the word comes. The home page asks with a <link>, so that it costs no time of its own.
  const HESITATION = 400; // milliseconds
  if (/^\/(?:[a-z]{2}\/?)?$/.test(location.pathname)) {
    const show = () => root.classList.remove("asking");
    root.classList.add("asking");
    setTimeout(show, HESITATION);
    ask("/captive/state")
      .then(({ accepted, online }) => root.classList.toggle("welcome", Boolean(accepted || online)))
      .catch(() => {})
      .then(show);
  }

  const memory = {
    get(key) {
      try {
        return localStorage.getItem(key);
      } catch (error) {
        return null; // Private windows may forbid it; then nothing is kept.
      }
    },
    set(key, value) {
      try {
        localStorage.setItem(key, value);
      } catch (error) {
        // As above, or full.
      }
    },
  };

  let words = {};
  const say = (key, places) =>
    Object.entries(places || {}).reduce((text, [name, value]) => text.replace(`{${name}}`, value), words[key] || "");

  document.addEventListener("DOMContentLoaded", () => {
    words = JSON.parse(find("#words").textContent);
    search();
    filter();
    status();
    course();
    players();
  });

  // Letters without accents, in lower case, with straight apostrophes: "L’été" is found by "l'ete".
  const fold = (text) => text.normalize("NFD").replace(/[\u0300-\u036f]/g, "").replace(/\u2019/g, "'").toLowerCase();

  function search() {
    const form = find("form.search.needs-js");
    if (!form) return;
    const field = find("input", form);
    const clear = find("[type=reset]", form);
    const [found, results, browse] = [find("#found"), find("#results"), find("#browse")];
    const list = find("ul", results);
    const MOST = 60;
    let index;

    async function load() {
      if (!index) {
        index = ask(`/${root.lang}/search.json`).then((entries) =>
          entries.map(([title, text, kind, url]) => ({ title, text, kind, url, head: fold(title), body: fold(`${text} ${kind}`) })),
        );
        index.catch(() => (index = undefined));
      }
      return index;
    }

    // Every word must be there; titles count more, and most where they begin with the word.
    function rank(entry, terms) {
      let sum = 0;
      for (const term of terms) {
        if (entry.head.startsWith(term)) sum += 8;
        else if (entry.head.includes(term)) sum += 4;
        else if (entry.body.includes(term)) sum += 1;
        else return 0;
      }
      return sum;
    }

    async function update() {
      const query = field.value;
      const terms = fold(query).split(/\s+/).filter(Boolean);
      clear.hidden = !query;
      browse.hidden = terms.length > 0;
      root.classList.toggle("searching", terms.length > 0);
      results.hidden = terms.length === 0;
      if (!terms.length) {
        found.textContent = "";
        return;
      }
      let entries;
      try {
        entries = await load();
      } catch (error) {
        results.hidden = true;
        browse.hidden = false;
        root.classList.remove("searching");
        found.textContent = say("search-failed");
        return;
      }
      if (query !== field.value) return;
      const hits = entries
        .map((entry) => ({ entry, sum: rank(entry, terms) }))
        .filter((hit) => hit.sum)
        .sort((a, b) => b.sum - a.sum);
      list.textContent = "";
      for (const { entry } of hits.slice(0, MOST)) {
        const link = Object.assign(make("a"), { href: entry.url });
        link.append(make("strong", entry.title), make("small", [entry.kind, entry.text].filter(Boolean).join(" · ")));
        const item = make("li");
        item.append(link);
        list.append(item);
      }
      const key = ["none", "one"][hits.length] || "many";
      found.textContent = say(`results-${key}`, { n: hits.length });
    }

    field.addEventListener("focus", () => load().catch(() => {}), { once: true });
    field.addEventListener("input", update);
    form.addEventListener("reset", () => setTimeout(() => { update(); field.focus(); }));
    form.addEventListener("submit", (event) => { event.preventDefault(); update(); });
    // Back from a result, browsers fill the field in again.
    window.addEventListener("pageshow", () => field.value && update());
  }

  function filter() {
    const chips = all(".chips button");
    for (const chip of chips) {
      chip.addEventListener("click", () => {
        for (const other of chips) other.setAttribute("aria-pressed", String(other === chip));
        const wanted = chip.dataset.tongue;
        for (const theme of all(".theme")) {
          let any = false;
          for (const tile of all(".tile", theme)) {
            const tongues = tile.dataset.tongues.split(" ");
            tile.hidden = Boolean(wanted) && ![wanted, "mul", "zxx"].some((tongue) => tongues.includes(tongue));
            any = any || !tile.hidden;
          }
          theme.hidden = !any;
        }
      });
    }
  }

  function size(bytes) {
    const units = say("units").split(" ");
    let unit = 0;
    while (bytes >= 1000 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
    const digits = unit && bytes < 10 ? 1 : 0;
    const number = bytes.toLocaleString(root.lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return `${number}\u00a0${units[unit]}`;
  }

  function duration(seconds) {
    const minutes = Math.floor(seconds / 60);
    const hours = Math.floor(minutes / 60);
    if (hours >= 48) return say("days", { n: Math.floor(hours / 24) });
    return hours ? `${hours}\u00a0h\u00a0${String(minutes % 60).padStart(2, "0")}` : `${minutes}\u00a0min`;
  }

  // Dates as where the reader is from: English has several ways to write them.
  const region = (navigator.languages || []).find((tag) => tag.split("-")[0] === root.lang) || root.lang;
  const number = (value) => (typeof value === "number" && isFinite(value) ? value : null);

  // Room as words, and as a bar for the eye.
  function room({ size: whole, free }) {
    if (number(whole) === null || number(free) === null || whole <= 0) return null;
    const text = say("free", { free: size(free), all: size(whole) });
    const bar = Object.assign(make("meter"), { min: 0, max: 1, high: 0.9, optimum: 0, value: 1 - free / whole });
    bar.setAttribute("aria-hidden", "true");
    return [text, bar];
  }

  // Every figure of /status.json that we know how to say; what is not there is left out.
  function figures(report) {
    const spot = report.hotspot || {};
    const memory = report.memory || {};
    // Why, in the words of the program that found out, which are English.
    const why = Object.assign(make("span", spot.why), { lang: "en", className: "note" });
    const explained = spot.why && ["unable", "starting", "failed"].includes(spot.state);
    return {
      wifi: typeof spot.state === "string" ? [say(spot.state) || spot.state].concat(explained ? [". ", why] : []) : null,
      name: spot.ssid || null,
      clients: number(spot.clients) === null ? null : String(spot.clients),
      channel: spot.channel ? (spot.band ? say("channel", { channel: spot.channel, band: spot.band }) : `${spot.channel}`) : null,
      uplink: typeof report.uplink === "boolean" ? say(report.uplink ? "yes" : "no") : null,
      clock: report.clock_set === false ? say("clock-unset")
        : number(report.time) === null ? null
        : `${say("clock-set")} – ${new Date(report.time * 1000).toLocaleString(region, { dateStyle: "medium", timeStyle: "short" })}`,
      disk: room(report.disk || {}),
      memory: room({ size: memory.size || memory.total, free: memory.available || memory.free }),
      uptime: number(report.uptime) === null ? null : duration(report.uptime),
    };
  }

  function status() {
    const live = all("[data-live]");
    if (live.length) {
      ask("/status.json").then(({ hotspot }) => {
        for (const place of live) {
          const value = hotspot && hotspot.state === "on" && hotspot[place.dataset.live];
          if (typeof value === "string" && value && place.dataset.live === "ssid") place.textContent = value;
        }
      }).catch(() => {});
    }
    const box = find("#status");
    if (!box) return;
    const [message, list] = [find("p", box), find("dl", box)];
    async function refresh() {
      let text;
      try {
        const report = await ask("/status.json");
        const known = figures(report);
        for (const place of all("[data-figure]", list)) {
          const value = known[place.dataset.figure];
          place.parentNode.hidden = value === null;
          place.textContent = "";
          if (value !== null) place.append(...[].concat(value));
        }
        text = "";
      } catch (error) {
        text = message.dataset.failed;
      }
      // Only what changes is read out.
      if (message.textContent !== text) message.textContent = text;
      setTimeout(refresh, 10000);
    }
    refresh();
  }

  // Which steps of a course are done: kept in this browser only.
  function course() {
    const list = find("[data-course]");
    if (!list) return;
    const key = `clic-course-${list.dataset.course}`;
    const steps = all("li", list).filter((item) => item.parentNode === list);
    let done = [];
    try {
      done = [].concat(JSON.parse(memory.get(key) || "[]")).filter((id) => typeof id === "string");
    } catch (error) {
      // Not ours: begin anew.
    }
    const progress = find("#progress");
    const show = () => (progress.textContent = say("progress", { n: steps.filter((step) => done.includes(step.id)).length, all: steps.length }));
    for (const step of steps) {
      const label = make("label");
      const box = Object.assign(make("input"), { type: "checkbox", checked: done.includes(step.id) });
      const name = make("span", ` – ${find("h3", step).textContent.trim()}`);
      name.className = "unseen";
      label.append(box, say("seen"), name);
      step.append(label);
      box.addEventListener("change", () => {
        done = done.filter((id) => id !== step.id).concat(box.checked ? step.id : []);
        memory.set(key, JSON.stringify(done));
        show();
      });
    }
    show();
  }

  // One at a time: a hundred phones share one small radio.
  function players() {
    const media = all("video, audio");
    for (const one of media) {
      one.addEventListener("play", () => media.forEach((other) => other !== one && other.pause()));
    }
  }
})();
