// The life of security keys: a card that is activated at the desk and one by e-mail on
// a phone, a hardware key registered at the desk, a phone set up with a temporary access
// pass; then edit, suspend, activate, reset PIN, delete. Each act is found in Activities
// with who did it, and each page is judged.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { addAuthenticator, findMail, judge, startBrowser, startDemo, stickingOut, watch } from './keyhold.mjs'

const email = 'iris.sommer@harbour.example'
const name = 'Iris Sommer'
const owner = 'Olivia Berger'
const card = '04:a2:24:b1:c8:6d:80'

/** @type {Awaited<ReturnType<typeof startDemo>>} */
let demo
/** @type {import('playwright-core').Browser} */
let browser
/** @type {import('playwright-core').Page} */
let page // the owner's window
/** @type {string} */
let user // the path of the holder's page
/** @type {Record<string, string>} */
const keys = {} // paths, by name
/** @type {string[][]} */
const complaints = []
/** @type {string[]} */
const findings = []

before(async () => {
  demo = await startDemo()
  browser = await startBrowser()
  page = await open()
  const { cdp } = await addAuthenticator(page)
  // Beside the owner's own passkey: a hardware key that is plugged in.
  await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: { protocol: 'ctap2', transport: 'usb', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  })
  await page.goto(demo.sign_in_url)
  await page.getByRole('button', { name: 'Create your passkey' }).click()
  await page.waitForURL('**/dashboard')
})

after(async () => {
  await browser?.close()
  await demo?.stop()
})

/** Opens a window of its own: another person, at another device. */
async function open(options = {}) {
  const context = await browser.newContext({ baseURL: demo.url, reducedMotion: 'reduce', permissions: ['clipboard-read', 'clipboard-write'], ...options })
  context.setDefaultTimeout(20_000)
  const window = await context.newPage()
  complaints.push(await watch(window, (_url, status) => [401, 403, 404, 422, 429].includes(status)))
  return window
}

/** A phone's window: narrow, with a screen that is touched. */
const phone = () => open({ viewport: { width: 390, height: 844 }, hasTouch: true })

/** Judges the page that a window shows. */
async function look(window = page) {
  findings.push(...await judge(window), ...await stickingOut(window, 320))
}

const heading = (text, window = page) => window.getByRole('heading', { name: text, level: 1 }).waitFor()
const press = (text, window = page) => window.locator('main').getByRole('button', { name: text }).filter({ visible: true }).last().click()
const follow = (text, window = page) => window.locator('main').getByRole('link', { name: text }).filter({ visible: true }).first().click()
const said = (text, window = page) => window.getByText(text).filter({ visible: true }).first().waitFor()
const choose = (text, window = page) => window.getByRole('radio', { name: text }).check()
const row = (text) => page.locator('#user-keys tbody tr').filter({ hasText: text })
const toUser = async () => {
  await page.goto(user)
  await heading(name)
}

/** Opens the wizard for another key of the holder and chooses its kind. */
async function wizard(kind, called) {
  await toUser()
  await follow('Add Device')
  await heading(`Add a security key for ${name}`)
  await choose(kind)
  await look()
  await press('Next')
  await page.getByLabel('Name', { exact: true }).fill(called)
  await look()
  await press('Next')
  await page.getByText('How does it begin to work?').waitFor()
  await look()
}

/** Goes from the review to the end. */
async function add(text) {
  await page.getByRole('heading', { name: 'This is what happens:' }).waitFor()
  await look()
  await press('Add security key')
  await heading(text)
  await look()
}

/** Opens a key's page from its holder's. */
async function openKey(called) {
  await toUser()
  await row(called).getByRole('link', { name: called }).click()
  await heading(called)
  keys[called] = new URL(page.url()).pathname
}

/** Returns the activation link of the last mail about a key. */
async function link(subject, called) {
  const mail = await findMail(demo, (m) => m.to.includes(email) && m.subject === subject && m.text.includes(called))
  const found = mail.text.match(/http\S+\/app\/activate\?link=\S+/)?.[0]
  assert.ok(found, `the mail “${subject}” has no link`)
  return found
}

test('a user is added', async () => {
  await page.goto('/users/new')
  await page.getByLabel('First name').fill('Iris')
  await page.getByLabel('Last name').fill('Sommer')
  await page.getByRole('textbox', { name: 'E-mail' }).fill(email)
  await press('Next')
  await press('Next')
  await press('Create user')
  await heading(name)
  user = new URL(page.url()).pathname
  await said('No security keys yet')
  const tabs = await page.locator('.kh-tabs a').allInnerTexts()
  assert.deepEqual(tabs.map((t) => t.trim()), ['Security keys', 'Groups', 'Credentials', 'Activities', 'Digital keys'])
  await look()
})

test('a card works at once, by a reader that types its number and Enter', async () => {
  await wizard(/^Contactless card/, 'Staff badge 7')
  // The field is chosen already: what a reader types lands in it, and its Enter leads on.
  await page.keyboard.type(card)
  await page.keyboard.press('Enter')
  await add(`Staff badge 7 was added for ${name}`)
  const mail = await findMail(demo, (m) => m.to.includes(email) && m.subject === 'The PIN of your card')
  assert.match(mail.text, /^\s+\S{6}\s*$/m, 'the mail has no PIN')
  await openKey('Staff badge 7')
  await said('04A224B1C86D80')
  assert.equal(await page.locator('.kh-profile .kh-badge').first().innerText(), 'Active')
  await look()
})

test('the same card is refused to somebody else, with its holder’s name', async () => {
  await wizard(/^Contactless card/, 'Twice')
  await page.keyboard.type(card.toUpperCase().replaceAll(':', ' '))
  await page.keyboard.press('Enter')
  await press('Add security key')
  await said(`This card is registered already: ${name} has it.`)
  await look()
})

test('a card by e-mail is activated on a phone, and waits to be confirmed', async () => {
  await wizard(/^Contactless card/, 'Spare badge')
  await choose(/activation link by e-mail/)
  await press('Next')
  await add(`Spare badge was added for ${name}`)
  const window = await phone()
  await window.goto(await link('Activate your card', 'Spare badge'))
  await heading('Activate your card', window)
  await look(window)
  await window.getByLabel('Card number').fill('0102030405060a')
  await window.getByLabel('Choose a PIN').fill('sea 48 gull')
  await window.getByLabel('The same again').fill('sea 48 gull')
  await press('Activate the card', window)
  // A mailbox alone opens no vault: she holds a key already.
  await heading('Your card waits for an administrator', window)
  await look(window)
  await window.context().close()

  await page.goto('/dashboard')
  await said('wait')
  await page.goto('/security-keys?to_confirm=yes')
  await page.locator('#keys tbody tr').filter({ hasText: 'Spare badge' }).getByRole('link', { name: 'Spare badge' }).click()
  await said('Waits to be confirmed')
  await said('0102030405060A')
  await look()
  await follow('Confirm')
  await heading('Confirm Spare badge?')
  await look()
  await press('Confirm security key')
  await said('The security key was confirmed.')
})

test('a hardware key is registered at the desk', async () => {
  await wizard(/^FIDO2 key/, 'Blue key')
  await choose(/register it at this desk/)
  await press('Next')
  await add('Register Blue key here')
  await press('Register here')
  await said('The key was registered.')
  await heading('Blue key')
  assert.equal(await page.locator('.kh-profile .kh-badge').first().innerText(), 'Active')
  await look()
})

test('a phone is set up with a temporary access pass', async () => {
  await wizard(/^Smartphone/, 'Work phone')
  await press('Next')
  await add(`Work phone was added for ${name}`)
  await toUser()
  await follow('Get Temporary Access Pass')
  await heading(`Temporary access pass for ${name}`)
  await look()
  await page.getByLabel('One-time').check()
  await press('Make the pass')
  await heading('The pass is ready')
  await look()
  const code = (await page.getByLabel('Temporary access pass', { exact: true }).innerText()).trim()
  assert.match(code, /^[2-9A-HJ-NP-Z]{8}$/)

  const window = await phone()
  await addAuthenticator(window)
  await window.goto(await link('Activate your phone', 'Work phone'))
  await heading('Activate this phone', window)
  await look(window)
  await follow('Use a temporary access pass', window)
  await window.getByLabel('E-mail address').fill(email)
  await window.getByRole('textbox', { name: 'Pass' }).fill(code.toLowerCase())
  await press('Sign in', window)
  await heading('Activate this phone', window)
  await press('Approve this phone', window)
  await heading('This phone works', window)
  await look(window)
  await window.context().close()
  await page.goto(`${user}/access-pass`)
  await said('Used')
  await toUser()
  await row('Work phone').getByText('Active').waitFor()
  await look()
})

test('a key is edited, suspended, activated, its PIN reset, and deleted', async () => {
  await openKey('Staff badge 7')
  await follow('Edit')
  await page.getByLabel('Name', { exact: true }).fill('Front desk badge')
  await look()
  await press('Save changes')
  await heading('Front desk badge')

  await follow('Suspend')
  await heading('Suspend Front desk badge?')
  await look()
  await press('Suspend security key')
  await said('The security key is suspended.')
  await look()
  await page.goto('/security-keys?status=suspended&q=iris')
  await page.locator('#keys tbody tr').filter({ hasText: 'Front desk badge' }).waitFor()
  await page.goto(keys['Staff badge 7'])
  await press('Activate')
  await said('The security key is as it was before.')

  await follow('Reset PIN')
  await heading('Reset the PIN of Front desk badge?')
  await choose(/^Type one/)
  await page.getByLabel('PIN', { exact: true }).last().fill('123456')
  await press('Reset PIN')
  await page.getByRole('alert').first().waitFor() // it is easily guessed
  await look()
  await choose(/^Generate one/)
  await choose(/^Show it to me, once/)
  await press('Reset PIN')
  await heading('The new PIN is ready')
  await look()
  const pin = (await page.getByLabel('PIN', { exact: true }).innerText()).trim()
  assert.match(pin, /^\S{6,}$/)
  await page.reload()
  await heading('This was done already')
  assert.ok(!(await page.content()).includes(pin), 'a reload shows the PIN again')

  await page.goto(`${keys['Staff badge 7']}/delete`)
  await look()
  await page.getByLabel('Type the name to confirm').fill('front desk badge')
  await press('Delete security key')
  await said('The security key was deleted.')
  await page.getByText('All keys ever held').click()
  await page.locator('.kh-held li').filter({ hasText: 'Front desk badge' }).getByText('deleted').waitFor()
  await look()
})

test('each act is in Activities, with who did it', async () => {
  for (const [action, what, actor] of [
    ['security_key.create', 'Added a security key', owner],
    ['security_key.activate', 'Activated a security key', name],
    ['security_key.confirm', 'Confirmed a security key', owner],
    ['security_key.update', 'Changed a security key', owner],
    ['security_key.suspend', 'Suspended a security key', owner],
    ['security_key.resume', 'Took back the suspension of a security key', owner],
    ['security_key.pin_reset', 'Reset a PIN', owner],
    ['security_key.delete', 'Deleted a security key', owner],
    ['access_pass.issue', 'Made a temporary access pass', owner],
    ['access_pass.use', 'Used a temporary access pass', name],
  ]) {
    await page.goto(`/activities?action=${action}`)
    const line = page.locator('#activities tbody tr').filter({ hasText: what }).filter({ hasText: actor }).first()
    await line.waitFor()
  }
  await look()
  await page.goto(`${keys['Staff badge 7']}`)
  await heading('Not found')
  const all = new URL(`/activities?security_key=${keys['Staff badge 7'].split('/').pop()}`, demo.url)
  await page.goto(all.href)
  await page.locator('#activities tbody tr').filter({ hasText: 'Deleted a security key' }).waitFor()
})

test('settings say whom looking after unused keys would reach', async () => {
  await page.goto('/workspace/security-keys')
  await look()
  await page.getByLabel('Tell the holder').fill('1')
  await press('What would this reach now?')
  await page.locator('.kh-tried').getByText('Their holders would be told').waitFor()
  await look()
  await page.getByLabel('Tell the holder').fill('0')
  await page.getByLabel('Shortest').fill('8')
  await press('Save changes')
  await said('The settings were saved.')
})

test('no page complains, all pass axe', () => {
  assert.deepEqual(complaints.flat(), [])
  assert.deepEqual(findings, [])
})
