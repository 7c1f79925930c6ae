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
  const got = shape.press === false ? await outcome(at, patience) : await ask(at, wanted, { press: !other, patience })
  await other?.close()
  return comparable(got, place)
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
function judge(/** @type {Difference[]} */ differences, /** @type {string[]} */ asked) {
  const complaints = differences.filter((d) => !argued(d)).map((d) => `not argued: ${d.shape}: ${d.what}: Chromium has ${d.browser}, the extension ${d.ours}`)
  for (const one of accepted) {
    const seen = differences.filter((d) => argued(d) === one).map((d) => d.shape)
    if (one.shapes) complaints.push(...one.shapes.filter((shape) => asked.includes(shape) && !seen.includes(shape)).map((shape) => `not seen: ${shape}: ${one.what}: ${one.browser} → ${one.ours}`))
    else if (seen.length === 0) complaints.push(`not seen: ${one.what}: ${one.browser} → ${one.ours}`)
  }
  return complaints
}

const cell = (/** @type {string} */ text) => text.replaceAll('|', '\\|')
const code = (/** @type {string} */ text) => (text === 'absent' ? '—' : `\`${cell(text)}\``)

/** Writes the table as docs/extension-differences.md has it. */
function render(/** @type {Difference[]} */ differences, /** @type {number} */ asked) {
  const rows = accepted.map((one) => {
    const seen = new Set(differences.filter((d) => argued(d) === one).map((d) => d.shape))
    const where = one.shapes ? one.shapes.join('; ') : `all ${seen.size} where it shows`
    return `| ${cell(where)} | ${one.what} | ${code(one.browser)} | ${code(one.ours)} | ${cell(one.why)} |`
  })
  return `# Where the extension differs from a security key that is plugged in

\`e2e/extension/differential.mjs\` puts ${asked} requests to two Chromiums: to the browser's own virtual authenticator (CTAP 2.1, USB, verifies its holder), and to the extension
with a card at a real server. What a website gets is compared member by member: error names, flags, algorithm, attestation, client data, results of extensions. The run
fails if they differ in a way that is not listed here, or no longer differ in a way that is. Whatever is not listed is the same.

This page is made by \`e2e/extension/run.sh --write\` from \`e2e/extension/differences.mjs\`; change it there.

| Request | What | Chromium | The extension | Why |
|---|---|---|---|---|
${rows.join('\n')}
`
}

const only = process.argv.find((argument) => argument.startsWith('--only='))?.slice(7)
const sites = await openSites()

/** Asks everything in one browser. */
async function inBrowser(/** @type {string | undefined} */ extension) {
  const browser = await startBrowser(sites, { extension })
  try {
    if (!extension) return await putAll(browser.context, virtualKey, only)
    await enrol(browser.context, extension, 'Differential')
    const { said } = sayYes(browser.context)
    return await putAll(browser.context, async (page) => {
      said.length = 0
      return async () => {
        if (process.argv.includes('--show') && said.length > 0) console.log(`   the window said: ${said.join(' / ')}`)
        for (const left of prompts(browser.context)) await left.page.close()
      }
    }, only)
  } finally {
    await browser.close()
  }
}

try {
  const reference = await inBrowser(undefined)
  const ours = await inBrowser(extension)
  const differences = between(reference, ours)
  if (process.argv.includes('--show')) for (const d of differences) console.log(`${argued(d) ? 'argued    ' : 'NOT ARGUED'} ${d.shape}: ${d.what}: ${d.browser} → ${d.ours}`)
  const complaints = only ? differences.filter((d) => !argued(d)).map((d) => JSON.stringify(d)) : judge(differences, [...reference.keys()])
  const page = new URL('../../docs/extension-differences.md', import.meta.url)
  const rendered = render(differences, reference.size)
  if (process.argv.includes('--write')) await writeFile(page, rendered)
  else if (!only && await readFile(page, 'utf8').catch(() => '') !== rendered) complaints.push('docs/extension-differences.md is not what the table says: run e2e/extension/run.sh --write')
  for (const complaint of complaints) console.error(complaint)
  console.log(`${reference.size} requests, ${differences.length} differences, ${complaints.length} complaints`)
  if (complaints.length > 0) process.exitCode = 1
} finally {
  await sites.close()
}
