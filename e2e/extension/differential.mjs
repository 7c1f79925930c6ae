// The differential run: puts every shape of a request to Chromium's own virtual
// authenticator, in a browser without the extension, and to the extension with a card at
// a real server, and fails if they differ in a way that differences.mjs does not argue,
// or no longer differ in a way that it does. `--write` renders docs/extension-differences.md
// from it; `--show` prints what was seen.
import { readFile, writeFile } from 'node:fs/promises'
import { ask, outcome } from './asking.mjs'
import { extension, startBrowser } from './browser.mjs'
import { comparable } from './comparable.mjs'
import { accepted } from './differences.mjs'
import { enrol, prompts, sayYes } from './holder.mjs'
import { account, shapes } from './shapes.mjs'
import { openSites } from './site.mjs'

/** What nobody answers is given up after so long, in milliseconds. */
const patience = 10_000

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
 * @param {() => Promise<unknown>} [then] is run when the accounts are made
 */
async function put(page, shape, place, then) {
  for (let n = 0; n < (shape.accounts ?? 0); n++) {
    await page.goto(place.page)
    const made = await ask(page, { call: 'create', options: account(place, n) })
    if (!made.answer) throw new Error(`${shape.name}: account ${n} was not made: ${JSON.stringify(made)}`)
    place.known.push(made.answer.id)
  }
  await then?.()
  const { call, mediation, abort } = shape
  const wanted = { call, mediation, abort, ...(shape.options && { options: JSON.parse(JSON.stringify(shape.options(place))) }) }
  // The page of a request that nobody presses asks while it loads.
  const page_ = shape.press === false ? { ...place, page: `${place.page}#${encodeURIComponent(JSON.stringify(wanted))}` } : place
  await page.goto(shape.at?.(page_) ?? page_.page)
  const at = shape.frame ? page.frame('held') : page
  if (!at) throw new Error(`${shape.name}: there is no frame`)
  await at.waitForLoadState()
  const other = shape.unfocused && await page.context().newPage()
  await other?.bringToFront()
  const got = shape.press === false ? await outcome(at, shape.patience ?? patience) : await ask(at, wanted, { press: !other, patience: shape.patience ?? patience })
  await other?.close()
  return comparable(got, place)
}

/**
 * Puts all shapes, one after the other: Chromium gives no credential to a page that is not in front.
 * @param {import('playwright-core').BrowserContext} context
 * @param {(page: import('playwright-core').Page, shape: import('./shapes.mjs').Shape, place: import('./shapes.mjs').Place) => Promise<Record<string, string>>} one
 */
async function putAll(context, one) {
  /** @type {Map<string, Record<string, string>>} */
  const seen = new Map()
  const page = await context.newPage()
  for (const shape of asked) {
    await page.bringToFront()
    seen.set(shape.name, await one(page, shape, placeOf(shapes.indexOf(shape))))
  }
  return seen
}

/**
 * Asks Chromium's own: a security key that verifies its holder by itself, and is touched at
 * once, or not at all.
 * @type {Parameters<typeof putAll>[2]}
 */
async function askVirtualKey(page, shape, place) {
  const cdp = await page.context().newCDPSession(page)
  await cdp.send('WebAuthn.enable')
  const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2', ctap2Version: 'ctap2_1', transport: 'usb', hasResidentKey: true, hasUserVerification: true, hasPrf: true,
      isUserVerified: true, automaticPresenceSimulation: true,
    },
  })
  try {
    return await put(page, shape, place, async () => shape.untouched && await cdp.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId, enabled: false }))
  } finally {
    await cdp.send('WebAuthn.disable')
    await cdp.detach()
  }
}

/**
 * What differs at one request, in the words of both.
 * @typedef {{ shape: string, what: string, browser: string, ours: string }} Difference
 * @returns {Difference[]}
 */
function between(/** @type {Map<string, Record<string, string>>} */ reference, /** @type {Map<string, Record<string, string>>} */ ours) {
  return [...reference].flatMap(([shape, theirs]) => {
    const mine = ours.get(shape) ?? { outcome: 'was not asked' }
    // Where one has a credential and the other has none, that is the difference, and not each member.
    const members = theirs.outcome === mine.outcome ? [...new Set([...Object.keys(theirs), ...Object.keys(mine)])] : ['outcome']
    return members.filter((what) => theirs[what] !== mine[what]).map((what) => ({ shape, what, browser: theirs[what] ?? 'absent', ours: mine[what] ?? 'absent' }))
  })
}

/** Returns the first entry of the table that argues a difference. */
const argued = (/** @type {Difference} */ d) => accepted.find((one) => one.what === d.what && one.browser === d.browser && one.ours === d.ours && (!one.shapes || one.shapes.includes(d.shape)))

/** Says what of the differences the table does not hold, and what of the table was not seen. */
function judge(/** @type {Difference[]} */ differences) {
  const complaints = differences.filter((d) => !argued(d)).map((d) => `not argued: ${d.shape}: ${d.what}: Chromium has ${d.browser}, the extension ${d.ours}`)
  for (const one of accepted) {
    const seen = differences.filter((d) => argued(d) === one).map((d) => d.shape)
    if (one.shapes) complaints.push(...one.shapes.filter((shape) => !seen.includes(shape)).map((shape) => `not seen: ${shape}: ${one.what}: ${one.browser} → ${one.ours}`))
    else if (seen.length === 0) complaints.push(`not seen: ${one.what}: ${one.browser} → ${one.ours}`)
  }
  return complaints
}

const cell = (/** @type {string} */ text) => text.replaceAll('|', '\\|')
const code = (/** @type {string} */ text) => (text === 'absent' ? '—' : `\`${cell(text)}\``)

/** Writes the table as docs/extension-differences.md has it. */
function render() {
  const rows = accepted.map((one) => {
    const where = one.shapes ? one.shapes.join('; ') : 'all'
    return `| ${cell(where)} | ${one.what} | ${code(one.browser)} | ${code(one.ours)} | ${cell(one.why)} |`
  })
  return `# Where the extension differs from a security key that is plugged in

\`e2e/extension/differential.mjs\` puts ${asked.length} requests to two Chromiums: to the browser's own virtual authenticator (CTAP 2.1, USB, verifies its holder), and to the extension
with a card at a real server. What a website gets is compared member by member: error names, flags, algorithm, attestation, client data, results of extensions. The run
fails if they differ in a way that is not listed here, or no longer differ in a way that is. Whatever is not listed is the same.

This page is made by \`e2e/extension/run.sh --write\` from \`e2e/extension/differences.mjs\`; change it there.

| Request | What | Chromium | The extension | Why |
|---|---|---|---|---|
${rows.join('\n')}
`
}

const only = process.argv.find((argument) => argument.startsWith('--only='))?.slice(7)
const asked = shapes.filter(({ name }) => !only || name.includes(only))
const sites = await openSites()

/** Asks everything in a browser without the extension. */
async function askChromium() {
  const browser = await startBrowser(sites)
  try {
    return await putAll(browser.context, askVirtualKey)
  } finally {
    await browser.close()
  }
}

/** Asks everything in a browser with it. */
async function askExtension() {
  const browser = await startBrowser(sites, { extension })
  try {
    await enrol(browser.context, extension, 'Differential')
    const { said } = sayYes(browser.context)
    return await putAll(browser.context, async (page, shape, place) => {
      said.length = 0
      const began = Date.now()
      const got = await put(page, shape, place)
      for (const left of prompts(browser.context)) await left.page.close()
      if (process.argv.includes('--show')) console.log(`${Date.now() - began} ms ${shape.name}${said.map((text) => `\n   the window said: ${text}`).join('')}`)
      return got
    })
  } finally {
    await browser.close()
  }
}

try {
  const [reference, ours] = await Promise.all([askChromium(), askExtension()])
  const differences = between(reference, ours)
  if (process.argv.includes('--show')) for (const d of differences) console.log(`${argued(d) ? 'argued    ' : 'NOT ARGUED'} ${d.shape}: ${d.what}: ${d.browser} → ${d.ours}`)
  const complaints = only ? differences.filter((d) => !argued(d)).map((d) => JSON.stringify(d)) : judge(differences)
  const page = new URL('../../docs/extension-differences.md', import.meta.url)
  const rendered = render()
  if (process.argv.includes('--write')) await writeFile(page, rendered)
  else if (!only && await readFile(page, 'utf8').catch(() => '') !== rendered) complaints.push('docs/extension-differences.md is not what the table says: run e2e/extension/run.sh --write')
  for (const complaint of complaints) console.error(complaint)
  console.log(`${asked.length} requests, ${differences.length} differences, ${complaints.length} complaints`)
  if (complaints.length > 0) process.exitCode = 1
} finally {
  await sites.close()
}
