// @ts-check
// The page of one virtual door: it shows the door's state once a second, and sends what is
// done at the keypad, the reader and the world around.

/**
 * @typedef {{seq: number, at: string, medium: string, outcome: string, reason: string, count: number, offline: boolean, sent: boolean}} DoorEvent
 * @typedef {{now: string, machine: string, clock: string, boot: number, online: boolean, cut: boolean, why: string, epoch: number, version: number,
 *   lease: string | null, grants: number, wrong: number, paused: number, teach: number, open: number, waiting: number, battery: boolean,
 *   events: DoorEvent[] | null, disk_error: string}} State
 */

const door = /** @type {HTMLElement} */ (document.getElementById("door"));
const cardsKept = 5;
const cardsKey = "keyhold-virtual-cards";

/** @param {string} name @returns {HTMLElement} */
function field(name) {
  return /** @type {HTMLElement} */ (door.querySelector(`[data-field="${name}"]`));
}

/** @param {string} name @param {string} text */
function show(name, text) {
  const at = field(name);
  if (at.textContent !== text) at.textContent = text;
}

/** @param {string} text @param {boolean} [opened] */
function say(text, opened) {
  const at = field("verdict");
  at.textContent = "";
  if (opened === undefined) delete at.dataset.opened;
  else at.dataset.opened = String(opened);
  at.textContent = text;
}

/** @param {string} iso */
function time(iso) {
  return new Date(iso).toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
}

const clocks = { trusted: "from the server", battery: "from its battery", untrusted: "not trusted: no server since the start" };
const media = { pin: "PIN", app: "app", keycard: "card", panel: "panel" };
const reasons = {
  boot: "start", lease_ended: "lease ended", unknown_pin: "wrong PIN", unknown_card: "unknown card", keypad_paused: "keypad pauses",
  not_yet: "not yet", expired: "expired", outside_hours: "outside its hours", wrong_kind: "not for this", clock_untrusted: "time not known",
  unknown_grant: "unknown key", late: "came too late", door_failed: "door failed", card_taught: "card taught", no_card: "no card came",
};

/** @param {Record<string, string>} table @param {string} word */
function plain(table, word) {
  return table[word] ?? word;
}

/** @param {DoorEvent} e */
function eventLine(e) {
  const line = document.createElement("li");
  const when = document.createElement("time");
  when.dateTime = e.at;
  when.textContent = time(e.at);
  const what = document.createElement("span");
  what.className = e.outcome;
  what.textContent = { opened: "Opened", refused: "Refused" }[e.outcome] ?? "Note";
  const more = document.createElement("span");
  const words = [];
  if (e.medium) words.push(plain(media, e.medium));
  if (e.reason) words.push(plain(reasons, e.reason));
  if (e.count > 1) words.push(`× ${e.count}`);
  if (e.offline) words.push("offline");
  if (!e.sent) words.push("not sent yet");
  more.textContent = words.join(" · ");
  line.append(when, what, more);
  return line;
}

let shownEvents = "";
let battery = /** @type {boolean | null} */ (null);

/** @param {State} s */
function render(s) {
  const open = s.open > 0;
  if (door.dataset.open !== String(open)) door.dataset.open = String(open);
  show("bolt", open ? `Open for ${s.open} s` : "Locked");
  show("online", s.cut ? "The network is cut" : s.online ? "Connected" : s.why ? `Not connected: ${s.why}` : "Not connected");
  show("now", time(s.now) + (Math.abs(Date.parse(s.machine) - Date.parse(s.now)) > 5000 ? ` (the machine says ${time(s.machine)})` : ""));
  show("clock", plain(clocks, s.clock) + ` · start ${s.boot}`);
  show("lease", s.lease ? time(s.lease) + (s.lease <= s.now ? " (over)" : "") : "never told");
  show("version", `${s.version} of epoch ${s.epoch}`);
  show("grants", String(s.grants));
  show("wrong", String(s.wrong));
  show("paused", s.disk_error ? `The disk fails: ${s.disk_error}` : s.paused > 0 ? `Pauses for ${s.paused} s` : "Ready");
  show("waiting", String(s.waiting));
  // Without the seconds: it is read aloud whenever it changes.
  show("teach", s.teach > 0 ? "Tap the card to be taught." : "");
  const cut = /** @type {HTMLInputElement} */ (door.querySelector('[data-act="cut"]'));
  if (document.activeElement !== cut || cut.checked !== s.cut) cut.checked = s.cut;
  if (battery === null) {
    battery = s.battery;
    /** @type {HTMLInputElement} */ (door.querySelector('[data-act="battery"]')).checked = s.battery;
  }
  const events = JSON.stringify(s.events);
  if (events !== shownEvents) {
    shownEvents = events;
    field("events").replaceChildren(...(s.events ?? []).map(eventLine));
  }
}

/** @param {string} path @param {object} [body] */
async function call(path, body) {
  const answer = await fetch(path, body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return answer.json();
}

/** @param {string} path @param {object} body */
async function act(path, body) {
  try {
    const said = await call(path, body);
    if (said.text) say(said.text, said.opened || said.reason ? said.opened : undefined);
    render(said.state);
    return true;
  } catch (err) {
    say(err instanceof TypeError ? "The program at the door does not answer." : String(/** @type {Error} */ (err).message), false);
    return false;
  }
}

let digits = "";

/** @param {string} key */
function press(key) {
  if (key === "#") {
    const pin = digits;
    digits = "";
    act("enter", { pin });
  } else if (key === "C") {
    digits = "";
  } else if (digits.length < 12) {
    digits += key;
  }
  field("digits").textContent = "•".repeat(digits.length);
}

/** @returns {string[]} */
function cards() {
  try {
    const kept = JSON.parse(localStorage.getItem(cardsKey) ?? "[]");
    return Array.isArray(kept) ? kept.filter((c) => typeof c === "string").slice(0, cardsKept) : [];
  } catch {
    return [];
  }
}

function showCards() {
  field("cards").replaceChildren(...cards().map((uid) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = uid;
    button.setAttribute("aria-label", `Tap the card ${uid}`);
    button.addEventListener("click", () => tap(uid));
    return button;
  }));
}

/** @param {string} typed */
async function tap(typed) {
  const uid = typed.replace(/[\s:.-]/g, "").toUpperCase().replace(/(..)(?=.)/g, "$1 ");
  if (!(await act("tap", { uid }))) return;
  try {
    localStorage.setItem(cardsKey, JSON.stringify([uid, ...cards().filter((c) => c !== uid)].slice(0, cardsKept)));
  } catch { /* the browser keeps nothing: then it is typed again */ }
  showCards();
}

door.addEventListener("click", (event) => {
  const button = /** @type {HTMLElement} */ (event.target).closest("button");
  if (!button) return;
  if (button.dataset.key) press(button.dataset.key);
  if (button.dataset.move) act("clock", { move: button.dataset.move });
  if (button.dataset.act === "power") {
    act("power", { on: /** @type {HTMLInputElement} */ (door.querySelector('[data-act="battery"]')).checked });
  }
});

door.addEventListener("change", (event) => {
  const box = /** @type {HTMLInputElement} */ (event.target);
  if (box.dataset.act === "cut") act("cut", { on: box.checked });
});

door.addEventListener("submit", (event) => {
  event.preventDefault();
  tap(/** @type {HTMLInputElement} */ (document.getElementById("uid")).value);
});

document.addEventListener("keydown", (event) => {
  const on = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || on.closest("input")) return;
  if (/^[0-9#]$/.test(event.key)) press(event.key);
  else if (event.key === "Escape" || event.key === "Backspace") press("C");
  else if (event.key === "Enter" && !on.closest("button, a") && digits) press("#");
});

async function poll() {
  try {
    if (!document.hidden) render(await call("state"));
  } catch {
    show("online", "The program at the door does not answer.");
  }
  setTimeout(poll, 1000);
}

showCards();
poll();
