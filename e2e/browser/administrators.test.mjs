// An owner makes an administrator, who comes in, is removed, comes back with a
// passkey that waits, is confirmed and thrown out again; then the owner keeps their
// own account in order. Every page is judged by axe-core and has to fit 320 px.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { addAuthenticator, judge, setupLink, startBrowser, startDemo, watch } from './keyhold.mjs'

/** @type {Awaited<ReturnType<typeof startDemo>>} */
let demo
/** @type {import('playwright-core').Browser} */
let browser
/** @type {string} */
let folder

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyhold-'))
  demo = await startDemo('--keep', folder)
  browser = await startBrowser()
})

after(async () => {
  await browser?.close()
  await demo?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** Opens a window of its own, with an authenticator. */
async function open() {
  const context = await browser.newContext({ baseURL: demo.url, reducedMotion: 'reduce' })
  const page = await context.newPage()
  const complaints = await watch(page, (_url, status) => [403, 404, 422].includes(status))
  await addAuthenticator(page)
  return { page, complaints }
}

const advance = (/** @type {string} */ time) => fetch(demo.clock_url, {
  method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ advance: time }),
})

test('administrators come, wait, are confirmed and go', async () => {
  const { page, complaints } = await open()
  const { page: window } = await open() // the new administrator's
  /** @type {string[]} */
  const findings = []
  const look = async () => {
    findings.push(...await judge(page))
    await page.setViewportSize({ width: 320, height: 700 })
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) findings.push(`${page.url()} is wider than 320 px`)
    await page.setViewportSize({ width: 1280, height: 800 })
  }
  const said = (/** @type {string} */ text) => page.getByText(text).filter({ visible: true }).first().waitFor()
  const press = (/** @type {string | RegExp} */ name) => page.getByRole('button', { name }).first().click()

  await page.goto(demo.sign_in_url)
  await press('Create your passkey')
  await page.waitForURL('**/dashboard')
  await fetch(`${demo.url}/api/v1/users`, {
    method: 'POST', headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${demo.admin_token}` },
    body: JSON.stringify({ email: 'bob@example.org', first_name: 'Bob', last_name: 'Builder' }),
  })

  // Picked from the search box, with a preset; the proof of presence is too old.
  await page.goto('/administrators')
  await look()
  await page.getByRole('link', { name: 'Add administrator' }).click()
  await page.getByLabel('Search users').pressSequentially('bob bu', { delay: 20 })
  await page.getByLabel('Bob Builder').check()
  await page.getByLabel('Account manager').check()
  assert.equal(await page.locator('input[name=permissions]:checked').count(), 6, 'the preset ticks its permissions')
  await look()
  await advance('11m')
  await press('Add administrator')
  await page.getByRole('dialog').waitFor()
  await look()
  await press('Confirm with passkey')
  await said('The administrator was added')
  await look()

  // He comes in by a setup link, and may do what the preset says and no more.
  await window.goto(setupLink(folder, 'bob@example.org'))
  await window.getByRole('button', { name: 'Create your passkey' }).click()
  await window.waitForURL('**/dashboard')
  assert.equal(await window.getByRole('link', { name: 'Administrators' }).count(), 0, 'he is not offered administrators')
  assert.equal((await window.goto('/administrators'))?.status(), 403)

  // Removed, he is out at once.
  await page.reload()
  await page.getByRole('link', { name: 'Remove', exact: true }).click()
  await look()
  await press('Remove administrator')
  await said('The administrator was removed')
  await window.waitForURL('**/sign-in?*')

  // Back again, his passkey opens the app only until it is confirmed.
  await page.goto('/administrators/new?q=bob+bu')
  await page.getByLabel('Bob Builder').check()
  await page.getByLabel('Auditor').check()
  await press('Add administrator')
  await said('The administrator was added')
  await window.getByRole('button', { name: 'Sign in with a passkey' }).click()
  await window.waitForURL((url) => url.pathname === '/app')
  await page.goto('/administrators')
  await said('Waiting for confirmation')
  await look()
  await page.getByRole('link', { name: 'Bob Builder' }).click()
  await look()
  await page.getByRole('link', { name: /^Confirm / }).click()
  await look()
  await press('Confirm passkey')
  await said('The passkey was confirmed')
  await window.goto('/sign-in')
  await window.getByRole('button', { name: 'Sign in with a passkey' }).click()
  await window.waitForURL('**/dashboard')

  // What is taken from him is gone in his open window, and so is the window.
  await page.getByLabel('Chosen one by one').check()
  for (const box of await page.locator('input[name=permissions]').all()) await box.uncheck()
  await press('Save permissions')
  await said('The permissions were saved')
  // Asked beside the window: it may be reloading itself just now.
  assert.equal((await window.request.get('/users', { headers: { Accept: 'text/html' } })).status(), 403)
  // Its stream is refused for a while, as by a proxy whose server is away: it asks again, and is out.
  await window.route('**/live', (route) => route.fulfill({ status: 502 }))
  const refused = window.waitForResponse((r) => r.url().endsWith('/live') && r.status() === 502)
  await window.goto('/account')
  await refused
  await page.reload()
  await press('End all sessions')
  await said('The sessions were ended')
  await window.unroute('**/live')
  await window.waitForURL('**/sign-in?*')

  // One's own account.
  await page.goto('/account')
  await look()
  await page.getByLabel('Name of the passkey').first().fill('Ada’s laptop')
  await press('Rename')
  await said('The passkey was renamed')
  await advance('11m')
  await page.goto('/account')
  await page.getByRole('link', { name: 'Confirm with your passkey first' }).click()
  await press('Confirm with passkey')
  await page.waitForURL((url) => url.pathname === '/account')
  const passkeys = page.getByRole('link', { name: /^Remove / })
  for (let left = await passkeys.count(); left > 1; left--) {
    await passkeys.first().click()
    await press('Remove passkey')
    await said('The passkey was removed')
  }
  await passkeys.first().click()
  await press('Remove passkey')
  await said('This is your last passkey that opens the panel')
  await look()

  assert.deepEqual(findings, [])
  assert.deepEqual(complaints, [])
})
