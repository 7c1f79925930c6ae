// The demo server and the browser that the tests drive.
import { execFileSync, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { get } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const binary = process.env.KEYHOLD_BIN ?? join(root, 'bin/keyhold')

/** Returns a port that nobody listens on at this moment. */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

/**
 * Starts `keyhold demo` and waits until it is ready. KEYHOLD_BIN names another
 * binary than bin/keyhold.
 * @returns {Promise<{ url: string, sign_in_url: string, mailbox_url: string, admin_token: string, clock_url: string, stop: () => Promise<void> }>}
 */
export async function startDemo(...args) {
  const port = await freePort()
  const child = spawn(binary, ['demo', '--json', '--listen', `localhost:${port}`, ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.on('data', (chunk) => { errors = (errors + chunk).slice(-8000) })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const ready = new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('{')) resolve(JSON.parse(line))
    })
    child.once('error', reject)
    ended.then((code) => reject(new Error(`keyhold demo ended with ${code}:\n${errors}`)))
    setTimeout(() => reject(new Error(`keyhold demo was not ready after 60 s:\n${errors}`)), 60_000).unref()
  })
  const stop = async () => {
    child.kill('SIGTERM')
    await ended
  }
  return ready.then((demo) => ({ ...demo, stop }), async (error) => {
    child.kill('SIGKILL')
    throw error
  })
}

/**
 * Starts `keyhold serve` over an empty folder: a first run.
 * @returns {Promise<{ url: string, setup_url: string, stop: () => Promise<void> }>}
 */
export async function startFirstRun() {
  const port = await freePort()
  const data = await mkdtemp(join(tmpdir(), 'keyhold-'))
  const child = spawn(binary, ['serve', '--data', data, '--listen', `localhost:${port}`], { stdio: ['ignore', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.on('data', (chunk) => { errors = (errors + chunk).slice(-8000) })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const setup_url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const link = line.match(/http\S+\/setup\?link=\S+/)
      if (link) resolve(link[0])
    })
    ended.then((code) => reject(new Error(`keyhold serve ended with ${code}:\n${errors}`)))
  })
  const stop = async () => {
    child.kill('SIGTERM')
    await ended
    await rm(data, { recursive: true })
  }
  return { url: `http://localhost:${port}`, setup_url, stop }
}

/**
 * Issues a setup link on the command line, over the data in a demo's folder.
 * @param {string} folder
 * @param {string} email
 */
export function setupLink(folder, email) {
  const said = execFileSync(binary, ['setup-link', '--data', folder, '--email', email], { encoding: 'utf8' })
  return said.match(/http\S+\/setup\?link=\S+/)?.[0] ?? ''
}

/**
 * Waits for the mail that the rule picks in the demo's mailbox, and returns it.
 * @param {{ mailbox_url: string }} demo
 * @param {(mail: { id: string, to: string[], subject: string, text: string }) => boolean} picks
 */
export async function findMail(demo, picks) {
  const end = Date.now() + 15_000
  while (Date.now() < end) {
    const mail = (await readMailbox(demo)).find(picks)
    if (mail) return mail
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('the mail did not come')
}

/**
 * Returns the mails of the demo's mailbox, newest first.
 * @param {{ mailbox_url: string }} demo
 * @returns {Promise<{ id: string, to: string[], subject: string, text: string }[]>}
 */
export function readMailbox(demo) {
  const { host, port } = new URL(demo.mailbox_url)
  return new Promise((resolve, reject) => {
    // Browsers know every name under localhost, Node does not.
    get({ host: 'localhost', port, path: '/api/messages', headers: { host } }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => { text += chunk }).on('end', () => resolve(JSON.parse(text)))
    }).on('error', reject)
  })
}

/**
 * Signs a page in to the app with a code from the demo's mailbox.
 * @param {import('playwright-core').Page} page
 * @param {{ mailbox_url: string, url: string }} demo
 * @param {string} email
 */
export async function signInByCode(page, demo, email) {
  await page.goto(new URL('/app/sign-in', demo.url).href)
  const code = await askCode(page, demo, email)
  await page.getByLabel('Code').fill(code)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL((url) => url.pathname === '/app')
}

/** Asks for a code on the app's sign-in page and returns it from the mailbox. */
export async function askCode(page, demo, email) {
  const known = new Set((await readMailbox(demo)).map((mail) => mail.id))
  await page.getByLabel('E-mail address').fill(email)
  await page.getByRole('button', { name: 'Send me a code' }).click()
  await page.waitForURL('**/app/code*')
  const mail = await findMail(demo, (m) => !known.has(m.id) && m.to.includes(email) && /\b\d{4} \d{4}\b/.test(m.text))
  return /** @type {RegExpMatchArray} */ (mail.text.match(/\b\d{4} \d{4}\b/))[0]
}

/** Starts the browser. KEYHOLD_CHROMIUM names another one than Debian's. */
export function startBrowser() {
  return chromium.launch({
    executablePath: process.env.KEYHOLD_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  })
}

/**
 * Gives the page an authenticator of its own: a passkey with user verification
 * that answers by itself.
 * @param {import('playwright-core').Page} page
 */
export async function addAuthenticator(page) {
  const cdp = await page.context().newCDPSession(page)
  await cdp.send('WebAuthn.enable')
  const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  })
  return { cdp, authenticatorId }
}

/**
 * Gathers everything that a page complains about. expected says which failed
 * answers belong to the journey.
 * @param {import('playwright-core').Page} page
 * @param {(url: string, status: number) => boolean} expected
 */
export async function watch(page, expected = () => false) {
  /** @type {string[]} */
  const complaints = []
  await page.exposeFunction('keyholdViolation', (/** @type {string} */ text) => complaints.push(`policy: ${text}`))
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (e) => {
      // @ts-ignore: exposed above
      window.keyholdViolation(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`)
    })
  })
  page.on('pageerror', (error) => complaints.push(`error: ${error.stack ?? error}`))
  page.on('console', (message) => {
    if (!['error', 'warning'].includes(message.type())) return
    const failed = message.text().match(/status of (\d+)/)
    if (failed && expected(message.location().url, Number(failed[1]))) return
    complaints.push(`console: ${message.text()} (${message.location().url})`)
  })
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText ?? ''
    // A search that a later letter replaces is given up on purpose.
    if (why !== 'net::ERR_ABORTED') complaints.push(`request: ${request.url()} ${why}`)
  })
  page.on('response', (response) => {
    if (response.status() >= 400 && !expected(response.url(), response.status())) complaints.push(`answer: ${response.status()} ${response.url()}`)
  })
  page.on('request', (request) => {
    const url = new URL(request.url())
    if (url.protocol.startsWith('http') && url.hostname !== 'localhost') complaints.push(`foreign host: ${request.url()}`)
  })
  return complaints
}

const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

/**
 * Judges the page by axe-core, in light and in dark, and returns what it finds.
 * @param {import('playwright-core').Page} page
 */
export async function judge(page) {
  const found = []
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    if (!(await page.evaluate(() => 'axe' in window))) {
      // Through the debugger, so that the page's policy stays as it is.
      await page.evaluate(await readFile(axe, 'utf8'))
    }
    const { violations } = await page.evaluate(() => {
      // @ts-ignore: axe was put there
      return window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
    })
    for (const v of violations) found.push(`${page.url()} (${colorScheme}) ${v.id}: ${v.nodes.map((n) => `${n.html} ${n.any[0]?.message ?? n.failureSummary}`).join('\n    ')}`)
  }
  await page.emulateMedia({ colorScheme: null, reducedMotion: 'reduce' })
  return found
}

/**
 * Tells what sticks out of the page to the right at that width. What scrolls inside
 * a box of its own may be wider.
 * @param {import('playwright-core').Page} page
 * @param {number} width
 * @returns {Promise<string[]>}
 */
export async function stickingOut(page, width) {
  const before = page.viewportSize() ?? { width: 1280, height: 800 }
  await page.setViewportSize({ width, height: 800 })
  const over = await page.evaluate(() => {
    const limit = document.documentElement.clientWidth
    return [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > limit + 1 && !e.closest('pre, .kh-tabs, [popover], .kh-hidden, .kh-skip, svg')).map((e) => e.outerHTML.slice(0, 90))
  })
  await page.setViewportSize(before)
  return over.map((html) => `${page.url()} at ${width} px: ${html}`)
}
