// The life of API keys, with curl as the program: each type opens its own edge and no
// other, a reset is heeded by the very next request, an overlap ends at a press, what
// somebody made who left is found, and a key that ends warns three times, each once.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { addAuthenticator, findMail, judge, readMailbox, setupLink, startBrowser, startDemo, stickingOut, watch } from './keyhold.mjs'

const run = promisify(execFile)
const marcus = 'marcus.feld@harbour.example'

/** @type {Awaited<ReturnType<typeof startDemo>>} */
let demo
/** @type {import('playwright-core').Browser} */
let browser
/** @type {string} */
let folder
/** @type {import('playwright-core').Page} */
let page // the owner's window
/** @type {string[][]} */
const complaints = []
/** @type {string[]} */
const findings = []

/** The types with what their tokens begin with and the address that they open. */
const types = [
  { type: 'Admin', prefix: 'kh_admin_', own: '/api/v1/me' },
  { type: 'Clients', prefix: 'kh_client_', own: '/authenticator/v1/whoami' },
  { type: 'Shared Mobile', prefix: 'kh_mobile_', own: '/shared-mobile/v1/whoami' },
]

/** @type {Record<string, { name: string, path: string, token: string }>} */
const keys = {} // by type

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyhold-'))
  demo = await startDemo('--keep', folder)
  browser = await startBrowser()
  page = await open()
  await page.goto(demo.sign_in_url)
  await page.getByRole('button', { name: 'Create your passkey' }).click()
  await page.waitForURL('**/dashboard')
})

after(async () => {
  await browser?.close()
  await demo?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** Opens a window of its own: another person, at another device. */
async function open() {
  const context = await browser.newContext({ baseURL: demo.url, reducedMotion: 'reduce', permissions: ['clipboard-read', 'clipboard-write'] })
  context.setDefaultTimeout(15_000)
  const window = await context.newPage()
  complaints.push(await watch(window, (_url, status) => [403, 404, 422].includes(status)))
  await addAuthenticator(window)
  return window
}

/** Judges the page that a window shows. */
async function look(window = page) {
  findings.push(...await judge(window), ...await stickingOut(window, 320))
}

const heading = (name, window = page) => window.getByRole('heading', { name, level: 1 }).waitFor()
const press = (name, window = page) => window.locator('main').getByRole('button', { name }).filter({ visible: true }).last().click()
const follow = (name, window = page) => window.locator('main').getByRole('link', { name, exact: true }).filter({ visible: true }).first().click()
const said = (text, window = page) => window.getByText(text).filter({ visible: true }).first().waitFor()
const row = (name, window = page) => window.locator('#api-keys tbody tr').filter({ hasText: name })

/** Asks with curl, as a program does, and returns the status and the answer. */
async function curl(token, path, ...more) {
  const { stdout } = await run('curl', ['-sS', '-w', '\n%{http_code}', '-H', `Authorization: Bearer ${token}`, ...more, new URL(path, demo.url).href])
  const end = stdout.lastIndexOf('\n')
  return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, end) === '' ? {} : JSON.parse(stdout.slice(0, end)) }
}

const send = (method, body) => ['-X', method, '-H', 'Content-Type: application/json', '-d', JSON.stringify(body)]

/** Moves the demo's clock on, such as by '36h'. */
async function advance(by) {
  const moved = await fetch(demo.clock_url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ advance: by }) })
  assert.ok(moved.ok, 'the clock does not move')
}

/** Creates a key in a window of the panel and returns it, on the page that shows the token. */
async function create(name, type, window = page, expiry = '90 days') {
  await window.goto('/api-keys/new')
  await window.getByLabel('Name').fill(name)
  await window.getByRole('radio', { name: new RegExp(`^${type}`) }).check()
  await window.getByLabel(expiry).check()
  await press('Create API key', window)
  await heading('Your API key is ready', window)
  return shown(window)
}

/** Returns the token that a window shows. */
async function shown(window = page) {
  return (await window.getByLabel('Token', { exact: true }).innerText()).trim()
}

/** Leaves the page that shows a token. */
async function stored(name, window = page) {
  await window.getByLabel('I stored it').check()
  await press('Done', window)
  await heading(name, window)
  return new URL(window.url()).pathname
}

test('each type is created, copied, and opens its own edge only', async () => {
  for (const { type, prefix, own } of types) {
    const name = `Robot with ${type}`
    await page.goto('/api-keys')
    await follow('New API key')
    await heading('New API key')
    await page.getByRole('radio', { name: new RegExp(`^${type}`) }).check()
    assert.equal(await page.getByRole('group', { name: 'Permissions' }).isVisible(), type === 'Admin', `${type}: are permissions asked for?`)
    await look()
    const token = await create(name, type)
    assert.match(token, new RegExp(`^${prefix}[0-9A-Za-z]{12}_[0-9A-Za-z]{38}$`))
    await look()
    await press('Copy')
    await page.getByRole('button', { name: 'Copied' }).waitFor()
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), token)
    assert.ok(await page.getByRole('button', { name: 'Done' }).isDisabled(), 'the page is left before the token is stored')
    await said(own)
    keys[type] = { name, token, path: await stored(name) }
    assert.ok(!(await page.content()).includes(token), 'the token is shown twice')
    await look()

    for (const other of types) {
      const { status, body } = await curl(token, other.own)
      if (other.own === own) {
        assert.equal(status, 200, `${type} at ${other.own}: ${JSON.stringify(body)}`)
      } else {
        assert.equal(status, 403, `${type} at ${other.own}`)
        assert.equal(body.code, 'wrong_key_type')
        assert.match(body.detail, new RegExp(other.type.toLowerCase().replace(' ', '_')), 'the answer does not name the type that is needed')
      }
    }
    assert.equal((await curl('', `${own}?token=${token}&access_token=${token}&api_key=${token}`)).status, 401, 'a token in the query counts')
  }
  await page.goto('/api-keys')
  for (const { type } of types) await row(keys[type].name).getByText('Active').waitFor()
  await look()
})

test('a form that is sent again makes no second key', async () => {
  await create('Sent once', 'Clients')
  await page.reload()
  await heading('This API key was created already')
  await look()
  await follow('Open the API key')
  await heading('Sent once')
  await page.goto('/api-keys?q=sent+once')
  await row('Sent once').first().waitFor()
  assert.equal(await row('Sent once').count(), 1)
})

test('addresses that a key does not allow are refused', async () => {
  const key = keys.Clients
  await page.goto(`${key.path}/edit`)
  await heading(`Edit ${key.name}`)
  await look()
  await page.getByLabel('Allowed addresses').fill('here\nthere')
  await press('Save changes')
  await page.getByRole('link', { name: /^Allowed addresses holds/ }).waitFor()
  await look()
  await page.getByLabel('Allowed addresses').fill('192.0.2.0/24\n2001:db8::1')
  await press('Save changes')
  await said('The changes were saved')
  await said('192.0.2.0/24')
  assert.equal((await curl(key.token, '/authenticator/v1/whoami')).status, 401)
  await follow('Edit')
  await page.getByLabel('Allowed addresses').fill('')
  await press('Save changes')
  await said('everywhere')
  assert.equal((await curl(key.token, '/authenticator/v1/whoami')).status, 200)
})

test('a reset is heeded by the very next request', async () => {
  const key = keys.Admin
  await page.goto('/api-keys?type=admin&status=active')
  await page.getByRole('button', { name: `More for ${key.name}` }).click()
  await page.getByRole('link', { name: 'Reset' }).filter({ visible: true }).click()
  await heading(`Reset ${key.name}?`)
  await said('The present token stops at once')
  await look()
  await advance('11m') // the passkey is not fresh any more
  await press('Reset API key')
  await page.getByRole('dialog').getByRole('heading', { name: 'Confirm that it is you' }).waitFor()
  await look()
  assert.equal((await curl(key.token, '/api/v1/me')).status, 200, 'the token went before the key was reset')
  await page.getByRole('button', { name: 'Confirm with passkey' }).click()
  await heading('The new token is ready')
  assert.equal((await curl(key.token, '/api/v1/me')).status, 401, 'the old token outlives the reset')
  await look()
  key.token = await shown()
  assert.equal((await curl(key.token, '/api/v1/me')).status, 200)
  await page.reload()
  await heading('This API key was reset already')
  assert.equal((await curl(key.token, '/api/v1/me')).status, 200, 'the reload reset the key again')

  // With an overlap both work, until it is ended.
  await page.goto(key.path)
  await follow('Reset')
  await page.getByLabel('Another time').check()
  await press('Reset API key')
  await page.getByRole('link', { name: /^Minutes must be/ }).waitFor()
  await look()
  await page.getByLabel('1 hour').check()
  await press('Reset API key')
  await heading('The new token is ready')
  const token = await shown()
  await stored(key.name)
  await said('The token before still works')
  await look()
  for (const [what, t] of [['new', token], ['old', key.token]]) assert.equal((await curl(t, '/api/v1/me')).status, 200, `the ${what} token`)
  const refused = await curl(key.token, '/api/v1/api-keys', ...send('POST', { name: 'By the old one', type: 'clients' }))
  assert.equal(refused.status, 403, 'a retiring token manages API keys')
  await press('End overlap now')
  await said('The token before is refused everywhere')
  assert.equal((await curl(key.token, '/api/v1/me')).status, 401, 'the old token outlives its overlap')
  assert.equal((await curl(token, '/api/v1/me')).status, 200)
  key.token = token
})

test('a key of another type is not reset, and the reason is told', async () => {
  const key = keys.Clients
  await page.goto(key.path)
  await said('Not for this type: devices are enrolled under the token')
  assert.equal(await page.locator('main').getByRole('link', { name: 'Reset' }).count(), 0)
  await page.goto(`${key.path}/reset`)
  await heading('This key cannot be reset')
  await look()
  const { status, body } = await curl(keys.Admin.token, `/api/v1${key.path}/reset`, ...send('POST', {}))
  assert.equal(status, 409)
  assert.equal(body.code, 'reset_admin_only')
  assert.match(body.detail, /devices are enrolled under a Clients key/)
  assert.equal((await curl(key.token, '/authenticator/v1/whoami')).status, 200, 'the refused reset ended the token')
})

test('a key is disabled with what was made with it, enabled and deleted', async () => {
  const key = keys.Admin
  const made = await curl(key.token, '/api/v1/api-keys', ...send('POST', { name: 'Made by a robot', type: 'admin', permissions: ['users.read'] }))
  assert.equal(made.status, 201, JSON.stringify(made.body))
  await page.goto(`${key.path}?tab=made`)
  await page.getByRole('link', { name: 'Made by a robot' }).waitFor()
  await look()
  await page.goto(`${key.path}?tab=activities&of=by`)
  await page.getByRole('link', { name: 'Created an API key' }).first().waitFor()
  await look()
  await page.getByRole('link', { name: 'On this key' }).click()
  await said('Reset an API key')
  await look()

  await follow('Disable')
  await heading(`Disable ${key.name}?`)
  await said('1 API key that was made with it still works.')
  await look()
  await page.getByLabel('Also disable the key that was made with it').check()
  await press('Disable API key')
  assert.equal((await curl(key.token, '/api/v1/me')).status, 401)
  assert.equal((await curl(made.body.token, '/api/v1/me')).status, 401)
  await said('The API key is disabled')
  await look()
  await follow('Enable')
  await look()
  await press('Enable the API key')
  await said('The API key works again')
  assert.equal((await curl(key.token, '/api/v1/me')).status, 200)
  assert.equal((await curl(made.body.token, '/api/v1/me')).status, 401, 'what was disabled with it came back')

  await page.goto(`/api-keys/${made.body.id}/delete`)
  await page.getByLabel('Type the name to confirm').fill('Something else')
  await press('Delete API key')
  await said('Nothing was done yet')
  await look()
  await page.getByLabel('Type the name to confirm').fill('made by a robot')
  await press('Delete API key')
  await said('The API key was deleted')
  assert.equal(await row('Made by a robot').count(), 0)
  assert.equal((await page.goto(`/api-keys/${made.body.id}`))?.status(), 404)
})

test('how a key is used is drawn', async () => {
  for (let i = 0; i < 5; i++) await curl(keys.Admin.token, '/api/v1/me')
  const end = Date.now() + 90_000 // uses are written twice a minute
  const until = async (address, locator) => {
    for (;;) {
      await page.goto(address)
      if (await locator.isVisible()) return
      assert.ok(Date.now() < end, 'no use is written')
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
  }
  await until('/api-keys?q=robot&used=never&type=shared_mobile', page.getByText('Nothing found').filter({ visible: true }).first()) // it was used in the first test
  await until(`${keys.Admin.path}?tab=usage`, page.getByRole('img', { name: /^[\d,]+ requests? in 90 days/ }))
  await page.getByText('Show as a table').click()
  await look()
  await page.goto(keys.Admin.path)
  await said(/by curl\//)
})

test('what somebody made who left is found', async () => {
  await page.goto('/api-keys?creator=left')
  await page.locator('#api-keys').waitFor()
  assert.equal(await row('Key of Marcus').count(), 0)
  await page.goto('/api-keys')
  const window = await open()
  await window.goto(setupLink(folder, marcus))
  await press('Create your passkey', window)
  await window.waitForURL('**/dashboard')
  const token = await create('Key of Marcus', 'Clients', window)
  await row('Key of Marcus').waitFor() // nobody touched this window
  await window.close()
  await page.getByLabel('Created by').selectOption({ label: 'Somebody who left' })
  await page.waitForURL('**creator=left**')
  assert.equal(await row('Key of Marcus').count(), 0, 'Marcus is still here')

  const [user] = (await curl(keys.Admin.token, '/api/v1/users?q=marcus')).body.data
  await page.goto(`/users/${user.id}/suspend`)
  await page.getByRole('link', { name: 'Key of Marcus (Clients)' }).waitFor()
  await press('Suspend user')
  const confirm = page.getByRole('button', { name: 'Confirm with passkey' })
  if (await confirm.or(page.getByText('The user is suspended')).first().waitFor().then(() => confirm.isVisible())) await confirm.click()
  await said('The user is suspended')
  await said('What still works')
  await page.goto('/dashboard')
  await page.getByRole('link', { name: /Marcus.* is suspended, but an API key they created still works/ }).click()
  await page.waitForURL('**/api-keys?creator=left')
  await row('Key of Marcus').waitFor()
  await look()
  assert.equal((await curl(token, '/authenticator/v1/whoami')).status, 200, 'a key goes with its creator only if that was asked for')
  await page.goto('/search?q=key+of+m')
  await page.locator('#found').getByRole('link', { name: 'Key of Marcus' }).click()
  await heading('Key of Marcus')
})

test('the workspace bounds the life of all keys', async () => {
  await page.goto('/settings')
  await page.getByLabel('Longest life of an API key, in days').fill('60')
  await press('Save changes')
  await said('The settings were saved')
  await look()
  await page.goto('/api-keys/new')
  assert.equal(await page.getByLabel('90 days').count(), 0, 'more is offered than is allowed')
  await page.getByLabel('As long as the workspace allows: 60 days').waitFor()
  await look()
  await page.goto(keys['Shared Mobile'].path)
  await said('Limited by the workspace to 60 days.')
  await page.goto('/settings')
  await page.getByLabel('Longest life of an API key, in days').fill('0')
  await press('Save changes')
  await said('The settings were saved')
})

test('warnings come once each, 30, 7 and 1 days before the end', async () => {
  const name = 'Robot that ends'
  await page.goto('/api-keys/new')
  await page.getByLabel('Name').fill(name)
  await page.getByRole('radio', { name: /^Clients/ }).check()
  await page.getByLabel('On a date of your choice').check()
  const now = Date.parse(await page.evaluate(() => document.documentElement.dataset.now ?? ''))
  await page.getByLabel('Last day').fill(new Date(now + 40 * 86_400_000).toISOString().slice(0, 10))
  await press('Create API key')
  await heading('Your API key is ready')
  const path = await stored(name)
  const ends = Date.parse(await page.locator('#details time').first().getAttribute('datetime') ?? '')
  const warned = async (to) => (await readMailbox(demo)).filter((mail) => mail.to.includes(to) && mail.subject.includes(name) && /expires/.test(mail.subject))
  const to = 'olivia.berger@harbour.example'
  assert.deepEqual(await warned(to), [])
  const first = Math.ceil((ends - now) / 3_600_000) - 30 * 24 + 1
  for (const [i, by] of [`${first}h`, '552h', '144h'].entries()) { // to 30, 7 and 1 days before
    await advance(by)
    const known = new Set((await warned(to)).map((mail) => mail.id))
    assert.equal(known.size, i, 'a warning came twice')
    await findMail(demo, (mail) => mail.to.includes(to) && mail.subject.includes(name) && /expires/.test(mail.subject) && !known.has(mail.id))
  }
  await new Promise((resolve) => setTimeout(resolve, 11_000)) // two more rounds
  assert.equal((await warned(to)).length, 3)

  await page.goto('/sign-in')
  await press('Sign in with a passkey')
  await page.waitForURL('**/dashboard')
  await page.getByRole('link', { name: `API key “${name}” expires` }).click()
  await heading(name)
  await said('Ends soon')
  assert.equal(new URL(page.url()).pathname, path)
  await page.goto(`${path}?tab=activities`)
  await said('Warned that an API key ends')
  await page.goto('/api-keys?ends=7')
  await row(name).getByText('Ends soon').waitFor()
  await look()
})

test('every page was in order', async () => {
  await page.goto('/api-keys?ends=before&before=2020-01-01&used=since')
  await said('Nothing found')
  await look()
  await page.goto('/api-keys/key_01h455vb4pex5vsknk084sn02q')
  await heading('Not found')
  await page.close()
  assert.deepEqual(findings, [])
  assert.deepEqual(complaints.flat(), [])
})
