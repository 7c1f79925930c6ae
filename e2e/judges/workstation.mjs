// The workstation of a desk: what stands between a website and the card.
import { execFile } from 'node:child_process'
import { createHash, createPrivateKey, createPublicKey, randomUUID, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'

const { KEYHOLD_AGENT, KEYHOLD_AGENT_STATE, JUDGES_CARD, JUDGES_PINLESS_CARD } = process.env

export const card = JUDGES_CARD
export const pinlessCard = JUDGES_PINLESS_CARD

/**
 * What keyhold-agent ended with.
 * @typedef {{ code: number, answer: any, errors: string }} Ended
 */

/**
 * Runs `keyhold-agent tap`, with the options as a website's page gives them.
 * @param {'register' | 'sign-in'} what
 * @param {string} origin
 * @param {object} options
 * @param {{ number?: string, pin?: string, account?: string, topOrigin?: string }} [how]
 * @returns {Promise<Ended>}
 */
export function tap(what, origin, options, { number = card, pin, account, topOrigin } = {}) {
  const args = ['tap', what, '--card', number, '--origin', origin, '--options', '-']
  if (account) args.push(`--account=${account}`) // an id may begin with a dash
  if (topOrigin) args.push('--top-origin', topOrigin)
  const env = pin === undefined ? process.env : { ...process.env, KEYHOLD_PIN: pin }
  return new Promise((resolve, reject) => {
    const child = execFile(KEYHOLD_AGENT, args, { env }, (error, out, errors) => {
      if (error && typeof error.code !== 'number') return reject(error)
      resolve({ code: error ? Number(error.code) : 0, answer: out === '' ? null : JSON.parse(out), errors })
    })
    child.stdin.end(JSON.stringify(options))
  })
}

/**
 * Returns what keyhold-agent answers the website, and throws what it says if it refuses.
 * @param {Parameters<typeof tap>} ask
 */
export async function answer(...ask) {
  const ended = await tap(...ask)
  if (ended.code !== 0) throw new Error(`keyhold-agent ended with ${ended.code}: ${ended.errors}`)
  return ended.answer
}

const digest = (/** @type {string} */ text) => createHash('sha256').update(text).digest('base64url')

/** Writes what options hold as RFC 8785 does: members by name, no spaces. */
function canonical(/** @type {any} */ value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join()}}`
}

/** Returns what a tap is bound to. */
export const optionsHash = (/** @type {object} */ options) => digest(canonical(JSON.parse(JSON.stringify(options))))

/** A client with the agent's key that asks for what it likes. */
export class Client {
  #state = JSON.parse(readFileSync(KEYHOLD_AGENT_STATE, 'utf8'))
  #key = createPrivateKey({ key: Buffer.from(this.#state.key, 'base64'), format: 'der', type: 'pkcs8' })

  /** Makes a request with a proof (RFC 9449) of its own, or with the one that is given. */
  async post(path, body, proof) {
    const text = JSON.stringify(body)
    const response = await fetch(`${this.#state.server}/authenticator/v1${path}`, {
      method: 'POST', body: text,
      headers: { authorization: `Bearer ${this.#state.token}`, 'content-type': 'application/json', dpop: proof ?? await this.proof(path, text) },
    })
    return { status: response.status, body: await response.json() }
  }

  /** Returns a proof for one request. */
  async proof(path, text) {
    const url = `${this.#state.server}/authenticator/v1`
    const { nonce } = await (await fetch(`${url}/nonce`, { headers: { authorization: `Bearer ${this.#state.token}` } })).json()
    const { kty, crv, x, y } = createPublicKey(this.#key).export({ format: 'jwk' })
    const parts = [
      { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } },
      { htm: 'POST', htu: url + path, iat: Math.floor(Date.now() / 1000), jti: randomUUID(), nonce, ath: digest(this.#state.token), bsh: digest(text) },
    ].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
    return `${parts}.${sign('sha256', Buffer.from(parts), { key: this.#key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
}

/** Returns base64url text with one bit of one of its bytes turned. */
export function turned(/** @type {string} */ text, at = -1) {
  const bytes = Buffer.from(text, 'base64url')
  const i = at < 0 ? bytes.length + at : at
  bytes[i] ^= 1
  return bytes.toString('base64url')
}
