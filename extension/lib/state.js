// @ts-check
// Whether the extension answers for security keys in this browser, and why not. One place
// decides (settle), whatever happened; icon, popup and options page show what it decided.
import { allRequests, dropRequest, enrolment, findKeys, forget, keepEnrolment, keepKeys, makeKeys, policy, recall, remember } from './store.js'
import { Refused, Server, Unreachable } from './server.js'

/**
 * unset: not enrolled. pending: waits for an administrator. revoked: was withdrawn. held:
 * another extension answers. away: the page in front is Keyhold's own. aside: the person wants
 * another key for a minute. unreachable: attached, but the server gave no answer. ready.
 * @typedef {'unset' | 'pending' | 'revoked' | 'held' | 'away' | 'aside' | 'unreachable' | 'ready'} State
 */

/** What people read of each state. */
export const titles = /** @type {Record<State, string>} */ ({
  unset: 'This browser is not enrolled at Keyhold.',
  pending: 'Waiting: an administrator must approve this workstation in Keyhold.',
  revoked: 'This workstation was revoked in Keyhold. Enrol it again.',
  held: 'Another extension answers for security keys in this browser. Remove or disable it.',
  away: 'Keyhold is open in front: its own passkeys reach the browser.',
  aside: 'Stepped aside for a minute: websites reach the other security keys of this browser.',
  unreachable: 'The Keyhold server gives no answer.',
  ready: 'Ready: tap a badge when a website asks for a passkey.',
})

/** How long "Use another key" lasts, in milliseconds. */
const asideFor = 60_000

/**
 * Returns the host's origin of an address, empty for none.
 * @param {string | undefined} url
 */
export function originOf(url) {
  try {
    return new URL(url ?? '').origin
  } catch {
    return ''
  }
}

/** @returns {Promise<State>} */
export const state = () => recall('state', 'unset')

/** Only one settle runs at a time, in the worker; whoever asks meanwhile has it run once more. */
let running = /** @type {Promise<void> | null} */ (null)
let again = false

/** Decides anew, and makes it so. Pages have the worker do it: two at once would undo each other. */
export async function settle() {
  if (typeof document === 'object') return void await chrome.runtime.sendMessage({ act: 'settle' })
  again = true
  running ??= (async () => {
    try {
      while (again) {
        again = false
        await decide()
      }
    } finally {
      running = null
    }
  })()
  return running
}

async function decide() {
  const wanted = await want()
  const attached = await recall('attached', false)
  const attaches = wanted === 'ready' || wanted === 'unreachable'
  /** @type {State} */
  let now = wanted
  if (attaches) {
    // Whoever is attached may attach again; it fails while another extension is.
    const problem = await chrome.webAuthenticationProxy.attach().then((said) => said, (error) => String(error))
    await remember('attached', !problem)
    if (problem) now = 'held'
  } else if (attached) {
    // It ends what was under way, and the websites hear that. A window that says what is wrong
    // with this workstation stays for its reader.
    await chrome.webAuthenticationProxy.detach().catch(() => { /* the browser ended it already */ })
    for (const { id } of await allRequests()) {
      const r = await dropRequest(id)
      if (r?.window && (wanted === 'away' || wanted === 'aside')) await chrome.windows.remove(r.window).catch(() => { /* it is closed already */ })
    }
    await remember('attached', false)
  }
  await remember('state', now)
  await show(now)
}

/** @returns {Promise<State>} */
async function want() {
  const enrolled = await enrolment()
  if (!enrolled?.client) return 'unset'
  if (enrolled.client.state !== 'approved') return enrolled.client.state
  if (await recall('away', false)) return 'away'
  if (Date.now() < await recall('aside', 0)) return 'aside'
  return await recall('unreachable', false) ? 'unreachable' : 'ready'
}

/** @param {State} now */
async function show(now) {
  const waiting = (await allRequests()).filter((r) => r.window === 0)
  const icon = now === 'ready' || now === 'unreachable' ? 'on' : 'off'
  await chrome.action.setIcon({ path: { 16: `icons/${icon}-16.png`, 32: `icons/${icon}-32.png` } })
  const text = waiting.length > 0 ? String(waiting.length) : { pending: '…', revoked: '!', held: '!', unreachable: '!' }[/** @type {string} */ (now)] ?? ''
  await chrome.action.setBadgeText({ text })
  await chrome.action.setBadgeBackgroundColor({ color: waiting.length > 0 ? '#1f4fd6' : '#a3341f' })
  await chrome.action.setTitle({ title: waiting.length > 0 ? `Keyhold: ${new URL(waiting[0].origin).host} asks for a security key. Click to go on.` : 'Keyhold: ' + titles[now] })
}

/** Steps aside for a minute, so that the page's next try reaches another key. */
export async function stepAside() {
  await remember('aside', Date.now() + asideFor)
  await chrome.alarms.create('aside', { when: Date.now() + asideFor })
  await settle()
}

/** Ends what stepAside began. */
export async function stepBack() {
  await forget('aside')
  await settle()
}

/** Looks which page is in front: at Keyhold's own the extension steps aside. */
export async function lookAround() {
  const server = originOf((await enrolment())?.server)
  const window = await chrome.windows.getLastFocused({ windowTypes: ['normal'] }).catch(() => null)
  const tab = window?.id === undefined ? undefined : (await chrome.tabs.query({ active: true, windowId: window.id }))[0]
  const away = server !== '' && originOf(tab?.pendingUrl || tab?.url) === server
  if (away !== await recall('away', false)) {
    await remember('away', away)
    await settle()
  }
}

/** Notes whether the server answered. @param {boolean} answered */
export async function noteAnswer(answered) {
  if (answered === !await recall('unreachable', false)) return
  await remember('unreachable', !answered)
  await settle()
}

/**
 * Returns the server as this client speaks with it; null where it is not enrolled.
 * @returns {Promise<Server | null>}
 */
export async function server() {
  const e = await enrolment()
  const pair = e && await findKeys()
  return e && pair ? new Server(e.server, e.token, pair) : null
}

/** Asks the server what this client is, and settles. Errors stay inside. */
export async function ask() {
  const e = await enrolment()
  const s = await server()
  if (!e || !s) return
  try {
    const me = await s.whoami()
    await keepEnrolment({ ...e, client: me.client ? { id: me.client.id, name: me.client.name, state: me.client.state } : null })
    await noteAnswer(true)
  } catch (error) {
    if (error instanceof Unreachable) await noteAnswer(false)
    // The token was disabled, expired or deleted: as good as revoked.
    if (error instanceof Refused && error.status === 401 && e.client) await keepEnrolment({ ...e, client: { ...e.client, state: 'revoked' } })
  }
  await settle()
}

/**
 * Enrols this profile with a fresh key pair, in the place of what it was enrolled as. If that
 * is refused, it stays what it was.
 * @param {{ server: string, token: string, code: string, name: string }} with_
 */
export async function enrol(with_) {
  const pair = await makeKeys()
  const client = await new Server(with_.server, with_.token, pair).enrol({ name: with_.name, code: with_.code })
  await keepKeys(pair)
  await keepEnrolment({ server: with_.server, token: client.token ?? with_.token, client: { id: client.id, name: client.name, state: client.state } })
  await remember('unreachable', false)
  await lookAround()
  await settle()
}

/** How long a refused enrolment by policy is not tried again, in milliseconds: it doubles from the first to the last. */
const firstRest = 60_000
const lastRest = 6 * 60 * 60_000

/**
 * Enrols by the organisation's policy, once: who was revoked stays so. A token that changed in
 * the policy is taken over. Errors stay inside: it is tried again, less and less often, since a
 * whole organisation may have a code that is over.
 */
export async function enrolByPolicy() {
  const p = await policy()
  const e = await enrolment()
  if (!p.server || !(p.token || p.code)) return
  if (e && e.server === p.server) {
    if (p.token && e.token !== p.token) {
      await keepEnrolment({ ...e, token: p.token })
      await ask()
    }
    return
  }
  const { next, rest } = await recall('policy', { next: 0, rest: firstRest })
  if (Date.now() < next) return
  try {
    await enrol({ ...p, name: p.name || madeUpName() })
    await forget('policy')
  } catch (error) {
    await remember('policy', { next: Date.now() + rest, rest: Math.min(2 * rest, lastRest) })
    console.warn('Keyhold: enrolling by policy:', error instanceof Error ? error.message : error)
  }
}

/** A name for a workstation that was given none. */
export function madeUpName() {
  const letters = 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789'
  const random = Array.from(crypto.getRandomValues(new Uint8Array(6)), (b) => letters[b % letters.length]).join('')
  return 'Browser ' + random
}
