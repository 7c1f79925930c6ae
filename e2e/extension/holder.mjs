// Who sits at the workstation: enrols the browser, and answers the windows of the extension
// with a card and a PIN, by the keyboard and the mouse alone.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Asks Keyhold's REST API as an administrator's program does. */
export async function rest(/** @type {string} */ method, /** @type {string} */ path, /** @type {unknown} */ body) {
  const response = await fetch(`${process.env.JUDGES_URL}/api/v1${path}`, {
    method, headers: { authorization: `Bearer ${process.env.JUDGES_ADMIN_TOKEN}`, 'content-type': 'application/json' }, body: JSON.stringify(body),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
  return text === '' ? null : JSON.parse(text)
}

/** The card of the person at the desk. */
export const badge = { number: process.env.JUDGES_CARD ?? '', pin: process.env.KEYHOLD_PIN ?? '' }
/** Another card of the same person, which has no PIN. */
export const pinless = { number: process.env.JUDGES_PINLESS_CARD ?? '', pin: '' }

/** The extension's id, which the key in its manifest fixes. */
export function idOf(/** @type {string} */ extension) {
  const { key } = JSON.parse(readFileSync(join(extension, 'manifest.json'), 'utf8'))
  const digest = createHash('sha256').update(Buffer.from(key, 'base64')).digest('hex').slice(0, 32)
  return [...digest].map((digit) => String.fromCharCode('a'.charCodeAt(0) + parseInt(digit, 16))).join('')
}

/**
 * Opens the extension's options, or takes them if they have opened by themselves, as they do
 * in a browser that is new to it.
 * @param {import('playwright-core').BrowserContext} context
 * @param {string} id
 */
async function openOptions(context, id) {
  const address = `chrome-extension://${id}/options.html`
  const theirs = () => context.pages().find((page) => page.url() === address)
  await until(async () => theirs() !== undefined, 3000).catch(() => {})
  const page = theirs() ?? await context.newPage()
  await page.goto(address)
  return page
}

/**
 * Enrols the browser in the extension's options, and has an administrator approve it.
 * @param {import('playwright-core').BrowserContext} context
 * @param {string} extension
 * @param {string} name
 * @returns {Promise<{ id: string, client: string, options: import('playwright-core').Page }>} the
 * extension's id, the client's, and the options, which stay open: from there the extension can be looked into
 */
export async function enrol(context, extension, name) {
  const id = idOf(extension)
  const page = await openOptions(context, id)
  await page.locator('body[data-state=unset]').waitFor({ timeout: 10_000 })
  await page.locator('#server').fill(process.env.JUDGES_URL ?? '')
  await page.locator('#token').fill(process.env.JUDGES_CLIENTS_TOKEN ?? '')
  await page.locator('#name').fill(name)
  await page.locator('#enrol').click()
  await page.locator('body[data-state=pending]').waitFor({ timeout: 10_000 })
  const client = (await rest('GET', '/clients?state=pending')).data.find((/** @type {any} */ one) => one.name === name)
  await rest('POST', `/clients/${client.id}/approve`)
  await rest('PATCH', `/clients/${client.id}`, { pinless_allowed: true })
  await page.locator('#check').click()
  await page.locator('body[data-state=ready]').waitFor({ timeout: 10_000 })
  return { id, client: client.id, options: page }
}

/** Waits until it holds. */
export async function until(/** @type {() => Promise<boolean>} */ holds, patience = 10_000) {
  const end = Date.now() + patience
  while (!await holds()) {
    if (Date.now() > end) throw new Error('it did not come to hold')
    await new Promise((resolve) => { setTimeout(resolve, 20) })
  }
}

/** Whether a page is the window of a request. */
const isPrompt = (/** @type {import('playwright-core').Page} */ page) => /^chrome-extension:\/\/[a-z]+\/prompt\.html\?/.test(page.url())

/** The window of one request, as the person sees it. */
export class Prompt {
  /** @param {import('playwright-core').Page} page */
  constructor(page) {
    this.page = page
  }

  /** Waits until the window is at one of these steps, and says at which; 'closed' is one too. */
  async at(/** @type {string[]} */ ...steps) {
    const step = async () => (this.page.isClosed() ? 'closed' : await this.page.locator('body').getAttribute('data-step', { timeout: 1000 }).catch(() => 'going'))
    let now = await step()
    await until(async () => steps.includes(now = await step() ?? 'unknown')).catch(async () => {
      throw new Error(`the window is ${now}, not ${steps.join(' or ')}: ${await this.message().catch(() => 'it says nothing')}`)
    })
    return now ?? ''
  }

  /** Taps a card, as a reader does: it types the number and Enter. */
  async tap(number = badge.number) {
    await this.at('tap')
    await this.page.locator('#card').focus()
    await this.page.keyboard.type(number)
    await this.page.keyboard.press('Enter')
  }

  /** Types a PIN. */
  async pin(pin = badge.pin) {
    await this.at('pin')
    await this.page.locator('#pin').fill(pin)
    await this.page.locator('#go').click()
  }

  /** Taps and types, and waits for the window to go. */
  async answer({ number, pin } = badge) {
    await this.tap(number)
    if (pin) await this.pin(pin)
    else {
      await this.at('consent')
      await this.page.locator('#go').click()
    }
    await this.at('closed')
  }

  message() {
    return this.page.locator('#message').innerText({ timeout: 1000 })
  }

  site() {
    return this.page.locator('#site').innerText()
  }

  /** Presses Cancel, with which the window goes. */
  async cancel() {
    await this.page.locator('#cancel').click().catch((error) => { if (!this.page.isClosed()) throw error })
  }
}

/**
 * Waits for the next window that the extension opens while something is done. A window may be
 * told of before it has its address.
 * @param {import('playwright-core').BrowserContext} context
 * @param {() => Promise<unknown>} doing
 */
export async function prompted(context, doing) {
  const before = context.pages()
  await doing()
  /** @type {import('playwright-core').Page | undefined} */
  let opened
  await until(async () => (opened = context.pages().find((page) => isPrompt(page) && !before.includes(page))) !== undefined)
  await opened?.waitForLoadState('domcontentloaded').catch(() => {})
  return new Prompt(/** @type {import('playwright-core').Page} */ (opened))
}

/** Returns the windows that are open. */
export const prompts = (/** @type {import('playwright-core').BrowserContext} */ context) => context.pages().filter(isPrompt).map((page) => new Prompt(page))

/**
 * Answers every window that opens, as somebody does who says yes to all: card, PIN, the first
 * account. What the window says when it does not go on is kept in said.
 * @param {import('playwright-core').BrowserContext} context
 */
export function sayYes(context) {
  /** @type {string[]} */
  const said = []
  const answer = async (/** @type {import('playwright-core').Page} */ page) => {
    await page.waitForLoadState('domcontentloaded')
    if (!isPrompt(page)) return
    const prompt = new Prompt(page)
    let tapped = false
    for (;;) {
      const step = await prompt.at('tap', 'pin', 'consent', 'choose', 'failed', 'closed')
      if (step === 'closed') return
      if (step === 'failed' || (step === 'tap' && tapped)) {
        said.push(await prompt.message())
        return prompt.cancel()
      }
      if (step === 'tap') { // all at once: this is not about how a reader types
        await page.locator('#card').fill(badge.number)
        await page.locator('#card').press('Enter')
      }
      else if (step === 'pin') await prompt.pin()
      else if (step === 'choose') await page.locator('#accounts button').first().click()
      else await page.locator('#go').click()
      tapped = true
      await page.locator(`body:not([data-step=${step}])`).waitFor({ timeout: 15_000 })
    }
  }
  const listener = (/** @type {import('playwright-core').Page} */ page) => {
    // A window that goes away at any step was withdrawn by the website.
    answer(page).catch((error) => { if (!page.isClosed()) said.push(String(error)) })
  }
  context.on('page', listener)
  return { said, stop: () => context.off('page', listener) }
}
