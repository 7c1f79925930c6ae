// @ts-check
// What the extension keeps. Settings and what the server said of this client lie in the
// profile's storage, requests under way in the session's. The key pair lies in IndexedDB: its
// private half cannot be exported, not even by the extension itself.

/**
 * @typedef {{ id: string, name: string, state: 'pending' | 'approved' | 'revoked' }} Client
 * @typedef {{ server: string, token: string, client: Client | null }} Enrolment
 * @typedef {{ server: string, token: string, code: string, name: string }} Policy
 * @typedef {{ id: number, kind: 'create' | 'get', options: any, origin: string, cross: boolean, until: number, window: number, tab: number, document: string, top: string }} Request
 */

/**
 * Returns what the organisation's policy says, with empty strings for what it leaves open.
 * @returns {Promise<Policy>}
 */
export async function policy() {
  /** @type {Record<string, unknown>} */
  let set = {}
  try {
    set = await chrome.storage.managed.get(null)
  } catch { /* there is no policy for this extension */ }
  const text = (/** @type {string} */ name) => typeof set[name] === 'string' ? /** @type {string} */ (set[name]).trim() : ''
  return { server: text('server'), token: text('token'), code: text('enrolment_code'), name: text('name') }
}

/**
 * Returns what this profile was enrolled with; null if it was not.
 * @returns {Promise<Enrolment | null>}
 */
export async function enrolment() {
  const { enrolment } = await chrome.storage.local.get('enrolment')
  return /** @type {Enrolment | undefined} */ (enrolment) ?? null
}

/** @param {Enrolment | null} e */
export async function keepEnrolment(e) {
  if (e) await chrome.storage.local.set({ enrolment: e })
  else await chrome.storage.local.remove('enrolment')
}

/**
 * Reads and changes values of the session, which ends with the browser.
 * @template T
 * @param {string} name
 * @param {T} otherwise
 * @returns {Promise<T>}
 */
export async function recall(name, otherwise) {
  const all = await chrome.storage.session.get(name)
  return /** @type {T | undefined} */ (all[name]) ?? otherwise
}

/** @param {string} name @param {unknown} value */
export async function remember(name, value) {
  await chrome.storage.session.set({ [name]: value })
}

/** @param {string} name */
export async function forget(name) {
  await chrome.storage.session.remove(name)
}

/** @param {number} id */
const requestName = (id) => `request:${id}`

/** @param {number} id @returns {Promise<Request | null>} */
export const findRequest = (id) => recall(requestName(id), null)

/** @param {Request} r */
export const keepRequest = (r) => remember(requestName(r.id), r)

/** One change of requests at a time: what somebody reads there nobody drops before it is written. */
const alone = (/** @type {() => Promise<Request | null>} */ change) => navigator.locks.request('requests', change)

/**
 * Notes the window of a request, and returns the request; null if it was dropped meanwhile.
 * @param {number} id @param {number} window
 */
export const placeRequest = (id, window) => alone(async () => {
  const r = await findRequest(id)
  if (!r) return null
  await keepRequest({ ...r, window })
  return { ...r, window }
})

/**
 * Drops a request, and returns what it was; null to all but the first who drops it.
 * @param {number} id
 */
export const dropRequest = (id) => alone(async () => {
  const r = await findRequest(id)
  await forget(requestName(id))
  return r
})

/** @returns {Promise<Request[]>} */
export async function allRequests() {
  const all = await chrome.storage.session.get(null)
  return Object.entries(all).filter(([name]) => name.startsWith('request:')).map(([, r]) => /** @type {Request} */ (r))
}

const database = 'keyhold'
const keys = 'keys'

/**
 * Runs one request of IndexedDB in a transaction of its own.
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest} ask
 * @returns {Promise<any>}
 */
function inKeys(mode, ask) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(database, 1)
    opening.onupgradeneeded = () => opening.result.createObjectStore(keys)
    opening.onerror = () => reject(opening.error)
    opening.onsuccess = () => {
      const t = opening.result.transaction(keys, mode)
      const request = ask(t.objectStore(keys))
      t.oncomplete = () => { opening.result.close(); resolve(request.result) }
      t.onerror = t.onabort = () => { opening.result.close(); reject(t.error) }
    }
  })
}

/** @returns {Promise<CryptoKeyPair | null>} */
export const findKeys = async () => await inKeys('readonly', (s) => s.get('client')) ?? null

/** @returns {Promise<CryptoKeyPair>} */
export const makeKeys = () => crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify'])

/**
 * Keeps the key pair that was enrolled, in the place of the one before.
 * @param {CryptoKeyPair} pair
 */
export const keepKeys = (pair) => inKeys('readwrite', (s) => s.put(pair, 'client'))
