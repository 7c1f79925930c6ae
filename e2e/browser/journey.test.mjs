// One thin path, as an owner walks it: sign in with a passkey, keep users, issue
// an API key that works. Every page on the way is judged by axe-core in light and
// dark, and nothing may complain.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { addAuthenticator, judge, startBrowser, startDemo, startFirstRun, stickingOut, watch } from './keyhold.mjs'

/** @type {Awaited<ReturnType<typeof startDemo>>} */
let demo
/** @type {import('playwright-core').Browser} */
let browser

before(async () => {
  demo = await startDemo()
  browser = await startBrowser()
})

after(async () => {
  await browser?.close()
  await demo?.stop()
})

/** Opens a page that is watched. The refusals are those that the journey provokes. */
async function open(options = {}) {
  const context = await browser.newContext({ baseURL: demo.url, permissions: ['clipboard-read', 'clipboard-write'], ...options })
  const page = await context.newPage()
  const complaints = await watch(page, (_url, status) => [403, 404, 422].includes(status))
  return { context, page, complaints }
}

/** Asks the REST API with a token. */
async function api(path, token) {
  const response = await fetch(new URL(path, demo.url), { headers: { Authorization: `Bearer ${token}` } })
  return { status: response.status, body: await response.json() }
}

test('an owner signs in, keeps users and issues an API key', async (t) => {
  const { context, page, complaints } = await open()
  const authenticator = await addAuthenticator(page)
  /** @type {string[]} */
  const findings = []
  const look = async () => findings.push(...await judge(page))
  let actor = ''
  let token = ''

  await t.test('registers a passkey by the link', async () => {
    await page.goto(demo.sign_in_url)
    await look()
    await page.getByRole('button', { name: 'Create your passkey' }).click()
    await page.waitForURL('**/dashboard')
    await page.getByRole('heading', { name: 'Dashboard', level: 1 }).waitFor()
    await look()
    const { credentials } = await authenticator.cdp.send('WebAuthn.getCredentials', { authenticatorId: authenticator.authenticatorId })
    assert.equal(credentials.length, 1)
    assert.ok(credentials[0].isResidentCredential)
  })

  await t.test('signs out and in again', async () => {
    await page.locator('.kh-account').click()
    actor = (await page.locator('.kh-menu-head strong').textContent()) ?? ''
    await look()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.waitForURL('**/sign-in')
    await page.getByText('You are signed out.').waitFor()
    await look()
    await page.goto('/users/new')
    await page.waitForURL('**/sign-in?next=*')
    await page.getByRole('button', { name: 'Sign in with a passkey' }).click()
    await page.waitForURL('**/users/new')
  })

  await t.test('creates a user, after an error that keeps what was entered', async () => {
    await look()
    await page.getByLabel('First name').fill('Zuzana')
    await page.getByLabel('Last name').fill('Čaputová-Nováková')
    await page.getByRole('textbox', { name: 'E-mail' }).fill('not an address')
    await page.getByLabel('Time zone').fill('Europe/Bratislava')
    await page.locator('main').getByRole('button', { name: 'Next' }).last().click()
    await page.getByRole('link', { name: 'E-mail is not an e-mail address.' }).waitFor()
    assert.equal(await page.getByLabel('Last name').inputValue(), 'Čaputová-Nováková')
    await look()
    await page.getByRole('textbox', { name: 'E-mail' }).fill('zuzana@example.com')
    await page.locator('main').getByRole('button', { name: 'Next' }).last().click()
    await page.getByLabel('Find groups').fill('front')
    await page.keyboard.press('Enter')
    await page.getByLabel('Front desk').check()
    await look()
    await page.getByRole('button', { name: 'User info' }).click()
    assert.equal(await page.getByLabel('Last name').inputValue(), 'Čaputová-Nováková')
    await page.locator('main').getByRole('button', { name: 'Next' }).last().click()
    assert.ok(await page.getByLabel('Front desk').isChecked())
    await page.locator('main').getByRole('button', { name: 'Next' }).last().click()
    await page.getByText('Send an invitation by e-mail').waitFor()
    await look()
    await page.locator('main').getByRole('button', { name: 'Create user' }).last().click()
    await page.getByText('The user was created.').waitFor()
    await page.getByRole('heading', { name: 'Zuzana Čaputová-Nováková', level: 1 }).waitFor()
    await look()
  })

  await t.test('finds the user while typing', async () => {
    await page.getByRole('link', { name: 'All users' }).first().click()
    await page.getByLabel('Search users').pressSequentially('zuz cap', { delay: 30 })
    await page.waitForURL('**/users?*q=zuz*cap*')
    await page.getByText('1 user found', { exact: true }).waitFor()
    assert.equal(await page.locator('tbody tr').count(), 1)
    await page.getByLabel('Search users').fill('nobody at all')
    await page.getByRole('heading', { name: 'Nothing found' }).waitFor()
    await look()
    await page.getByRole('link', { name: 'Clear the search' }).click()
    await page.getByRole('link', { name: 'User ID' }).click()
    assert.equal(await page.getByRole('columnheader', { name: 'User ID' }).getAttribute('aria-sort'), 'ascending')
    await look()
  })

  await t.test('changes the user; the record names who did', async () => {
    await page.getByRole('link', { name: 'Zuzana Čaputová-Nováková' }).click()
    await page.getByRole('link', { name: 'Edit' }).click()
    await page.getByLabel('Employee ID').fill('E-4711')
    await look()
    await page.getByRole('button', { name: 'Save changes' }).click()
    await page.getByText('The changes were saved.').waitFor()
    await page.getByRole('navigation', { name: 'Sections' }).getByRole('link', { name: 'Activities' }).click()
    await page.waitForURL('**?tab=activities')
    const rows = page.locator('tbody tr')
    await rows.first().waitFor()
    assert.match((await rows.nth(0).innerText()), /Changed the user[\s\S]*Employee ID/)
    assert.match((await rows.nth(1).innerText()), /Created the user/)
    for (const row of await rows.all()) assert.ok((await row.innerText()).includes(actor), `the row does not name ${actor}`)
    await look()
  })

  await t.test('filters, exports and verifies the record', async () => {
    await page.getByRole('navigation', { name: 'Main navigation' }).getByRole('link', { name: 'Activities' }).click()
    await page.getByRole('heading', { name: 'Activities', level: 1 }).waitFor()
    await look()
    await page.getByLabel('What').selectOption({ label: 'Changed the user' })
    await page.waitForURL('**/activities?*action=user.update*')
    await page.locator('tbody tr').first().getByText('Changed the user').waitFor()
    await look()
    const download = page.waitForEvent('download')
    await page.getByRole('link', { name: 'CSV' }).click()
    const file = await download
    assert.match(file.suggestedFilename(), /^activities-\d{8}-\d{6}\.csv$/)
    await page.locator('tbody tr').first().getByRole('link').first().click()
    await page.waitForURL('**/activities/act_*')
    await look()
    await page.goBack()
    await page.getByRole('button', { name: 'Verify the record' }).click()
    await page.getByText('The record is whole').waitFor()
    await look()
    await page.getByText('Verify with a checkpoint').first().click()
    await page.getByLabel('Checkpoint').fill('not a checkpoint')
    await page.getByRole('button', { name: 'Verify with a checkpoint' }).click()
    await page.getByText('Checkpoint cannot be read').waitFor()
    assert.equal(await page.getByLabel('Checkpoint').inputValue(), 'not a checkpoint')
    await look()
  })

  await t.test('issues an API key that works, shown once', async () => {
    await page.getByRole('link', { name: 'API Key Management' }).click()
    await look()
    await page.getByRole('link', { name: 'New API key' }).first().click()
    await look()
    await page.getByRole('button', { name: 'Create API key' }).click()
    await page.getByRole('link', { name: 'Name is needed.' }).waitFor()
    await page.getByLabel('Name').fill('Payroll sync')
    await page.getByLabel('On a date of your choice').check()
    assert.ok(await page.getByLabel('Last day').isVisible())
    await page.getByLabel('30 days').check()
    await page.getByRole('button', { name: 'Create API key' }).click()
    await page.getByRole('heading', { name: 'Your API key is ready' }).waitFor()
    token = (await page.getByLabel('Token', { exact: true }).innerText()).trim()
    assert.match(token, /^kh_admin_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}$/)
    await look()
    assert.deepEqual(await stickingOut(page, 320), [])
    await page.getByRole('button', { name: 'Copy' }).click()
    await page.getByRole('button', { name: 'Copied' }).waitFor()
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), token)
    assert.ok(await page.getByRole('button', { name: 'Done' }).isDisabled())
    await page.getByLabel('I stored it').check()
    await page.getByRole('button', { name: 'Done' }).click()
    await page.getByRole('heading', { name: 'Payroll sync' }).waitFor()
    assert.ok(!(await page.content()).includes(token), 'the key’s page shows the token')
    await look()
    const me = await api('/api/v1/me', token)
    assert.equal(me.status, 200)
  })

  await t.test('the API knows the user', async () => {
    const { status, body } = await api('/api/v1/users?q=zuzana', demo.admin_token)
    assert.equal(status, 200)
    assert.match(JSON.stringify(body), /zuzana@example\.com/)
  })

  await t.test('pages through a long list, in its order', async () => {
    for (let i = 0; i < 60; i++) {
      const made = await fetch(new URL('/api/v1/users', demo.url), {
        method: 'POST',
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
        body: JSON.stringify({ first_name: `Page ${String(i).padStart(2, '0')}`, email: `page${i}@example.com` }),
      })
      assert.equal(made.status, 201)
    }
    await page.goto('/users?q=page')
    const names = async () => page.locator('tbody .kh-rowlink').allInnerTexts()
    await page.getByRole('link', { name: 'Name' }).click()
    await page.waitForURL('**sort=-name**')
    const first = await names()
    await look()
    await page.getByRole('link', { name: 'Next page' }).click()
    await page.waitForURL('**cursor=**')
    const second = await names()
    await look()
    assert.deepEqual([...first, ...second], Array.from({ length: 60 }, (_, i) => `Page ${String(59 - i).padStart(2, '0')}`))
    assert.equal(await page.getByRole('link', { name: 'Next page' }).count(), 0)
    await page.getByRole('link', { name: 'First page' }).click()
    await page.getByText('Page 59', { exact: true }).waitFor()
    await page.goto('/users?q=page&cursor=foreign')
    await page.waitForURL('**/users?q=page')
  })

  await t.test('asks for a fresh passkey and keeps the form', async () => {
    await page.goto('/api-keys/new')
    await page.getByLabel('Name').fill('Door sync')
    const moved = await fetch(demo.clock_url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ advance: '11m' }) })
    assert.ok(moved.ok, 'the clock does not move')
    await page.getByRole('button', { name: 'Create API key' }).click()
    await page.getByRole('dialog').getByRole('heading', { name: 'Confirm that it is you' }).waitFor()
    await look()
    await page.getByRole('button', { name: 'Confirm with passkey' }).click()
    await page.getByRole('heading', { name: 'Your API key is ready' }).waitFor()
    await page.getByText('Door sync').first().waitFor()
  })

  await t.test('errors are pages, too', async () => {
    await page.goto('/nothing/here')
    await page.getByRole('heading', { name: 'Not found' }).waitFor()
    await look()
  })

  await t.test('themes hold, narrow screens work', async () => {
    await page.goto('/users')
    await page.locator('.kh-account').click()
    await page.getByRole('button', { name: 'Dark' }).click()
    await page.reload()
    assert.equal(await page.locator('html').getAttribute('data-bs-theme'), 'dark')
    await page.locator('.kh-account').click()
    await page.getByRole('button', { name: 'System' }).click()
    for (const width of [390, 320]) {
      for (const path of ['/dashboard', '/activities', '/activities?live=1&outcome=refused&person=a', '/users', '/users/new', '/api-keys', '/api-keys/new', '/confirm', '/nothing/here']) {
        await page.goto(path)
        assert.deepEqual(await stickingOut(page, width), [])
      }
    }
    await page.setViewportSize({ width: 320, height: 800 })
    await page.goto('/users')
    await page.getByRole('button', { name: 'Open the navigation' }).click()
    await page.getByRole('link', { name: 'API Key Management' }).waitFor()
    await look()
  })

  await t.test('reading and plain forms work without JavaScript', async () => {
    const plain = await browser.newContext({ baseURL: demo.url, javaScriptEnabled: false, storageState: await context.storageState() })
    const reader = await plain.newPage()
    await reader.goto('/users')
    await reader.getByLabel('Search users').fill('zuz')
    await reader.getByRole('button', { name: 'Search' }).click()
    await reader.getByText('1 user found', { exact: true }).waitFor()
    await reader.getByRole('link', { name: 'New user' }).click()
    await reader.getByLabel('First name').fill('Plain')
    await reader.getByRole('button', { name: 'Next' }).last().click()
    await reader.getByRole('link', { name: 'E-mail is needed.' }).waitFor()
    await reader.getByRole('textbox', { name: 'E-mail' }).fill('plain@example.com')
    await reader.getByRole('button', { name: 'Next' }).last().click()
    await reader.getByRole('button', { name: 'Next' }).last().click()
    await reader.getByRole('button', { name: 'Create user' }).last().click()
    await reader.getByText('The user was created.').waitFor()
    await reader.locator('.kh-account').click()
    await reader.getByRole('button', { name: 'Dark' }).click()
    assert.equal(await reader.locator('html').getAttribute('data-bs-theme'), 'dark')
    await plain.close()
  })

  assert.deepEqual(findings, [], 'axe-core')
  assert.deepEqual(complaints, [], 'the browser')
  await context.close()
})

test('the first owner names the workspace and themselves', async () => {
  const server = await startFirstRun()
  try {
    const { context, page, complaints } = await open({ baseURL: server.url })
    await addAuthenticator(page)
    await page.goto(server.setup_url)
    await page.getByLabel('Workspace name').fill('')
    await page.getByRole('button', { name: 'Create your passkey' }).click()
    await page.getByRole('alert').getByText('E-mail is needed').waitFor()
    assert.equal(await page.getByRole('textbox', { name: 'E-mail' }).getAttribute('aria-invalid'), 'true')
    assert.deepEqual(await judge(page), [])
    await page.getByLabel('Workspace name').fill('Analytical Engines')
    await page.getByLabel('First name').fill('Ada')
    await page.getByRole('textbox', { name: 'E-mail' }).fill('ada@example.com')
    await page.getByRole('button', { name: 'Create your passkey' }).click()
    await page.waitForURL('**/dashboard')
    await page.getByRole('link', { name: 'All users' }).click()
    await page.getByText('1 user', { exact: true }).waitFor()
    await page.getByText('Analytical Engines').waitFor()
    await page.goto(server.setup_url)
    await page.getByRole('heading', { name: 'Not found' }).waitFor()
    assert.deepEqual(complaints, [])
    await context.close()
  } finally {
    await server.stop()
  }
})

test('a demo may be looked at without a passkey', async () => {
  const another = await startDemo()
  try {
    const { context, page, complaints } = await open({ baseURL: another.url })
    await page.goto(another.sign_in_url)
    await page.getByRole('button', { name: 'Continue without a passkey' }).click()
    await page.waitForURL('**/dashboard')
    assert.deepEqual(await judge(page), [])
    assert.deepEqual(complaints, [])
    await context.close()
  } finally {
    await another.stop()
  }
})
