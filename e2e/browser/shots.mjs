// Takes a picture of every page, in light and dark, wide and narrow, into the
// folder that is named: they are looked at before a change of looks is done. Lists
// are taken of a workspace that is empty, with three rows, and with ten thousand.
// With --guide it takes the pictures of the guide instead.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { takeGuide } from './guide.mjs'
import { addAuthenticator, askCode, startBrowser, startDemo, startFirstRun } from './keyhold.mjs'
import { takeKeys } from './shots-keys.mjs'

const [guide, folder = 'shots'] = process.argv[2] === '--guide' ? [true, process.argv[3]] : [false, process.argv[2]]
const many = 10_000
await mkdir(folder, { recursive: true })
const browser = await startBrowser()

try {
  if (guide) {
    await takeGuide(browser, folder)
  } else {
    await takeRows()
    await takeStates()
  }
} finally {
  await browser.close()
}

/** Opens a window with an authenticator. */
async function open(baseURL) {
  const context = await browser.newContext({ baseURL, reducedMotion: 'reduce' })
  const page = await context.newPage()
  await addAuthenticator(page)
  return page
}

/** Takes what the window shows, after it was prepared for each of the four. */
async function shoot(page, name, prepare = async () => {}) {
  for (const width of [1440, 390]) {
    await page.setViewportSize({ width, height: width === 390 ? 844 : 900 })
    for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      await prepare()
      await page.evaluate(() => document.fonts.ready)
      await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`) })
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 })
}

/** Takes every list and what hangs on it, with nothing, three and many rows. */
async function takeRows() {
  const server = await startFirstRun()
  try {
    const page = await open(server.url)
    await page.goto(server.setup_url)
    await shoot(page, 'setup-owner')
    await page.getByRole('button', { name: 'Create your passkey' }).click()
    await page.getByRole('alert').waitFor()
    await shoot(page, 'setup-owner-errors')
    await page.getByLabel('Workspace name').fill('Analytical Engines of Northern Cumberland & Partners')
    await page.getByLabel('First name').fill('Ada')
    await page.getByLabel('Last name').fill('King-Noel, Countess of Lovelace and Ockham')
    await page.getByRole('textbox', { name: 'E-mail' }).fill('ada@example.com')
    await page.getByRole('button', { name: 'Create your passkey' }).click()
    await page.waitForURL('**/dashboard')
    await lists(page, 0)

    const token = await page.evaluate(async () => {
      const made = await fetch('/api/v1/api-keys', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name: 'Payroll and personnel synchronisation, nightly', type: 'admin' }) })
      return (await made.json()).token
    })
    await fill(server.url, token, 0, 3)
    await lists(page, 3)
    const began = Date.now()
    await fill(server.url, token, 3, many)
    console.log(`${many} users and ${many} groups made in ${((Date.now() - began) / 1000).toFixed(1)} s`)
    await lists(page, many)
    await page.context().close()
  } finally {
    await server.stop()
  }
}

async function lists(page, rows) {
  const take = async (name, path) => {
    await page.goto(path)
    await shoot(page, `${name}-${rows}`)
  }
  await take('dashboard', '/dashboard')
  await take('users', '/users')
  await take('users-suspended', '/users?status=suspended')
  await take('groups', '/groups')
  await take('security-keys', '/security-keys')
  await take('activities', '/activities')
  await take('api-keys', '/api-keys')
  await take('administrators', '/administrators')
  await take('account', '/account')
  await take('settings', '/settings')
  await take('search', '/search?q=a')
  if (rows > 0) {
    await page.goto('/api-keys')
    await page.locator('tbody .kh-rowlink').first().click()
    await page.waitForURL('**/api-keys/key_*')
    await shoot(page, `api-key-${rows}`)
  }
  await page.goto('/users')
  await page.locator('tbody .kh-rowlink').first().click()
  await page.waitForURL('**/users/user_*')
  const user = new URL(page.url()).pathname
  await shoot(page, `user-${rows}`)
  await take('user-groups', `${user}?tab=groups`)
  await take('user-credentials', `${user}?tab=credentials`)
  await take('user-activities', `${user}?tab=activities`)
  await page.goto('/groups')
  await page.locator('tbody .kh-rowlink').last().click()
  await page.waitForURL('**/groups/grp_*')
  await shoot(page, `group-${rows}`)
  await page.goto('/administrators')
  await page.locator('tbody .kh-rowlink').last().click()
  await page.waitForURL('**/administrators/adm_*')
  await shoot(page, `administrator-${rows}`)
  await page.goto('/users/new')
  await page.getByLabel('First name').fill('Somebody')
  await page.getByRole('textbox', { name: 'E-mail' }).fill('somebody@example.com')
  await page.locator('main').getByRole('button', { name: 'Next' }).last().click()
  await page.getByRole('group', { name: 'Groups' }).waitFor()
  await shoot(page, `user-new-groups-${rows}`)
}

/** Takes the pages that a demo shows in states of their own. */
async function takeStates() {
  const demo = await startDemo()
  try {
    const page = await open(demo.url)
    const press = (name) => page.locator('main').getByRole('button', { name }).last().click()
    const take = async (name, path) => {
      await page.goto(path)
      await shoot(page, name)
    }
    await take('sign-in', '/sign-in')
    await take('setup', demo.sign_in_url)
    await page.getByRole('button', { name: 'Create your passkey' }).click()
    await page.waitForURL('**/dashboard')
    await take('dashboard', '/dashboard')
    await take('activities', '/activities?outcome=refused')
    await take('activities-nothing', '/activities?action=group.delete')
    await page.goto('/activities')
    await press('Verify the record')
    await page.getByText('The record is whole').waitFor()
    await shoot(page, 'activities-verified')
    await page.goto('/activities')
    await page.locator('tbody .kh-rowlink').first().click()
    await page.waitForURL('**/activities/act_*')
    await shoot(page, 'activity')

    await apiKeys(page, demo)
    await takeKeys(page, shoot)

    await take('users', '/users')
    await take('users-nothing', '/users?q=zzz')
    await page.goto('/users')
    await shoot(page, 'users-selected', async () => {
      for (const box of (await page.locator('tbody input').all()).slice(0, 3)) await box.check()
    })
    await page.goto('/users')
    await page.setViewportSize({ width: 1440, height: 900 })
    for (const box of (await page.locator('tbody input').all()).slice(0, 3)) await box.check()
    const three = await page.locator('tbody input:checked').evaluateAll((boxes) => boxes.map((b) => `&ids=${/** @type {HTMLInputElement} */ (b).value}`).join(''))
    await take('bulk-delete', `/users/bulk?act=delete${three}`)
    await take('bulk-group', `/users/bulk?act=group${three}`)
    await take('bulk-suspend', `/users/bulk?act=suspend${three}`)
    await press('Suspend 3 users')
    await page.getByText('3 users suspended').waitFor()
    await shoot(page, 'bulk-result')

    await take('user-new', '/users/new')
    await page.getByLabel('First name').fill('Maximiliane-Alexandra')
    await page.getByRole('textbox', { name: 'E-mail' }).fill('not an address')
    await page.getByLabel('Time zone').fill('Middle/Earth')
    await press('Next')
    await page.getByRole('alert').first().waitFor()
    await shoot(page, 'user-new-errors')
    await page.getByRole('textbox', { name: 'E-mail' }).fill('maximiliane@example.com')
    await page.getByLabel('Time zone').fill('Europe/Vienna')
    await press('Next')
    await page.getByLabel('Front desk').check()
    await press('Next')
    await page.getByLabel('Send an invitation').waitFor()
    await shoot(page, 'user-new-review')

    await page.goto('/users?q=maximiliana')
    await page.locator('tbody .kh-rowlink').click()
    await page.waitForURL('**/users/user_*')
    const user = new URL(page.url()).pathname
    await take('user', user)
    await take('user-edit', `${user}/edit`)
    await take('user-delete', `${user}/delete`)
    await take('user-suspend', `${user}/suspend`)
    await press('Suspend user')
    await page.getByText('What still works').waitFor()
    await shoot(page, 'user-suspended')

    await take('group-new', '/groups/new')
    await page.goto('/groups?q=front')
    await page.locator('tbody .kh-rowlink').click()
    await page.waitForURL('**/groups/grp_*')
    const group = new URL(page.url()).pathname
    await take('group-adding', `${group}?add=a`)
    await take('group-delete', `${group}/delete`)

    await take('administrator-new', '/administrators/new?q=fi')
    await page.getByLabel('Fiona MacLeod').check()
    await page.getByLabel('Auditor').check()
    await press('Add administrator')
    await page.getByText('The administrator was added').waitFor()
    await shoot(page, 'administrator-bare')
    const administrator = new URL(page.url()).pathname
    await take('administrator-remove', `${administrator}/remove`)

    await app(demo)
    await page.goto(administrator)
    await shoot(page, 'administrator-waiting')
    await page.getByRole('link', { name: /^Confirm / }).click()
    await page.getByRole('heading', { name: 'Confirm passkey' }).waitFor()
    await shoot(page, 'passkey-confirm')

    await page.goto('/api-keys/new')
    await page.getByLabel('Name').fill('Door sync')
    await fetch(demo.clock_url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ advance: '11m' }) })
    await press('Create API key')
    await page.getByRole('dialog').waitFor()
    await shoot(page, 'api-key-confirm')
    await take('account-stale', '/account')
    await take('confirm', '/confirm')
    await take('error', '/nothing/here')
    await take('docs', '/api/docs')
    await page.goto('/users')
    await shoot(page, 'menu', async () => {
      await page.keyboard.press('Escape')
      await page.locator('.kh-account').click()
    })
    await page.keyboard.press('Escape')
    await shoot(page, 'palette', async () => {
      await page.goto('/users')
      await page.keyboard.press('Control+k')
      await page.keyboard.type('fi')
      await page.locator('#palette-found').getByText('Fiona MacLeod').waitFor()
    })
    await page.goto('/users')
    await page.setViewportSize({ width: 390, height: 844 })
    await page.getByRole('button', { name: 'Open the navigation' }).click()
    await page.screenshot({ path: join(folder, 'navigation-390.png') })
  } finally {
    await demo.stop()
  }
}

/** Takes the pages of API keys. */
async function apiKeys(page, demo) {
  const press = (name) => page.locator('main').getByRole('button', { name }).last().click()
  const take = async (name, path) => {
    await page.goto(path)
    await shoot(page, name)
  }
  const create = async (name, type, expiry, shot) => {
    await page.goto('/api-keys/new')
    await page.getByLabel('Name').fill(name)
    await page.getByRole('radio', { name: new RegExp(`^${type}`) }).check()
    await page.getByRole('radio', { name: new RegExp(`^${expiry}`) }).check()
    if (shot) await shoot(page, shot)
    await press('Create API key')
    await page.getByRole('heading', { name: 'Your API key is ready' }).waitFor()
    return (await page.locator('[data-kh-source]').innerText()).trim()
  }
  const call = (token, path, body) => fetch(new URL(path, demo.url), {
    method: body ? 'POST' : 'GET', body: body && JSON.stringify(body), headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
  })
  await take('api-key-new', '/api-keys/new')
  await create('Tablets of the housekeeping', 'Shared Mobile', '30 days')
  await create('Workstations of the front desk, Hamburg and Bremen', 'Clients', '1 year', 'api-key-new-clients')
  await shoot(page, 'api-key-token')
  await page.reload()
  await page.getByRole('heading', { name: 'created already' }).waitFor()
  await shoot(page, 'api-key-again')
  const token = await create('Payroll sync', 'Admin', 'Never')
  for (let i = 0; i < 40; i++) await call(token, '/api/v1/me')
  await call(token, '/api/v1/api-keys', { name: 'Nightly export', type: 'admin', permissions: ['users.read'] })
  await page.getByLabel('I stored it').check()
  await press('Done')
  await page.getByRole('heading', { name: 'Payroll sync' }).waitFor()
  const key = new URL(page.url()).pathname
  await page.goto(`${key}?tab=usage`)
  while (!(await page.getByRole('heading', { name: 'Requests per day' }).isVisible())) { // uses are written twice a minute
    await page.waitForTimeout(1000)
    await page.reload()
  }
  await shoot(page, 'api-key-usage')
  await take('api-key-made', `${key}?tab=made`)
  await take('api-key-activities', `${key}?tab=activities`)
  for (const act of ['edit', 'disable', 'delete', 'reset']) await take(`api-key-${act}`, `${key}/${act}`)
  await page.getByLabel('1 hour').check()
  await press('Reset API key')
  await page.getByRole('heading', { name: 'The new token is ready' }).waitFor()
  await shoot(page, 'api-key-reset-token')
  await take('api-key', key)
  await page.goto('/api-keys?q=tablets')
  await page.locator('tbody .kh-rowlink').click()
  await page.waitForURL('**/api-keys/key_*')
  await shoot(page, 'api-key-mobile')
  await take('api-key-reset-other', `${new URL(page.url()).pathname}/reset`)
  await take('api-keys', '/api-keys')
  await take('api-keys-nothing', '/api-keys?ends=before&before=2020-01-01&used=since')
  await page.goto('/api-keys')
  await shoot(page, 'api-keys-menu', async () => {
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'More for Payroll sync' }).click()
  })
  await page.keyboard.press('Escape')
}

/** Takes the app, as somebody who is to become an administrator. */
async function app(demo) {
  const page = await open(demo.url)
  await page.goto('/app/sign-in')
  await shoot(page, 'app-sign-in')
  const code = await askCode(page, demo, 'fiona.macleod@harbour.example')
  await shoot(page, 'app-code')
  await page.getByLabel('Code').fill('0000 0000')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('That did not work').or(page.getByText('This code is not right')).first().waitFor()
  await shoot(page, 'app-code-wrong')
  await page.getByLabel('Code').fill(code)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL((url) => url.pathname === '/app')
  await shoot(page, 'app-account-none')
  await page.getByRole('button', { name: 'Add a passkey' }).click()
  await page.getByText('Waits for confirmation').waitFor()
  await shoot(page, 'app-account')
  await page.goto('/app/activity')
  await shoot(page, 'app-activity')
  await page.context().close()
}

/** Makes users and groups until there are so many of each, some at a time. */
async function fill(url, token, from, to) {
  const first = ['Ana', 'Bartholomew', 'Chiamaka', 'Dmitri', 'Eleni', 'Fatima Zahra', 'Günther', 'Hiroshi', 'Ingrid Ø.', 'Jean-Luc', 'Kwame', 'Łucja', 'Mei', 'Thị Minh Khai', 'Oluwaseun', 'Priya']
  const last = ['Silva', 'Featherstonehaugh-Cholmondeley of Blandings III', 'Okonkwo', 'Petrov', 'Papadopoulou', 'El Idrissi', 'Weiß', 'Tanaka', 'Sørensen', 'de la Tour', 'Mensah', 'Wiśniewska', 'Lin', 'Nguyễn', 'Adebayo', 'Raghunathan', 'Ó Súilleabháin']
  const send = async (method, path, key, body) => {
    for (let left = 3; ; left--) {
      try {
        const made = await fetch(new URL(path, url), { method, headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', 'Idempotency-Key': key }, body: JSON.stringify(body) })
        if (made.ok) return made.status === 204 ? {} : await made.json()
        throw new Error(`${path}: ${made.status} ${await made.text()}`)
      } catch (error) {
        if (left === 0) throw error
      }
    }
  }
  const one = async (i) => {
    const user = await send('POST', '/api/v1/users', `user-${i}`, {
      first_name: first[i % first.length], last_name: last[i % last.length], email: `person.${i}@${i % 17 === 1 ? 'a-rather-long-department-name.' : ''}example.com`, employee_id: `E-${String(i).padStart(5, '0')}`,
    })
    const group = await send('POST', '/api/v1/groups', `group-${i}`, {
      name: i % 17 === 1 ? `The committee for the names of committees no. ${i}` : `Team ${String(i).padStart(5, '0')}`, description: i % 3 ? 'Made by a script.' : '',
    })
    if (i % 1000 < 3) {
      await send('PUT', `/api/v1/groups/${group.id}/members/${user.id}`, `member-${i}`)
      await send('POST', `/api/v1/users/${user.id}/suspend`, `suspend-${i}`, {})
    }
  }
  let next = from
  await Promise.all(Array.from({ length: 32 }, async () => {
    while (next < to) await one(next++)
  }))
}
