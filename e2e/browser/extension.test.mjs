// The browser extension, end to end in a real browser: a workstation is enrolled and approved,
// a badge registers at a website that knows nothing of Keyhold and signs in there, and whoever
// is suspended is refused there and at the door. KEYHOLD_SHOTS names a folder for pictures of
// each window and state.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { addAuthenticator, judge, startDemo, watch } from './keyhold.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const extension = process.env.KEYHOLD_EXTENSION ?? join(here, '../../extension')
const shots = process.env.KEYHOLD_SHOTS ?? ''
const id = 'amfmnihdfjmmcnnljdajagipnjfanbok'

/** @type {any} */
let demo
/** @type {import('playwright-core').BrowserContext} */
let browser
let profile = ''
/** @type {import('playwright-core').Page} */
let panel // the owner's tab
/** @type {import('playwright-core').Page} */
let options // the extension's page about this workstation
/** @type {import('playwright-core').Page} */
let shop
/** @type {string[][]} */
const complaints = []
/** @type {string[]} */
const findings = []

/** Starts a browser with extensions, over a profile of its own. */
async function launch(folder, ...extensions) {
  const context = await chromium.launchPersistentContext(folder, {
    headless: false, reducedMotion: 'reduce', viewport: { width: 1280, height: 800 },
    executablePath: process.env.KEYHOLD_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
      `--load-extension=${extensions.join(',')}`, `--disable-extensions-except=${extensions.join(',')}`],
  })
  context.setDefaultTimeout(20_000)
  return context
}

before(async () => {
  if (shots) await mkdir(shots, { recursive: true })
  demo = await startDemo()
  profile = await mkdtemp(join(tmpdir(), 'keyhold-extension-'))
  browser = await launch(profile, extension)
  panel = await browser.newPage()
  complaints.push(await watch(panel, (_url, status) => [403, 404, 409, 422].includes(status)))
  await addAuthenticator(panel)
  await panel.goto(demo.sign_in_url)
  await panel.getByRole('button', { name: 'Create your passkey' }).click()
  await panel.waitForURL('**/dashboard')
})

after(async () => {
  await browser?.close()
  await demo?.stop()
  if (profile) await rm(profile, { recursive: true, force: true })
})

/** Calls the REST API with the demo's Admin key. */
async function call(method, path, body) {
  const response = await fetch(`${demo.url}/api/v1${path}`, {
    method, headers: { Authorization: `Bearer ${demo.admin_token}`, 'Content-Type': 'application/json' }, body: body && JSON.stringify(body),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
  return text ? JSON.parse(text) : null
}

/** Looks at a window in light and dark, by axe-core and for who wants to see it. */
async function look(window, name, width) {
  findings.push(...await judge(window))
  if (!shots) return
  const before = window.viewportSize()
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    for (const w of width ? [width] : [1280, 390]) {
      await window.emulateMedia({ colorScheme })
      await window.setViewportSize({ width: w, height: width ? 600 : 800 })
      await window.screenshot({ path: join(shots, `${name}-${w}-${colorScheme}.png`) })
    }
  }
  await window.emulateMedia({ colorScheme: null })
  if (before) await window.setViewportSize(before)
}
const lookAtPrompt = (window, name) => look(window, name, 428)

const is = (window, name, value) => window.waitForFunction(([n, v]) => document.body.dataset[n] === v, [name, value], { polling: 50 })

/** Presses something in the shop, and returns the extension's window. */
async function press(selector) {
  await shop.bringToFront()
  await is(options, 'state', 'ready')
  const window = await opened(() => shop.click(selector))
  await is(window, 'step', 'tap')
  return window
}

/** Waits for the window that opens while something is done: it may be told of before it has its address. */
async function opened(doing) {
  const before = browser.pages()
  await doing()
  for (let tries = 0; ; tries++) {
    const window = browser.pages().find((p) => p.url().includes('prompt.html') && !before.includes(p))
    if (window) return window
    assert.ok(tries < 300, 'no window opens')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** A reader types the number and Enter. */
async function tap(window, number) {
  await window.locator('#card').pressSequentially(number)
  await window.keyboard.press('Enter')
}

/** Presses a button that closes its window. */
async function last(window, selector) {
  const closed = window.waitForEvent('close')
  await window.locator(selector).click().catch((error) => { if (!/has been closed/.test(error.message)) throw error })
  await closed
}

/** Types the PIN and presses the button. */
async function prove(window, pin) {
  await is(window, 'step', 'pin')
  await window.locator('#pin').fill(pin)
  await last(window, '#go')
}

const signedIn = (name) => shop.locator('#who').filter({ hasText: name }).waitFor()

async function signOut() {
  await shop.click('#sign-out')
  await shop.locator('#sign-in').waitFor()
}

test('a browser that is not enrolled says so, and leaves passkeys alone', async () => {
  options = await browser.newPage()
  await options.goto(`chrome-extension://${id}/options.html`)
  await is(options, 'state', 'unset')
  await look(options, 'options-unset')
  await options.locator('#server').fill('http://keys.example.com')
  await options.locator('#enrol').click()
  await options.getByText('must begin with https://').waitFor()
  await options.locator('#server').fill(demo.url)
  await options.locator('#enrol').click()
  await options.getByText('Give a Clients key or an enrolment code.').waitFor()
  await options.locator('#token').fill(demo.admin_token)
  await options.locator('#enrol').click()
  await options.getByText('This is not a Clients key').waitFor()
  await options.locator('#token').fill('kh_client_000000000000_' + '0'.repeat(38))
  await options.locator('#enrol').click()
  await options.getByText('does not know this Clients key').waitFor()
  await look(options, 'options-refused')
})

test('it is enrolled, waits, and is ready once it is approved in the panel', async () => {
  await options.locator('#token').fill(demo.client_token)
  await options.locator('#name').fill('Front desk')
  await options.locator('#enrol').click()
  await is(options, 'state', 'pending')
  await look(options, 'options-pending')
  await panel.bringToFront()
  await panel.goto(new URL('/clients?state=pending', demo.url).href)
  await panel.getByRole('link', { name: 'Front desk' }).click()
  await panel.getByRole('link', { name: 'Approve' }).click()
  await panel.getByRole('button', { name: 'Approve' }).click()
  await panel.getByText('Approved', { exact: true }).first().waitFor()
  await options.bringToFront()
  await options.locator('#check').click()
  await is(options, 'state', 'ready')
  await look(options, 'options-ready')
  // Whoever tries to enrol it anew with something wrong loses nothing: what follows goes on as it is.
  await options.locator('#leave').click()
  await options.locator('#token').fill('kh_client_000000000000_' + '0'.repeat(38))
  await options.locator('#enrol').click()
  await options.getByText('does not know this Clients key').waitFor()
  await options.reload()
  await is(options, 'state', 'ready')
})

test('a badge registers at the shop and signs in there', async () => {
  shop = await browser.newPage()
  await shop.goto(demo.shop_url)
  await shop.locator('#name').fill('ada')
  let window = await press('#register')
  assert.equal(await window.locator('#site').textContent(), 'shop.localhost')
  assert.equal(await window.locator('#origin').textContent(), new URL(demo.shop_url).origin)
  await lookAtPrompt(window, 'prompt-register-tap')
  await tap(window, demo.card_number)
  await is(window, 'step', 'pin')
  await lookAtPrompt(window, 'prompt-register-pin')
  await prove(window, demo.card_pin)
  await signedIn('ada')
  assert.equal(await shop.locator('#how').getAttribute('data-uv'), '1')
  await signOut()

  window = await press('#sign-in')
  await tap(window, demo.card_number)
  await is(window, 'step', 'pin')
  await lookAtPrompt(window, 'prompt-sign-in-pin')
  await prove(window, demo.card_pin)
  await signedIn('ada')
})

test('a page that nobody touched opens no window: the toolbar offers it', async () => {
  await signOut()
  await shop.bringToFront()
  await is(options, 'state', 'ready')
  const windows = browser.pages().length
  // Whatever this test evaluates in a page counts as a person's touch there: the page itself waits
  // until that is forgotten, and presses its button then.
  await shop.evaluate(() => new Promise((resolve) => {
    const wait = () => {
      if (navigator.userActivation.isActive) return setTimeout(wait, 100)
      document.getElementById('sign-in')?.click()
      resolve(undefined)
    }
    wait()
  }))
  // A page asks only while it is in front, so nothing else comes there before it did.
  for (let tries = 0; ; tries++) {
    const kept = await options.evaluate(() => chrome.storage.session.get(null))
    if (Object.keys(kept).some((name) => name.startsWith('request:'))) break
    assert.ok(tries < 200, 'the extension does not hear of the request')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const popup = await browser.newPage()
  await popup.goto(`chrome-extension://${id}/popup.html`)
  await popup.locator('button[data-request]').waitFor()
  assert.equal(browser.pages().length, windows + 1, 'a window opened by itself')
  await look(popup, 'popup-waiting', 320)
  const window = await opened(() => popup.locator('button[data-request]').click())
  await is(window, 'step', 'tap')
  await last(window, '#cancel')
  await shop.locator('#message[data-error=NotAllowedError]').waitFor()
  if (!popup.isClosed()) await popup.close()
})

test('Credentials and Activities of the holder show it', async () => {
  await panel.bringToFront()
  await panel.goto(new URL(`/users/${demo.card_user_id}?tab=credentials`, demo.url).href)
  const credentials = (await call('GET', `/users/${demo.card_user_id}/credentials`)).data
  assert.equal(credentials.length, 1)
  assert.equal(credentials[0].rp_id, 'shop.localhost')
  const activities = (await call('GET', `/users/${demo.card_user_id}/activities`)).data.map((a) => `${a.action} ${a.outcome}`)
  assert.ok(activities.includes('credential.register success') && activities.includes('credential.use success'), activities.join(', '))
  await panel.getByText('shop.localhost').first().waitFor()
})

test("another account is the holder's to choose, and a key that is known is refused", async () => {
  await shop.bringToFront()
  let window = await press('#sign-in')
  await tap(window, demo.card_number)
  await prove(window, demo.card_pin)
  await signedIn('ada')
  window = await press('#add-key')
  await tap(window, demo.card_number)
  await is(window, 'step', 'pin')
  await window.locator('#pin').fill(demo.card_pin)
  await window.locator('#go').click()
  await window.getByText('You have a passkey at this website already').waitFor()
  await lookAtPrompt(window, 'prompt-known')
  await last(window, '#cancel')
  await shop.locator('#message[data-error=InvalidStateError]').waitFor()
  await signOut()

  await shop.locator('#name').fill('ada at work')
  window = await press('#register')
  await tap(window, demo.card_number)
  await prove(window, demo.card_pin)
  await signedIn('ada at work')
  await signOut()
  window = await press('#sign-in')
  await tap(window, demo.card_number)
  await is(window, 'step', 'pin')
  await window.locator('#pin').fill(demo.card_pin)
  await window.locator('#go').click()
  await is(window, 'step', 'choose')
  await lookAtPrompt(window, 'prompt-choose')
  await last(window, '#accounts button:has-text("ada at work")')
  await signedIn('ada at work')
  await signOut()
})

test('a second card of the same person signs in to the same account', async () => {
  await shop.locator('#name').fill('ada')
  const window = await press('#sign-in-name')
  await tap(window, demo.second_card_number)
  await prove(window, demo.second_card_pin)
  await signedIn('ada')
  await signOut()
})

test('failures are said in plain words: wrong PIN, pause, unknown card, no card at all', async () => {
  const window = await press('#sign-in')
  await tap(window, 'hello')
  await window.getByText('This is not the number of a card').waitFor()
  await lookAtPrompt(window, 'prompt-no-number')
  await tap(window, '04FFEEDDCCBBAA')
  await is(window, 'step', 'pin')
  await window.locator('#pin').fill('904417')
  await window.locator('#go').click()
  await window.getByText(/This PIN is wrong. 7 tries are left./).waitFor()
  await lookAtPrompt(window, 'prompt-unknown')
  for (const left of [6, 5]) {
    await window.locator('#pin').fill('904417')
    await window.locator('#go').click()
    await window.getByText(`${left} tries are left.`).waitFor()
  }
  await window.getByText(/Wait until/).waitFor()
  await lookAtPrompt(window, 'prompt-paused')
  await window.locator('#pin').fill('904417')
  await window.locator('#go').click()
  await window.getByText(/this key rests until/).waitFor()
  await last(window, '#cancel')
  await shop.locator('#message[data-error=NotAllowedError]').waitFor()
})

test('who was given a PIN chooses another one at the first use', async () => {
  const user = await call('POST', '/users', { email: 'cora@harbour.example', first_name: 'Cora' })
  const number = '04C0A1C0A1C080'
  await call('POST', `/users/${user.id}/security-keys`, {
    kind: 'contactless_card', name: 'Badge', activation: 'now', card: { type: 'uid', number }, verification: 'pin', pin: '904417', pin_delivery: 'response', must_change: true,
  })
  await shop.locator('#name').fill('cora')
  let window = await press('#register')
  await tap(window, number)
  await is(window, 'step', 'pin')
  await window.locator('#pin').fill('904417')
  await window.locator('#go').click()
  await is(window, 'step', 'new')
  await lookAtPrompt(window, 'prompt-new-pin')
  const choose = async (one, two) => {
    await is(window, 'step', 'new')
    await window.locator('#new').fill(one)
    await window.locator('#new-again').fill(two)
    await window.locator('#go').click()
  }
  await choose('731905', '731906')
  await window.getByText('The two new PINs are not the same.').waitFor()
  await choose('1', '1')
  await window.getByText('The PIN is too short').waitFor()
  await lookAtPrompt(window, 'prompt-new-pin-refused')
  await is(window, 'step', 'new')
  await window.locator('#new').fill('731905')
  await window.locator('#new-again').fill('731905')
  await last(window, '#go')
  await signedIn('cora')
  await signOut()
  window = await press('#sign-in')
  await tap(window, number)
  await prove(window, '731905')
  await signedIn('cora')
  await signOut()
})

test('a card without a PIN takes a press, where that is allowed', async () => {
  await call('PATCH', '/workspace/security-keys', { pinless: true })
  const client = (await call('GET', '/clients?state=approved')).data.find((c) => c.name === 'Front desk')
  await call('PATCH', `/clients/${client.id}`, { pinless_allowed: true })
  const user = await call('POST', '/users', { email: 'dan@harbour.example', first_name: 'Dan' })
  await call('POST', `/users/${user.id}/security-keys`, { kind: 'contactless_card', name: 'Visitor', activation: 'now', card: { type: 'uid', number: '04DA0000000001' }, verification: 'pinless' })
  await shop.locator('#name').fill('dan')
  const window = await press('#register')
  await tap(window, '04:da:00:00:00:00:01')
  await is(window, 'step', 'consent')
  assert.equal(await window.locator('#go').isDisabled(), true, "a reader's second Enter would agree")
  await window.locator('#go:enabled').waitFor()
  await lookAtPrompt(window, 'prompt-consent')
  await last(window, '#go')
  await signedIn('dan')
  assert.equal(await shop.locator('#how').getAttribute('data-uv'), '0')
  await signOut()
})

test("Keyhold's own passkeys reach the browser in the same profile", async () => {
  await panel.bringToFront()
  await is(options, 'state', 'away')
  await look(options, 'options-away')
  // A window without tabs, as apps have them, is not looked for: the extension hears it ask.
  await shop.bringToFront()
  await is(options, 'state', 'ready')
  const opening = browser.waitForEvent('page')
  await shop.evaluate((url) => { window.open(url, '', 'popup,width=500,height=600') }, new URL('/sign-in', demo.url).href)
  const page = await opening
  await page.waitForURL((url) => url.origin === demo.url)
  await page.bringToFront()
  const ask = () => page.evaluate(async () => {
    const publicKey = { rp: { name: 'Keyhold' }, user: { id: new Uint8Array([7]), name: 'x', displayName: 'x' }, challenge: new Uint8Array(32), pubKeyCredParams: [{ type: /** @type {const} */ ('public-key'), alg: -7 }] }
    return navigator.credentials.create({ publicKey }).then(() => 'made', (error) => error.name)
  })
  // What the panel's own script knows it by, and asks again (web/src/js/passkey.js).
  assert.equal(await ask(), 'AbortError')
  await is(options, 'state', 'away')
  await addAuthenticator(page)
  assert.equal(await ask(), 'made')
  await page.close()
})

test('"Use another key" lets the next try reach another key', async () => {
  const window = await press('#sign-in')
  await last(window, '#another')
  await is(options, 'state', 'aside')
  await look(options, 'options-aside')
  const page = await browser.newPage()
  await addAuthenticator(page) // whoever has one is never asked by way of an extension
  await page.goto(demo.shop_url)
  await page.locator('#name').fill('bea')
  await page.click('#register')
  await page.locator('#who').filter({ hasText: 'bea' }).waitFor()
  await page.click('#sign-out')
  await page.locator('#sign-in').waitFor()
  await page.close()
  await options.bringToFront()
  await options.locator('#back').click()
  await is(options, 'state', 'ready')
})

test('a suspended card is refused in plain words, and that is in the record', async () => {
  const keys = (await call('GET', `/users/${demo.card_user_id}/security-keys`)).data
  const card = keys.find((k) => k.card?.last4 === demo.card_number.slice(-4) || k.card?.number_end === demo.card_number.slice(-4)) ?? keys[0]
  await call('POST', '/security-keys/suspend', { ids: [card.id] })
  const window = await press('#sign-in')
  await tap(window, demo.card_number)
  await window.getByText('This security key is suspended.').waitFor()
  await lookAtPrompt(window, 'prompt-suspended')
  await last(window, '#cancel')
  await shop.locator('#message[data-error=NotAllowedError]').waitFor()
  const refused = (await call('GET', `/users/${demo.card_user_id}/activities`)).data.find((a) => a.outcome === 'refused')
  assert.equal(refused?.reason, 'key_suspended')
})

test('a suspended user is refused at the shop and at the door', async () => {
  const door = await browser.newPage()
  await door.goto(demo.door_url)
  await door.getByRole('link', { name: /Front door/ }).click()
  const enter = async () => {
    for (const digit of demo.door_pin) await door.getByRole('button', { name: digit, exact: true }).click()
    await door.getByRole('button', { name: 'Hash, enter' }).click()
  }
  await enter()
  await door.locator('[data-field=verdict]').filter({ hasText: /open/i }).waitFor()
  await call('POST', `/users/${demo.card_user_id}/suspend`, {})
  const window = await press('#sign-in')
  await tap(window, demo.second_card_number)
  await window.getByText('This security key is suspended.').waitFor()
  await last(window, '#cancel')
  await shop.locator('#message[data-error=NotAllowedError]').waitFor()
  await door.bringToFront()
  // The door has confirmed that it took the key back before it is tried.
  for (let tries = 0; ; tries++) {
    const { data } = await call('GET', `/users/${demo.card_user_id}/digital-keys`)
    const receipts = await Promise.all(data.map(async (k) => (await call('GET', `/digital-keys/${k.id}/receipts`)).data))
    if (receipts.flat().every((r) => r.applied_at)) break
    assert.ok(tries < 100, JSON.stringify(receipts))
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await enter()
  await door.locator('[data-field=verdict]').filter({ hasText: /no key|wrong|refused/i }).waitFor()
  await door.close()
})

test('another extension that answers is named', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'keyhold-extension-'))
  const second = await launch(folder, join(here, 'other-extension'), extension)
  try {
    // It opens by itself after the installation, in whichever tab is in front.
    let page
    for (let tries = 0; !page; tries++) {
      page = second.pages().find((p) => p.url().includes('options.html'))
      assert.ok(tries < 200, 'the options page does not open after the installation')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    await page.waitForLoadState()
    const code = await call('POST', '/clients/enrolment-codes', { uses: 1 })
    await page.locator('#server').fill(demo.url)
    await page.locator('#token').fill(demo.client_token)
    await page.locator('#code').fill(code.code)
    await page.locator('#enrol').click()
    await is(page, 'state', 'held')
    await look(page, 'options-held')
  } finally {
    await second.close()
    await rm(folder, { recursive: true, force: true })
  }
})

test('a workstation that is revoked says so, and steps out of the way', async () => {
  const client = (await call('GET', '/clients?state=approved')).data.find((c) => c.name === 'Front desk')
  await call('DELETE', `/clients/${client.id}`)
  const window = await press('#sign-in')
  await tap(window, demo.second_card_number)
  await window.getByText('This workstation was revoked in Keyhold.').waitFor()
  await lookAtPrompt(window, 'prompt-revoked')
  await last(window, '#cancel')
  await options.bringToFront()
  await is(options, 'state', 'revoked')
  await look(options, 'options-revoked')
  // It enrols anew, with another key pair, by a code alone.
  const code = await call('POST', '/clients/enrolment-codes', { uses: 1 })
  await options.locator('#server').fill(demo.url)
  await options.locator('#code').fill('QQQQ-QQQQ-QQQQ-QQQQ')
  await options.locator('#enrol').click()
  await options.getByText(/enrolment code is not good/).waitFor()
  await options.locator('#code').fill(code.code)
  await options.locator('#name').fill('Front desk again')
  await options.locator('#enrol').click()
  await is(options, 'state', 'ready')
})

test('a server that is out of reach is said', async () => {
  await panel.close() // it would complain that nothing answers
  await demo.stop()
  // The shop of the demo is gone with it: any page will do.
  const page = await browser.newPage()
  await page.route('**/*', (route) => route.fulfill({ contentType: 'text/html', body: '<button>Sign in</button>' }))
  await page.goto('http://other.localhost/')
  await page.evaluate(() => { document.querySelector('button').onclick = () => { navigator.credentials.get({ publicKey: { challenge: new Uint8Array(32) } }).catch(() => {}) } })
  await page.bringToFront()
  const window = await opened(() => page.click('button'))
  await is(window, 'step', 'tap')
  await tap(window, demo.card_number)
  await window.getByText('The Keyhold server gives no answer.').waitFor()
  await lookAtPrompt(window, 'prompt-unreachable')
  await is(options, 'state', 'unreachable')
  await look(options, 'options-unreachable')
  await last(window, '#cancel')
})

test('no page complained, and axe-core found nothing', () => {
  assert.deepEqual(complaints.flat(), [])
  assert.deepEqual(findings, [])
})
