// Keeps the board of one line fresh: replaces the blocks that the hub sends, tells when the
// connection is lost, and counts the seconds of "n s ago" between two blocks.
"use strict";

const feed = document.getElementById("feed");
const link = document.getElementById("link");
const clock = document.getElementById("clock");
const words = feed.dataset;
const SILENT_MS = 15000; // the hub beats every 5 s; a dead cable is not always an error

let source = null;
let heardMs = Date.now();

function tell(up, text) {
  link.classList.toggle("down", !up);
  if (link.textContent !== text) link.textContent = text;
}

function heard() {
  heardMs = Date.now();
  tell(true, words.up);
}

function replace(blocks) {
  for (const [name, html] of Object.entries(blocks)) {
    const block = document.querySelector(`[data-block="${name}"]`);
    if (!block) continue;
    block.innerHTML = html;
    if (name === "last" && block.firstElementChild) block.firstElementChild.classList.add("fresh");
  }
  tick();
}

function connect() {
  if (source) source.close();
  source = new EventSource(words.feed);
  let first = true; // the first message is the whole board, which nobody needs to see flash
  source.addEventListener("blocks", (event) => {
    heard();
    replace(JSON.parse(event.data));
    if (first) document.querySelectorAll(".fresh").forEach((card) => card.classList.remove("fresh"));
    first = false;
  });
  source.addEventListener("beat", heard);
  source.addEventListener("away", () => {
    heardMs = Date.now();
    tell(false, words.away);
  });
  source.onerror = () => tell(false, words.down);
}

function ago(ms) {
  const s = Math.max(0, Math.round((Date.now() - ms) / 1000));
  if (s < 2) return words.now;
  if (s < 60) return words.s.replace("{n}", s);
  if (s < 3600) return words.min.replace("{n}", Math.floor(s / 60));
  if (s < 86400) return words.h.replace("{n}", Math.floor(s / 3600));
  return words.d.replace("{n}", Math.floor(s / 86400));
}

const time = new Intl.DateTimeFormat("en-GB", { timeZone: words.zone, timeStyle: "medium" });

function tick() {
  clock.textContent = time.format(new Date());
  for (const age of document.querySelectorAll("time[data-ago]")) age.textContent = ago(Number(age.dataset.ago));
}

setInterval(() => {
  tick();
  const closed = source.readyState === EventSource.CLOSED; // an HTTP error ends it for good
  if (closed || Date.now() - heardMs > SILENT_MS) {
    tell(false, words.down);
    heardMs = Date.now() - SILENT_MS + 5000; // try again in 5 s
    connect();
  }
}, 1000);

connect();
tick();
