// The judge that most websites in JavaScript ask, @simplewebauthn/server, in front of a real
// Chromium with the extension: what it verifies is what a page got. And what a page must not
// get: another website's signature, a window that nobody asked for, card number or PIN.
import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { generateAuthenticationOptions, generateRegistrationOptions, verifyAuthenticationResponse, verifyRegistrationResponse } from '@simplewebauthn/server'
import { COSEALG, decodeClientDataJSON, decodeCredentialPublicKey } from '@simplewebauthn/server/helpers'
import { ask, askUntouched, begin, outcome } from './asking.mjs'
import { extension, startBrowser } from './browser.mjs'
import { badge, enrol, pinless, prompted, prompts, rest, until } from './holder.mjs'
import { openSites } from './site.mjs'

const { ES256, EdDSA } = COSEALG

/** @type {Awaited<ReturnType<typeof openSites>>} */
let sites
/** @type {Awaited<ReturnType<typeof startBrowser>>} */
let browser
/** @type {import('playwright-core').BrowserContext} */
let context
let id = ''
let client = ''
/** @type {import('playwright-core').Page} The extension's options: from there it can be looked into. */
let options_

before(async () => {
  sites = await openSites()
  browser = await startBrowser(sites, { extension })
  context = browser.context
  ;({ id, client, options: options_ } = await enrol(context, extension, 'Judges'))
})

// What a test that failed left open is not the next one's.
afterEach(async () => {
  for (const page of context.pages()) if (page !== options_) await page.close()
  await options_.evaluate(async () => {
    const { storage } = /** @type {any} */ (globalThis).chrome
    const left = Object.keys(await storage.session.get(null)).filter((name) => name.startsWith('request:'))
    await storage.session.remove(left)
    await storage.local.set({ judged: Date.now() }) // which has the toolbar look anew
  })
})

after(async () => {
  await browser?.close()
  await sites?.close()
})

/** A website with an RP ID of its own, so that no test sees another one's accounts. */
function website(/** @type {string} */ name) {
  const rpID = `${name}.example`
  return { rpID, origin: `https://www.${rpID}` }
}
/** @typedef {ReturnType<typeof website>} Site */

/** Opens a page of a website, in front of all others. */
async function visit(/** @type {Site} */ site, path = '/') {
  const page = await context.newPage()
  await page.goto(site.origin + path)
  return page
}

/** What a website wants for a new account. */
const creation = (/** @type {Site} */ site, more = {}) => generateRegistrationOptions({
  rpName: 'Shop', rpID: site.rpID, userName: 'ada', userDisplayName: 'Ada', authenticatorSelection: { residentKey: 'required', userVerification: 'required' }, ...more,
})
/** What a website wants for a sign-in. */
const request = (/** @type {Site} */ site, more = {}) => generateAuthenticationOptions({ rpID: site.rpID, userVerification: 'required', ...more })

/** Asks the judge about a registration. */
const judgeRegistration = (/** @type {Site} */ site, /** @type {any} */ options, /** @type {any} */ response, more = {}) => verifyRegistrationResponse({
  response, expectedChallenge: options.challenge, expectedOrigin: site.origin, expectedRPID: site.rpID, requireUserVerification: true,
  supportedAlgorithmIDs: options.pubKeyCredParams.map((/** @type {any} */ { alg }) => alg), ...more,
})
/** Asks the judge about a sign-in. */
const judgeSignIn = (/** @type {Site} */ site, /** @type {any} */ options, /** @type {any} */ response, /** @type {any} */ credential, more = {}) => verifyAuthenticationResponse({
  response, expectedChallenge: options.challenge, expectedOrigin: site.origin, expectedRPID: site.rpID, credential, requireUserVerification: true, ...more,
})

/** @typedef {import('playwright-core').Page | import('playwright-core').Frame} At */

/** Begins to ask, and returns the window that opens. */
const promptFor = (/** @type {At} */ at, /** @type {'create' | 'get'} */ call, /** @type {object} */ options) => prompted(context, () => begin(at, { call, options })).catch(async (error) => {
  const kept = await options_.evaluate(() => /** @type {any} */ (globalThis).chrome.storage.session.get(null))
  throw new Error(`${error.message}: no window opens; the toolbar says "${await toolbar()}", the extension keeps ${JSON.stringify(kept)}`, { cause: error })
})

/** Registers with a card, and returns what the judge found with what it was asked about. */
async function register(/** @type {Site} */ site, /** @type {At} */ at, more = {}, card = badge, expected = {}) {
  const options = await creation(site, more)
  const prompt = await promptFor(at, 'create', options)
  await prompt.answer(card)
  const got = await outcome(at)
  assert.ok(got.answer, JSON.stringify(got))
  const { verified, registrationInfo } = await judgeRegistration(site, options, got.answer, { requireUserVerification: card.pin !== '', ...expected })
  assert.equal(verified, true)
  return { options, response: got.answer, .../** @type {NonNullable<typeof registrationInfo>} */ (registrationInfo) }
}

/** Signs in with a card, and returns what the judge found. */
async function signIn(/** @type {Site} */ site, /** @type {At} */ at, /** @type {any} */ credential, more = {}, card = badge, expected = {}) {
  const options = await request(site, more)
  const prompt = await promptFor(at, 'get', options)
  await prompt.answer(card)
  const got = await outcome(at)
  assert.ok(got.answer, JSON.stringify(got))
  const { verified, authenticationInfo } = await judgeSignIn(site, options, got.answer, credential, { requireUserVerification: card.pin !== '', ...expected })
  assert.equal(verified, true)
  return { response: got.answer, ...authenticationInfo }
}

/** Asserts that the page was refused, and that no window is left of it. */
async function refused(/** @type {At} */ at, /** @type {string} */ name) {
  const got = await outcome(at)
  assert.equal(got.error?.name, name, JSON.stringify(got))
  await noPrompt()
  return got.error
}

/** Asserts that no window is open, as soon as none is left. */
async function noPrompt() {
  await Promise.all(prompts(context).map((prompt) => prompt.at('closed')))
}

/** The badge that the toolbar shows. */
const toolbar = () => options_.evaluate(() => /** @type {any} */ (globalThis).chrome.action.getBadgeText({}))

for (const { attestationType, fmt } of /** @type {const} */ ([{ attestationType: 'none', fmt: 'none' }, { attestationType: 'direct', fmt: 'packed' }])) {
  for (const [name, alg] of /** @type {const} */ ([['ES256', ES256], ['EdDSA', EdDSA]])) {
    test(`registers and signs in: ${name}, attestation ${fmt}`, async () => {
      const site = website(`${name}-${fmt}`.toLowerCase())
      const page = await visit(site)
      const made = await register(site, page, { attestationType, supportedAlgorithmIDs: [alg] })
      assert.equal(made.fmt, fmt)
      assert.equal(decodeCredentialPublicKey(made.credential.publicKey).get(3), alg)
      assert.equal(made.userVerified, true)
      assert.equal(made.credentialDeviceType, 'multiDevice')
      assert.equal(made.credentialBackedUp, true)
      const listed = await signIn(site, page, made.credential, { allowCredentials: [{ id: made.credential.id, transports: made.credential.transports }] })
      assert.equal(listed.response.response.userHandle, made.options.user.id)
      const found = await signIn(site, page, made.credential)
      assert.equal(found.response.response.userHandle, made.options.user.id)
      await page.close()
    })
  }
}

test('the window shows the website that the browser names, and what it wants', async () => {
  const site = website('shown')
  const page = await visit(site)
  const prompt = await promptFor(page, 'create', { ...await creation(site), rp: { id: site.rpID, name: 'Bank of Elsewhere' } })
  await prompt.at('tap')
  assert.equal(await prompt.site(), site.rpID)
  assert.equal(await prompt.page.locator('#origin').innerText(), site.origin)
  assert.ok(!(await prompt.page.locator('body').innerText()).includes('Elsewhere'), 'a name of the website\'s own making is in the window')
  await prompt.cancel()
  await refused(page, 'NotAllowedError')
  await page.close()
})

test('a website says nothing that opens the window at another origin', async () => {
  const site = website('teller')
  const bank = website('bank')
  const page = await visit(site)
  for (const options of [{ ...await creation(bank) }, { ...await creation(bank), extensions: { remoteDesktopClientOverride: { origin: bank.origin, sameOriginWithAncestors: true } } }]) {
    await begin(page, { call: 'create', options })
    const got = await outcome(page)
    assert.ok(['SecurityError', 'NotAllowedError'].includes(got.error?.name ?? ''), JSON.stringify(got))
    assert.equal(prompts(context).length, 0)
  }
  // With its own RP ID and a false word about its origin: the browser's word goes.
  const prompt = await promptFor(page, 'create', { ...await creation(site), extensions: { remoteDesktopClientOverride: { origin: bank.origin, sameOriginWithAncestors: true } } })
  await prompt.at('tap')
  assert.equal(await prompt.page.locator('#origin').innerText(), site.origin)
  await prompt.answer()
  const got = await outcome(page)
  assert.equal(decodeClientDataJSON(got.answer.response.clientDataJSON).origin, site.origin)
  await page.close()
})

test('signs in with the account that is chosen', async () => {
  const site = website('choose')
  const page = await visit(site)
  const first = await register(site, page, { userName: 'ada', userDisplayName: 'Ada' })
  const second = await register(site, page, { userName: 'bob', userDisplayName: 'Bob at work' })
  for (const wanted of [first, second]) {
    const options = await request(site)
    const prompt = await promptFor(page, 'get', options)
    await prompt.tap()
    await prompt.pin()
    await prompt.at('choose')
    assert.equal(await prompt.page.locator('#accounts button').count(), 2)
    await prompt.page.locator(`#accounts button[data-credential="${wanted.credential.id}"]`).click()
    const got = await outcome(page)
    assert.equal(got.answer?.id, wanted.credential.id, JSON.stringify(got))
    assert.equal((await judgeSignIn(site, options, got.answer, wanted.credential)).verified, true)
    assert.equal(got.answer.response.userHandle, wanted.options.user.id)
    await noPrompt()
  }
  await page.close()
})

test('an account that there is already is not made again', async () => {
  const site = website('excluded')
  const page = await visit(site)
  const { credential } = await register(site, page)
  const prompt = await promptFor(page, 'create', await creation(site, { excludeCredentials: [{ id: credential.id }] }))
  await prompt.tap()
  await prompt.pin()
  const got = await outcome(page)
  assert.equal(got.error?.name, 'InvalidStateError', JSON.stringify(got))
  await prompt.at('failed', 'closed')
  if (!prompt.page.isClosed()) {
    assert.match(await prompt.message(), /already/)
    await prompt.cancel()
  }
  await noPrompt()
  await page.close()
})

test('after a wrong PIN the right one goes on', async () => {
  const site = website('wrong-pin')
  const page = await visit(site)
  const { credential } = await register(site, page)
  const options = await request(site)
  const prompt = await promptFor(page, 'get', options)
  await prompt.tap()
  await prompt.pin('904418')
  await prompt.page.locator('#message').waitFor()
  assert.match(await prompt.message(), /wrong.*7 tries are left/)
  await prompt.pin()
  const got = await outcome(page)
  assert.equal((await judgeSignIn(site, options, got.answer, credential)).verified, true)
  await noPrompt()
  await page.close()
})

test('a card that nobody has is asked for a PIN as any other', async () => {
  const site = website('stranger')
  const page = await visit(site)
  const prompt = await promptFor(page, 'create', await creation(site))
  await prompt.tap('04:FF:FF:FF:FF:FF:01')
  await prompt.pin('123456')
  await prompt.page.locator('#message').waitFor()
  assert.match(await prompt.message(), /wrong.*7 tries are left/)
  await prompt.cancel()
  await refused(page, 'NotAllowedError')
  await page.close()
})

test('a card without a PIN signs after a press, and says that nobody was verified', async () => {
  const site = website('pinless')
  const page = await visit(site)
  const discouraged = { authenticatorSelection: { residentKey: 'required', userVerification: 'discouraged' } }
  const options = await creation(site, discouraged)
  const prompt = await promptFor(page, 'create', options)
  await prompt.tap(pinless.number)
  await prompt.at('consent')
  assert.equal((await ask(page, { call: 'isUVPAA' })).value, false) // the press has not been, and nothing else is stopped by that
  await prompt.cancel()
  await noPrompt()
  const made = await register(site, page, discouraged, pinless)
  assert.equal(made.userVerified, false)
  const signed = await signIn(site, page, made.credential, { userVerification: 'discouraged' }, pinless)
  assert.equal(signed.userVerified, false)
  // Another card of the same person opens the same account.
  assert.equal((await signIn(site, page, made.credential)).userVerified, true)
  await page.close()
})

for (const [name, end] of /** @type {const} */ ([['Cancel', 'cancel'], ['closing the window', 'close'], ['Escape', 'escape']])) {
  test(`${name} is a no`, async () => {
    const site = website(`cancelled-by-${end}`)
    const page = await visit(site)
    const prompt = await promptFor(page, 'create', await creation(site))
    await prompt.at('tap')
    if (end === 'cancel') await prompt.cancel()
    else if (end === 'escape') await prompt.page.keyboard.press('Escape').catch(() => {}) // the page goes with the key
    else await prompt.page.close()
    await refused(page, 'NotAllowedError')
    await page.close()
  })
}

test('what the website aborts closes the window', async () => {
  const site = website('aborted')
  const page = await visit(site)
  for (const call of /** @type {const} */ (['create', 'get'])) {
    const prompt = await promptFor(page, call, call === 'create' ? await creation(site) : await request(site))
    await prompt.at('tap')
    await page.evaluate(() => /** @type {any} */ (window).controller.abort())
    await prompt.at('closed')
    await refused(page, 'AbortError')
  }
  await page.close()
})

// Chromium does not tell the extension of pages that go: onRequestCanceled comes of an AbortController alone.
test('a page that goes takes its window along', async () => {
  const site = website('gone')
  const page = await visit(site)
  const prompt = await promptFor(page, 'create', await creation(site))
  await prompt.at('tap')
  await page.goto('https://www.elsewhere.example/')
  await prompt.at('closed')
  const other = await promptFor(page, 'create', await creation(website('elsewhere')))
  await other.at('tap')
  await page.close()
  await other.at('closed')
})

test('when the time is over the window goes', async () => {
  const site = website('late')
  const page = await visit(site)
  const before = Date.now()
  const prompt = await promptFor(page, 'create', await creation(site, { timeout: 240_000 }))
  await prompt.at('tap')
  const alarm = await options_.evaluate(async (name) => /** @type {any} */ (globalThis).chrome.alarms.get(name), `request:${new URL(prompt.page.url()).searchParams.get('request')}`)
  assert.ok(Math.abs(alarm.scheduledTime - before - 240_000) < 10_000, `it ends after ${alarm.scheduledTime - before} ms`)
  // The clock is the browser's: what is due in four minutes is made due now.
  await options_.evaluate((name) => /** @type {any} */ (globalThis).chrome.alarms.create(name, { when: Date.now() }), alarm.name)
  await prompt.at('closed')
  await refused(page, 'NotAllowedError')
  await page.close()
})

test('a page in a foreign frame asks if it is permitted, and says so', async () => {
  const site = website('framed')
  const top = 'https://top.example'
  const page = await context.newPage()
  await page.goto(`${top}/?${new URLSearchParams({ holds: `${site.origin}/`, allow: 'publickey-credentials-create; publickey-credentials-get' })}`)
  const frame = /** @type {import('playwright-core').Frame} */ (page.frame('held'))
  await frame.waitForLoadState()
  const made = await register(site, frame, {}, badge, { expectedTopOrigin: top })
  const said = /** @type {any} */ (decodeClientDataJSON(made.response.response.clientDataJSON))
  assert.deepEqual([said.origin, said.crossOrigin, said.topOrigin], [site.origin, true, top])
  const signed = await signIn(site, frame, made.credential, {}, badge, { expectedTopOrigin: top })
  assert.equal(/** @type {any} */ (decodeClientDataJSON(signed.response.response.clientDataJSON)).topOrigin, top)
  const prompt = await promptFor(frame, 'get', await request(site))
  await prompt.at('tap')
  assert.equal(await prompt.page.locator('#origin').innerText(), site.origin)
  assert.match(await prompt.page.locator('main').innerText(), /inside another website/)
  await prompt.cancel()
  await page.close()
})

test('a page in a foreign frame that is not permitted gets nothing', async () => {
  const site = website('unpermitted')
  const page = await context.newPage()
  await page.goto(`https://top.example/?${new URLSearchParams({ holds: `${site.origin}/` })}`)
  const frame = /** @type {import('playwright-core').Frame} */ (page.frame('held'))
  await frame.waitForLoadState()
  for (const call of /** @type {const} */ (['create', 'get'])) {
    await begin(frame, { call, options: call === 'create' ? await creation(site) : await request(site) })
    await refused(frame, 'NotAllowedError')
  }
  await page.close()
})

test('a website gets nothing for an RP ID that is not its own', async () => {
  const page = await context.newPage()
  const asks = [
    ['https://shop.co.uk', 'co.uk'], ['https://shop.github.io', 'github.io'], ['https://eviltricked.example', 'tricked.example'], ['https://tricked.example.evil.example', 'tricked.example'],
    ['https://www.tricked.example', 'example'], ['https://www.tricked.example', 'login.www.tricked.example'], ['https://www.tricked.example', 'other.example'],
  ]
  for (const [origin, rpID] of asks) {
    await page.goto(`${origin}/`)
    for (const call of /** @type {const} */ (['create', 'get'])) {
      await begin(page, { call, options: call === 'create' ? await creation({ origin, rpID }) : await request({ origin, rpID }) })
      await refused(page, 'SecurityError')
    }
  }
  await page.close()
})

test('a request wakes the worker that sleeps', async () => {
  const site = website('asleep')
  const page = await visit(site)
  const { credential } = await register(site, page)
  await sleep()
  await signIn(site, page, credential)
  // And it may sleep while the window is open.
  const options = await request(site)
  const prompt = await promptFor(page, 'get', options)
  await prompt.tap()
  await sleep()
  await prompt.pin()
  const got = await outcome(page)
  assert.equal((await judgeSignIn(site, options, got.answer, credential)).verified, true)
  await noPrompt()
  // A no is heard all the same.
  const other = await promptFor(page, 'get', await request(site))
  await other.at('tap')
  await sleep()
  await other.page.close()
  await refused(page, 'NotAllowedError')
  await page.close()
})

/** Stops the extension's worker, as the browser does when nothing happens. */
async function sleep() {
  const cdp = await context.newCDPSession(options_)
  const stopped = new Promise((resolve) => {
    cdp.on('ServiceWorker.workerVersionUpdated', ({ versions }) => {
      if (versions.some(({ runningStatus, scriptURL }) => runningStatus === 'stopped' && scriptURL.startsWith('chrome-extension:'))) resolve(undefined)
    })
  })
  await cdp.send('ServiceWorker.enable')
  await cdp.send('ServiceWorker.stopAllWorkers')
  await stopped
  await cdp.detach()
}

test('a page that nobody touched opens no window, and the toolbar says that it asks', async () => {
  const site = website('untouched')
  const page = await context.newPage()
  const pages = context.pages().length
  const { outcome: late } = await askUntouched(page, `${site.origin}/`, { call: 'create', options: await creation(site) })
  await until(async () => await toolbar() === '1')
  assert.equal(prompts(context).length, 0)
  assert.equal(context.pages().length, pages)
  // A click in the toolbar's popup is the person's word.
  const popup = await context.newPage()
  await popup.goto(`chrome-extension://${id}/popup.html`)
  const prompt = await prompted(context, () => popup.locator('#waiting button').click().catch(() => {})) // the popup goes with the click
  await until(async () => await toolbar() === '')
  assert.equal(await prompt.site(), site.rpID)
  await prompt.answer()
  const got = await late()
  assert.ok(got.answer, JSON.stringify(got))
  await page.close()
})

test('a website cannot feed the touch', async () => {
  const site = website('feigned')
  const page = await context.newPage()
  const cdp = await context.newCDPSession(page)
  await page.goto(`${site.origin}/`)
  const wanted = { call: 'create', options: await creation(site) }
  // Its own click, its own focus, and a word about activation that it writes over the browser's.
  await cdp.send('Runtime.evaluate', { userGesture: false, expression: `
    Object.defineProperty(navigator, 'userActivation', { value: { isActive: true, hasBeenActive: true } });
    Object.defineProperty(UserActivation.prototype, 'isActive', { get: () => true });
    window.focus(); window.wanted = ${JSON.stringify(wanted)}; document.querySelector('#ask').click()` })
  await until(async () => await toolbar() === '1')
  assert.equal(prompts(context).length, 0)
  await page.close()
})

test('pages neither reach nor hold the window', async () => {
  const site = website('reaching')
  const page = await visit(site)
  const address = `chrome-extension://${id}`
  const prompt = await promptFor(page, 'create', await creation(site))
  await prompt.at('tap')
  const tried = await page.evaluate(async ({ address, search }) => {
    const extensions = /** @type {any} */ (window).chrome?.runtime
    const frame = document.createElement('iframe')
    frame.src = `${address}/prompt.html${search}`
    const framed = new Promise((resolve) => { frame.onload = () => resolve('loaded'); setTimeout(resolve, 2000, 'never') })
    document.body.append(frame)
    const content = (await framed) === 'loaded' ? (() => { try { return frame.contentWindow?.document.body.innerHTML ?? 'closed' } catch (error) { return String(error) } })() : 'never'
    const opened = (() => { try { return window.open(`${address}/prompt.html${search}`, 'x') } catch { return null } })()
    let told = 'nothing to tell it to'
    if (extensions?.sendMessage) told = await new Promise((resolve) => extensions.sendMessage(new URL(address).host, { act: 'open', id: 1 }, (/** @type {any} */ answer) => resolve(answer ?? 'nobody')))
    window.postMessage({ act: 'open', id: 1, origin: 'https://www.bank.example' }, '*')
    for (let n = 0; n < frames.length; n++) frames[n].postMessage({ act: 'done', id: 1 }, '*')
    return {
      fetched: await fetch(`${address}/prompt.html`).then(() => 'read', () => 'refused'),
      content, told, opened: opened === null || opened.closed || (() => { try { return opened.document.body.innerHTML } catch { return 'closed' } })(),
    }
  }, { address, search: new URL(prompt.page.url()).search })
  assert.equal(tried.fetched, 'refused')
  assert.ok(!tried.content.includes('card-form'), tried.content)
  assert.ok(!String(tried.opened).includes('card-form'))
  assert.ok(['nothing to tell it to', 'nobody'].includes(tried.told), tried.told)
  const held = page.frames().find((frame) => frame.url().startsWith(address))
  assert.equal(held, undefined, 'the window is inside a page')
  for (const other of context.pages()) if (other !== page && other !== prompt.page && other.url().includes('prompt.html')) assert.fail(`a page opened ${other.url()}`)
  await prompt.cancel()
  await refused(page, 'NotAllowedError')
  await page.close()
})

test('card number and PIN are seen by no page, and kept nowhere', async () => {
  const site = website('watching')
  const page = await visit(site)
  await page.evaluate(() => {
    /** @type {string[]} */
    const seen = (/** @type {any} */ (window).seen = [])
    for (const type of ['keydown', 'keypress', 'keyup', 'input', 'paste', 'message', 'storage']) window.addEventListener(type, (e) => seen.push(JSON.stringify([type, /** @type {any} */ (e).key, /** @type {any} */ (e).data])), true)
  })
  const { credential } = await register(site, page)
  await signIn(site, page, credential)
  assert.deepEqual(await page.evaluate(() => /** @type {any} */ (window).seen), [])
  const kept = await options_.evaluate(async () => {
    const { storage } = /** @type {any} */ (globalThis).chrome
    return JSON.stringify([await storage.local.get(null), await storage.session.get(null), await storage.sync.get(null)])
  })
  const secrets = [badge.pin, badge.number, badge.number.replaceAll(':', '')]
  for (const secret of secrets) {
    assert.ok(!kept.includes(secret), 'the extension keeps what it should forget')
    assert.ok(!sites.heard.join('\n').includes(secret), 'a website heard a secret')
  }
  await page.close()
})

test('two requests at once have a window each, and each its own answer', async () => {
  // Chromium gives no credential to a page that is not in front when the answer comes.
  const [one, two] = [website('first-of-two'), website('second-of-two')]
  const [first, second] = [await visit(one), await visit(two)]
  const [a, b] = [await creation(one), await creation(two)]
  await first.bringToFront()
  const prompt1 = await promptFor(first, 'create', a)
  await second.bringToFront()
  const prompt2 = await promptFor(second, 'create', b)
  assert.equal(await prompt1.site(), one.rpID)
  assert.equal(await prompt2.site(), two.rpID)
  await prompt2.answer()
  const got2 = await outcome(second)
  assert.ok(got2.answer, JSON.stringify(got2))
  assert.equal((await judgeRegistration(two, b, got2.answer)).verified, true)
  await first.bringToFront()
  await prompt1.answer()
  const got1 = await outcome(first)
  assert.ok(got1.answer, JSON.stringify(got1))
  assert.equal((await judgeRegistration(one, a, got1.answer)).verified, true)
  await first.close()
  await second.close()
})

test('a suspended card is refused in plain words and in the activities', async () => {
  const site = website('suspended')
  const card = { number: '04:A1:B2:C3:D4:E5:81', pin: '730156' }
  const key = await rest('POST', `/users/${process.env.JUDGES_USER}/security-keys`, {
    kind: 'contactless_card', name: 'Third badge', activation: 'now', card: { type: 'uid', number: card.number }, verification: 'pin', pin: card.pin, pin_delivery: 'response',
  })
  const page = await visit(site)
  const { credential } = await register(site, page, {}, card)
  await rest('POST', `/security-keys/${key.id}/suspend`, {})
  const prompt = await promptFor(page, 'get', await request(site))
  await prompt.tap(card.number)
  await prompt.page.locator('#message').waitFor()
  assert.match(await prompt.message(), /suspended/i)
  const { data } = await rest('GET', `/activities?limit=20`)
  assert.ok(data.some((/** @type {any} */ a) => JSON.stringify(a).includes('key_suspended')), JSON.stringify(data.slice(0, 3)))
  // The window is still there: another card of the same person opens the same account.
  await prompt.answer()
  const got = await outcome(page)
  assert.equal(got.answer?.id, credential.id, JSON.stringify(got))
  // Suspended between tap and PIN.
  await rest('POST', `/security-keys/${key.id}/activate`, {})
  const other = await promptFor(page, 'get', await request(site))
  await other.tap(card.number)
  await other.at('pin')
  await rest('POST', `/security-keys/${key.id}/suspend`, {})
  await other.pin(card.pin)
  await other.at('tap', 'failed')
  assert.match(await other.message(), /\S/)
  await other.cancel()
  await refused(page, 'NotAllowedError')
  await page.close()
})

test('"Use another key" steps aside, and the next try reaches the browser', async () => {
  const site = website('another')
  const page = await visit(site)
  const prompt = await promptFor(page, 'create', await creation(site))
  await prompt.at('tap')
  await prompt.page.locator('#another').click()
  await refused(page, 'NotAllowedError')
  await options_.locator('body[data-state=aside]').waitFor()
  // The browser's own window waits for a key now, and goes on waiting.
  const got = await ask(page, { call: 'create', options: await creation(site) }, { patience: 1000 })
  assert.deepEqual(got, { waiting: true })
  assert.equal(prompts(context).length, 0)
  await options_.locator('#back').click()
  await options_.locator('body[data-state=ready]').waitFor()
  await page.bringToFront()
  await register(site, page)
  await page.close()
})

test("at Keyhold's own pages the extension steps aside, and is back behind them", async () => {
  const site = website('beside')
  const own = await context.newPage()
  await own.goto(`${process.env.JUDGES_URL}/sign-in`)
  await until(async () => await options_.locator('body').getAttribute('data-state') === 'away')
  const page = await visit(site)
  await until(async () => await options_.locator('body').getAttribute('data-state') === 'ready')
  await register(site, page)
  await own.bringToFront()
  await until(async () => await options_.locator('body').getAttribute('data-state') === 'away')
  await own.close()
  await page.bringToFront()
  await until(async () => await options_.locator('body').getAttribute('data-state') === 'ready')
  await page.close()
})

test('a workstation that was revoked is told so, and signs nothing', async () => {
  const site = website('revoked')
  const page = await visit(site)
  await rest('DELETE', `/clients/${client}`)
  const prompt = await promptFor(page, 'create', await creation(site))
  await prompt.tap()
  const got = await outcome(page)
  assert.equal(got.error?.name, 'NotAllowedError', JSON.stringify(got))
  await prompt.at('failed')
  assert.match(await prompt.message(), /revoked/)
  await prompt.cancel()
  await noPrompt()
  await page.close()
})
