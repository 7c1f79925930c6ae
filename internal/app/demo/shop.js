// @ts-check
// The page of the example website: it asks the browser for a passkey as any website does,
// and says in plain words what came of it.

/**
 * @typedef {{act: "register" | "add_key" | "sign_in", user_verified: boolean, backup_eligible: boolean, backed_up: boolean}} How
 * @typedef {{name: string, keys: number, how: How | null}} State
 */

/** @param {string} id @returns {HTMLElement} */
function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

const nameField = /** @type {HTMLInputElement} */ (byId("name"));
const message = byId("message");
const buttons = ["register", "sign-in", "sign-in-name", "add-key", "sign-out"].map(byId);

/** What the shop itself said no to. */
class Refusal extends Error {}

/** @param {string} path @param {unknown} [body] nothing to ask only */
async function ask(path, body) {
  let answer, read;
  try {
    answer = await fetch(path, body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    read = await answer.json();
  } catch {
    throw new Refusal("The shop cannot be reached. Does the demonstration still run?");
  }
  if (!answer.ok) throw new Refusal(read.error || "The shop refuses this.");
  return read;
}

// Older browsers have passkeys and do not read or write them as JSON.

/** @param {string} text */
function toBytes(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
}

/** @param {ArrayBuffer | null | undefined} bytes */
function toText(bytes) {
  if (!bytes) return undefined;
  return btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** @param {any} options @returns {PublicKeyCredentialCreationOptions} */
function readCreation(options) {
  if (typeof PublicKeyCredential.parseCreationOptionsFromJSON === "function") return PublicKeyCredential.parseCreationOptionsFromJSON(options);
  return {
    ...options, challenge: toBytes(options.challenge), user: { ...options.user, id: toBytes(options.user.id) },
    excludeCredentials: (options.excludeCredentials ?? []).map((/** @type {any} */ c) => ({ ...c, id: toBytes(c.id) })),
  };
}

/** @param {any} options @returns {PublicKeyCredentialRequestOptions} */
function readRequest(options) {
  if (typeof PublicKeyCredential.parseRequestOptionsFromJSON === "function") return PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return { ...options, challenge: toBytes(options.challenge), allowCredentials: (options.allowCredentials ?? []).map((/** @type {any} */ c) => ({ ...c, id: toBytes(c.id) })) };
}

/** @param {any} credential */
function write(credential) {
  if (typeof credential.toJSON === "function") return credential.toJSON();
  const from = credential.response;
  /** @type {Record<string, unknown>} */
  const response = { clientDataJSON: toText(from.clientDataJSON) };
  if (from.attestationObject) {
    response.attestationObject = toText(from.attestationObject);
    response.transports = from.getTransports?.() ?? [];
  } else {
    response.authenticatorData = toText(from.authenticatorData);
    response.signature = toText(from.signature);
    response.userHandle = toText(from.userHandle);
  }
  return { id: credential.id, rawId: toText(credential.rawId), type: credential.type, response, clientExtensionResults: credential.getClientExtensionResults() };
}

/** What each of the browser's errors means to a person, by its name (WebAuthn L3 §5.1). */
const words = {
  NotAllowedError: "Nothing came of it: it was cancelled, took too long, or this key has nothing for this shop.",
  InvalidStateError: "This key is registered for this account already. Use another one.",
  SecurityError: "The browser does not let this address use passkeys.",
  NotSupportedError: "This key cannot do what the shop asks for.",
  ConstraintError: "This key cannot verify who you are, or cannot keep what the shop asks for.",
  AbortError: "The attempt was stopped.",
  UnknownError: "The key failed without saying why.",
};

/** @param {unknown} error */
function complain(error) {
  const plain = document.createElement("span");
  const parts = [plain];
  if (error instanceof Refusal) {
    message.dataset.error = "Refused";
    plain.textContent = error.message;
  } else {
    const { name, message: said } = error instanceof Error ? error : new Error(String(error));
    message.dataset.error = name;
    plain.textContent = words[/** @type {keyof typeof words} */ (name)] ?? "The browser could not use a passkey.";
    const exact = document.createElement("code");
    exact.textContent = said ? `${name}: ${said}` : name;
    parts.push(exact);
  }
  message.setAttribute("role", "alert"); // it interrupts; the good news do not
  message.replaceChildren(...parts);
}

/** @param {string} text */
function say(text) {
  delete message.dataset.error;
  message.setAttribute("role", "status");
  message.textContent = text;
}

/** @param {How | null} how */
function explain(how) {
  if (!how) return "";
  const began = { register: "You registered with a key.", add_key: "You added a key.", sign_in: "You signed in with a key." }[how.act];
  const verified = how.user_verified ? "The key checked that it is you (user verified)." : "The key did not check who holds it (user not verified).";
  const kept = how.backed_up ? "It is backed up." : how.backup_eligible ? "It can be backed up, and is not." : "It is on one device only.";
  return `${began} ${verified} ${kept}`;
}

/** @param {State} state */
function show({ name, keys, how }) {
  byId("inside").hidden = name === "";
  byId("outside").hidden = name !== "";
  byId("who").textContent = name;
  if (name !== "") nameField.value = "";
  byId("how").textContent = explain(how);
  for (const [flag, is] of Object.entries({ uv: how?.user_verified, be: how?.backup_eligible, bs: how?.backed_up })) {
    if (is === undefined) delete byId("how").dataset[flag];
    else byId("how").dataset[flag] = is ? "1" : "0";
  }
  byId("keys").textContent = name === "" ? "" : keys === 1 ? "This account has one key." : `This account has ${keys} keys.`;
}

let busy = false;

/**
 * Does one act and says what came of it.
 * @param {HTMLElement} button
 * @param {() => Promise<string>} work returns what is to be said
 */
async function run(button, work) {
  if (busy) return;
  busy = true;
  say("");
  document.body.setAttribute("aria-busy", "true");
  for (const b of buttons) b.setAttribute("aria-disabled", "true"); // they keep the focus
  try {
    say(await work());
  } catch (error) {
    // Another window may have signed in or out meanwhile.
    if (error instanceof Refusal) await ask("state").then(show, () => {});
    complain(error);
  } finally {
    busy = false;
    document.body.removeAttribute("aria-busy");
    for (const b of buttons) b.removeAttribute("aria-disabled");
    if (button.closest("[hidden]")) byId(byId("inside").hidden ? "sign-in" : "add-key").focus();
  }
}

function supported() {
  if (typeof PublicKeyCredential !== "function" || !navigator.credentials) throw new Refusal("This browser has no passkeys, or not at this address.");
}

/** @param {string} path @param {unknown} body */
async function create(path, body) {
  supported();
  const { publicKey } = await ask(path, body);
  const made = await navigator.credentials.create({ publicKey: readCreation(publicKey) });
  show(await ask("key/finish", write(made)));
}

/** @param {string} name empty for none */
async function signIn(name) {
  supported();
  const { publicKey } = await ask("sign-in/begin", { name });
  const got = await navigator.credentials.get({ publicKey: readRequest(publicKey) });
  show(await ask("sign-in/finish", write(got)));
  return "Welcome back.";
}

byId("sign-in").addEventListener("click", () => run(byId("sign-in"), () => signIn("")));

byId("named").addEventListener("submit", (event) => {
  event.preventDefault();
  const button = /** @type {HTMLElement} */ (/** @type {SubmitEvent} */ (event).submitter ?? byId("register"));
  run(button, async () => {
    const name = nameField.value.trim();
    if (name === "") {
      nameField.focus();
      throw new Refusal("Type a name first.");
    }
    if (button.id === "sign-in-name") return signIn(name);
    await create("register/begin", { name });
    return "Your account is open.";
  });
});

byId("add-key").addEventListener("click", () => run(byId("add-key"), async () => {
  await create("add-key/begin", {});
  return "The key was added.";
}));

byId("sign-out").addEventListener("click", () => run(byId("sign-out"), async () => {
  show(await ask("sign-out", {}));
  return "You are signed out.";
}));

ask("state").then(show, (error) => {
  show({ name: "", keys: 0, how: null });
  complain(error);
});
