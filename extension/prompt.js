// @ts-check
// The window of one request: the badge, the person's consent to the website that the browser
// names, the PIN, the account. It speaks with the server itself, and hands the answer to the
// browser. Card number and PIN live in this page alone, as long as it is open.
import { findRequest } from './lib/store.js'
import { noteAnswer, server, stepAside } from './lib/state.js'
import { optionsHash } from './lib/proof.js'
import { Refused, Unreachable } from './lib/server.js'
import { watchWedge } from './lib/wedge.js'
import { explain } from './lib/words.js'

/** @typedef {'tap' | 'pin' | 'new' | 'consent' | 'choose' | 'working' | 'failed'} Step */

/** @template {HTMLElement} T @param {string} id @returns {T} */
const part = (id) => /** @type {T} */ (document.getElementById(id))
const card = /** @type {HTMLInputElement} */ (part('card'))
const pin = /** @type {HTMLInputElement} */ (part('pin'))
const fresh = /** @type {HTMLInputElement} */ (part('new'))
const freshAgain = /** @type {HTMLInputElement} */ (part('new-again'))
const go = /** @type {HTMLButtonElement} */ (part('go'))

const proxy = chrome.webAuthenticationProxy
const id = Number(new URLSearchParams(location.search).get('request'))

/** What the person has given so far. */
let held = { number: '', source: 'typed', tap: '', uv: '', account: '' }
/** @type {import('./lib/store.js').Request} */
let request
/** What the website gets if the person ends it now. */
let verdict = { name: 'NotAllowedError', message: 'It was cancelled at the workstation.' }
let repeat = () => {}

/** @param {Step} step */
function show(step) {
  document.body.dataset.step = step
  for (const element of document.querySelectorAll('.step')) {
    if (element instanceof HTMLElement) element.hidden = element.dataset.for !== step
  }
  const create = request?.kind === 'create'
  go.hidden = !['pin', 'new', 'consent'].includes(step)
  go.textContent = step === 'new' ? 'Change the PIN' : create ? 'Register' : 'Sign in'
  go.setAttribute('form', `${step}-form`)
  part('retry').hidden = step !== 'failed'
  part('cancel').textContent = step === 'failed' && verdict.name !== 'NotAllowedError' ? 'Close' : 'Cancel'
  const first = { tap: card, pin, new: fresh, consent: go, choose: document.querySelector('#accounts button'), failed: part('retry') }[/** @type {string} */ (step)]
  if (first instanceof HTMLElement) first.focus()
}

/** @param {string} text */
function say(text) {
  const message = part('message')
  message.textContent = text
  message.hidden = text === ''
}

/**
 * Runs a step of the conversation; what goes wrong is said, and where it goes on.
 * @param {'tap' | 'pin' | 'new'} at
 * @param {() => Promise<void>} work
 */
async function attempt(at, work) {
  say('')
  show('working')
  try {
    await work()
  } catch (error) {
    if (!(error instanceof Refused) && !(error instanceof Unreachable)) console.error('Keyhold:', error)
    if (error instanceof Unreachable) await noteAnswer(false)
    // Whatever is wrong with this workstation shows in the icon from now on.
    if (error instanceof Refused && (error.status === 401 || error.code.startsWith('client_'))) chrome.runtime.sendMessage({ act: 'ask' }).catch(() => { /* it asks by itself later */ })
    const word = explain(error, at, request.kind)
    if (word.to === 'change') return show('new')
    say(word.text)
    if (error instanceof Refused && error.error) verdict = { name: error.error, message: word.text }
    else verdict = { name: 'NotAllowedError', message: 'It was cancelled at the workstation.' }
    if (word.to === 'tap') {
      // No other answer is known for this badge; another one may have it.
      verdict = { name: 'NotAllowedError', message: 'It was cancelled at the workstation.' }
      begin()
    } else if (word.to === 'over') {
      part('retry').textContent = 'Tap again'
      await answer({ error: verdict })
      show('failed')
      part('retry').hidden = true
      part('cancel').textContent = 'Close'
      part('cancel').focus()
    } else if (word.to === 'again') {
      repeat = () => attempt(at, work)
      part('retry').textContent = 'Try again'
      show('failed')
    } else {
      // The present PIN stays where a new one was not good enough: it is needed once more.
      for (const input of word.to === 'pin' ? [pin] : [fresh, freshAgain]) input.value = ''
      show(word.to)
    }
  }
}

/** Waits for a badge. */
function begin() {
  held = { number: '', source: 'typed', tap: '', uv: '', account: '' }
  card.value = pin.value = fresh.value = freshAgain.value = ''
  show('tap')
}

/** @param {string} operation */
async function tapped(operation) {
  const s = await connection()
  const about = operation === 'pin_change' ? {} : { origin: request.origin, cross_origin: request.cross, ...(request.cross ? { top_origin: request.top } : {}), rp_id: wantedRPID(), options_hash: await optionsHash(request.options) }
  const answer = await s.ask('POST', '/taps', { card: { type: 'uid', number: held.number, source: held.source }, operation, ...about })
  await noteAnswer(true)
  return { ...answer, s }
}

function wantedRPID() {
  const wanted = request.kind === 'create' ? request.options.rp?.id : request.options.rpId
  return typeof wanted === 'string' ? wanted : ''
}

async function connection() {
  const s = await server()
  if (!s) throw new Refused(403, { code: 'client_unknown' })
  return s
}

const wedge = watchWedge(card)

part('card-form').addEventListener('submit', (event) => {
  event.preventDefault()
  if (card.value.trim() === '') return
  held.number = card.value.trim()
  held.source = wedge.source()
  card.value = ''
  attempt('tap', async () => {
    const t = await tapped(request.kind)
    held.tap = t.tap
    if (t.needs === 'pin') show('pin')
    else if (t.needs === 'none') askConsent()
    else throw new Error('an unknown need: ' + t.needs)
  })
})

/** Some readers send Enter twice: what comes this soon after the tap is no press of a person, in milliseconds. */
const tooSoon = 600

/** Asks for the press that agrees, where no PIN does. */
function askConsent() {
  go.disabled = true
  show('consent')
  setTimeout(() => {
    go.disabled = false
    go.focus()
  }, tooSoon)
}

part('consent-form').addEventListener('submit', (event) => {
  event.preventDefault()
  if (!go.disabled) attempt('tap', sign)
})

part('pin-form').addEventListener('submit', (event) => {
  event.preventDefault()
  if (pin.value === '') return
  attempt('pin', () => verify(pin.value))
})

/** @param {string} typed */
async function verify(typed) {
  const s = await connection()
  if (held.tap === '') held.tap = (await tapped(request.kind)).tap
  const { uv_token } = await s.ask('POST', `/taps/${held.tap}/verify`, { pin: typed })
  held.uv = uv_token
  pin.value = ''
  await sign()
}

part('new-form').addEventListener('submit', (event) => {
  event.preventDefault()
  if (fresh.value === '') return
  if (fresh.value !== freshAgain.value) {
    say('The two new PINs are not the same.')
    freshAgain.value = ''
    return freshAgain.focus()
  }
  attempt('new', async () => {
    const t = await tapped('pin_change')
    await t.s.ask('POST', '/pin/change', { tap: t.tap, old: pin.value, new: fresh.value })
    const next = fresh.value
    fresh.value = freshAgain.value = ''
    held.tap = '' // the change made void what was tapped before
    await verify(next)
  })
})

/** Has the server sign, and gives the answer to the browser. */
async function sign() {
  const s = await connection()
  const path = request.kind === 'create' ? '/make-credential' : '/get-assertion'
  const made = await s.ask('POST', path, {
    tap: held.tap,
    ...(held.uv ? { uv_token: held.uv } : {}),
    options: request.options,
    ...(held.account ? { credential_id: held.account } : {}),
  })
  if (made.choose) return choose(made.choose)
  await answer({ responseJson: JSON.stringify(made) })
  window.close()
}

/** @param {{ credential_id: string, user_name: string, display_name: string, last_used_at: string | null }[]} all */
function choose(all) {
  part('accounts').replaceChildren(...all.map((a) => {
    const item = document.createElement('li')
    const button = document.createElement('button')
    button.dataset.credential = a.credential_id
    const name = document.createElement('b')
    name.textContent = a.display_name || a.user_name || 'An account without a name'
    const more = document.createElement('span')
    more.textContent = [a.display_name && a.display_name !== a.user_name ? a.user_name : '', a.last_used_at ? 'last used ' + new Date(a.last_used_at).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' }) : 'not used yet'].filter(Boolean).join(', ')
    button.append(name, more)
    button.addEventListener('click', () => {
      held.account = a.credential_id
      attempt('tap', sign)
    })
    item.append(button)
    return item
  }))
  show('choose')
}

let answered = false

/**
 * Hands the answer to the browser, once.
 * @param {{ responseJson?: string, error?: { name: string, message: string } }} a
 */
async function answer(a) {
  if (answered) return
  answered = true
  const details = { requestId: request.id, ...a }
  await (request.kind === 'create' ? proxy.completeCreateRequest(details) : proxy.completeGetRequest(details)).catch(() => { /* the page has gone meanwhile */ })
}

part('cancel').addEventListener('click', async () => {
  await answer({ error: verdict })
  window.close()
})

part('another').addEventListener('click', async () => {
  await answer({ error: { name: 'NotAllowedError', message: 'Another key was wanted: ask again.' } })
  await stepAside()
  window.close()
})

part('retry').addEventListener('click', () => { repeat() })

// Whatever a reader types belongs to the badge's field, wherever the focus was lost to.
document.addEventListener('keydown', (event) => {
  if (document.body.dataset.step === 'tap' && document.activeElement === document.body && event.key.length === 1) card.focus()
  if (event.key === 'Escape') part('cancel').click()
})

async function open() {
  const found = await findRequest(id)
  if (!found) return window.close()
  request = found
  const url = new URL(request.origin)
  part('purpose').textContent = request.kind === 'create' ? 'Register a passkey at' : 'Sign in to'
  part('site').textContent = wantedRPID() || url.hostname
  part('origin').textContent = request.origin
  part('inside').hidden = !request.cross
  document.title = `Keyhold: ${url.host}`
  begin()
}
await open()
