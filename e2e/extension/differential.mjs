// The differential run: puts every shape of a request to Chromium's own virtual
// authenticator, in a browser without the extension, and to the extension with a card at
// a real server, and fails if they differ in a way that differences.mjs does not argue,
// or no longer differ in a way that it does. `--write` renders docs/extension-differences.md
// from it; `--show` prints what was seen.
import { readFile, writeFile } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import { ask } from './asking.mjs'
import { startBrowser } from './browser.mjs'
import { comparable } from './comparable.mjs'
import { account, shapes } from './shapes.mjs'
import { openSites } from './site.mjs'

/** What nobody answers is given up after so long. */
const patience = 3000

/** @returns {import('./shapes.mjs').Place} */
function placeOf(/** @type {number} */ n) {
  const rpID = `s${n}.example`
  return { rpID, page: `https://www.${rpID}/`, known: [] }
}

/**
 * Puts one shape to whoever answers in that page.
 * @param {import('playwright-core').Page} page
 * @param {import('./shapes.mjs').Shape} shape
 * @param {import('./shapes.mjs').Place} place
 */
async function put(page, shape, place) {
  for (let n = 0; n < (shape.accounts ?? 0); n++) {
    await page.goto(place.page)
    const made = await ask(page, { call: 'create', options: account(place, n) })
    if (!made.answer) throw new Error(`${shape.name}: account ${n} was not made: ${JSON.stringify(made)}`)
    place.known.push(made.answer.id)
  }
  await page.goto(shape.at?.(place) ?? place.page)
  const at = shape.frame ? page.frame('held') : page
  if (!at) throw new Error(`${shape.name}: there is no frame`)
  await at.waitForLoadState()
  const { call, mediation, abort } = shape
  const wanted = { call, mediation, abort, ...(shape.options && { options: JSON.parse(JSON.stringify(shape.options(place))) }) }
  const other = shape.unfocused && await page.context().newPage()
  await other?.bringToFront()
  const outcome = await ask(at, wanted, { press: other ? false : shape.press, patience })
  await other?.close()
  return comparable(outcome, place)
}

/**
 * Puts all shapes, each in a page of its own that was made ready.
 * @param {import('playwright-core').BrowserContext} context
 * @param {(page: import('playwright-core').Page) => Promise<() => Promise<void>>} ready
 */
async function putAll(context, ready, only = '') {
  /** @type {Map<string, Record<string, string>>} */
  const seen = new Map()
  for (const [n, shape] of shapes.entries()) {
    if (!shape.name.includes(only)) continue
    const page = await context.newPage()
    const done = await ready(page)
    seen.set(shape.name, await put(page, shape, placeOf(n)))
    await done()
    await page.close()
  }
  return seen
}

/** Chromium's own: a security key that verifies its holder by itself, and is touched at once. */
async function virtualKey(/** @type {import('playwright-core').Page} */ page) {
  const cdp = await page.context().newCDPSession(page)
  await cdp.send('WebAuthn.enable')
  await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2', ctap2Version: 'ctap2_1', transport: 'usb', hasResidentKey: true, hasUserVerification: true, hasPrf: true,
      isUserVerified: true, automaticPresenceSimulation: true,
    },
  })
  return async () => {}
}

const only = process.argv.find((argument) => argument.startsWith('--only='))?.slice(7)
const sites = await openSites()
const browser = await startBrowser(sites)
const reference = await putAll(browser.context, virtualKey, only)
await browser.close()
await sites.close()
for (const [name, got] of reference) console.log(name, JSON.stringify(got))
