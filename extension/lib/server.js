// @ts-check
// The conversation with Keyhold: /authenticator/v1.
import { forget, recall, remember } from './store.js'
import { proof, publicJWK } from './proof.js'

/** What the server says no with. code is its name, name that of the error for the website. */
export class Refused extends Error {
  /** @param {number} status @param {any} problem */
  constructor(status, problem) {
    super(typeof problem?.detail === 'string' ? problem.detail : 'The server refused.')
    this.status = status
    this.code = String(problem?.code ?? '')
    this.error = String(problem?.name ?? '')
    this.triesLeft = typeof problem?.tries_left === 'number' ? problem.tries_left : null
    this.pausedUntil = problem?.paused_until ? new Date(problem.paused_until) : null
    this.fields = Array.isArray(problem?.errors) ? problem.errors : []
  }
}

/** The server gave no answer that is one of its own. */
export class Unreachable extends Error {}

/**
 * Returns the address as it is kept: an origin with a path, if there is one; or throws a
 * sentence that says what is wrong with it.
 * @param {string} typed
 */
export function serverAddress(typed) {
  let url
  try {
    url = new URL(/^[a-z]+:\/\//i.test(typed) ? typed : 'https://' + typed)
  } catch {
    throw new Error('This is no address. It looks like https://keys.example.com.')
  }
  const local = url.hostname === 'localhost' || url.hostname.endsWith('.localhost')
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && local)) {
    throw new Error('The address must begin with https://, so that nobody on the way reads card numbers and PINs.')
  }
  if (url.username || url.password || url.search || url.hash) throw new Error('The address is that of Keyhold alone, like https://keys.example.com.')
  return url.origin + url.pathname.replace(/\/+$/, '')
}

/** How long an answer is waited for, in milliseconds. */
const patience = 15_000

/** One Keyhold, as this client speaks with it. */
export class Server {
  /**
   * @param {string} address
   * @param {string} token empty where there is none yet
   * @param {CryptoKeyPair} pair
   */
  constructor(address, token, pair) {
    this.address = address
    this.token = token
    this.pair = pair
  }

  /**
   * Sends a request with a proof; once more if the server names a fresh nonce.
   * @param {string} method @param {string} path @param {unknown} [body] @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  async ask(method, path, body, signal) {
    const url = this.address + '/authenticator/v1' + path
    const text = body === undefined ? '' : JSON.stringify(body)
    for (let again = true; ; again = false) {
      const headers = /** @type {Record<string, string>} */ ({
        DPoP: await proof(this.pair, { method, url, token: this.token, body: text, nonce: await recall('nonce', '') }),
      })
      if (this.token) headers.Authorization = 'Bearer ' + this.token
      if (text) headers['Content-Type'] = 'application/json'
      const { status, nonce, answer } = await this.send(url, { method, headers, body: text || undefined }, signal)
      if (nonce) await remember('nonce', nonce)
      if (status >= 200 && status < 300) return answer
      if (again && status === 401 && answer.code === 'use_dpop_nonce' && nonce) continue
      throw new Refused(status, answer)
    }
  }

  /** @param {string} url @param {RequestInit} init @param {AbortSignal} [signal] */
  async send(url, init, signal) {
    const until = AbortSignal.timeout(patience)
    try {
      const response = await fetch(url, { ...init, cache: 'no-store', credentials: 'omit', redirect: 'error', referrerPolicy: 'no-referrer', signal: signal ? AbortSignal.any([signal, until]) : until })
      const answer = await response.json()
      if (!response.ok && typeof answer?.code !== 'string') throw new Error('not an answer of Keyhold')
      return { status: response.status, nonce: response.headers.get('DPoP-Nonce'), answer }
    } catch (error) {
      signal?.throwIfAborted()
      throw new Unreachable(`Keyhold at ${this.address} gives no answer.`, { cause: error })
    }
  }

  /** @param {{ name: string, code: string }} e */
  async enrol({ name, code }) {
    await forget('nonce')
    return this.ask('POST', '/clients', { name, kind: 'extension', jwk: await publicJWK(this.pair), ...(code ? { enrolment_code: code } : {}) })
  }

  /** What the token and this client are. */
  async whoami() {
    // A proof with an old nonce makes nobody of this client, and brings no new one.
    const { nonce } = await this.ask('GET', '/nonce')
    if (nonce) await remember('nonce', nonce)
    return this.ask('GET', '/whoami')
  }
}
