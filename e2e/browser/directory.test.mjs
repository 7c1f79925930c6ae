// Users and groups in a browser: a group filled by typing, many users at once, a
// user suspended, brought back and deleted, and the same without JavaScript. Every
// page on the way is judged by axe-core in light and dark.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { addAuthenticator, judge, startBrowser, startDemo, watch } from './keyhold.mjs'

/** @type {Awaited<ReturnType<typeof startDemo>>} */
let demo
/** @type {import('playwright-core').Browser} */
let browser
/** @type {any} */
let session

before(async () => {
  demo = await startDemo()
  browser = await startBrowser()
})

after(async () => {
  await browser?.close()
  await demo?.stop()
})

test('an administrator keeps users and groups', async (t) => {
  const context = await browser.newContext({ baseURL: demo.url })
  const page = await context.newPage()
  const complaints = await watch(page, (_url, status) => status === 422)
  await addAuthenticator(page)
  /** @type {string[]} */
  const findings = []
  const look = async () => findings.push(...await judge(page))
  await page.goto(demo.sign_in_url)
  await page.getByRole('button', { name: 'Create your passkey' }).click()
  await page.getByRole('link', { name: 'All users' }).first().waitFor()
  session = await context.storageState()

  await t.test('makes a group and fills it by typing', async () => {
    await page.goto('/groups')
    await look()
    await page.getByRole('link', { name: 'New group' }).click()
    await page.getByRole('heading', { name: 'New group', level: 1 }).waitFor()
    await look()
    await page.getByLabel('Name').fill('Night shift')
    await page.getByRole('button', { name: 'Create group' }).click()
    await page.getByText('The group was created.').waitFor()
    await page.getByRole('searchbox', { name: 'Add a member' }).pressSequentially('amara', { delay: 30 })
    await page.getByRole('button', { name: 'Add: Amara Okafor' }).waitFor()
    await look()
    await page.getByRole('button', { name: 'Add: Amara Okafor' }).click()
    await page.getByText('The member was added.').waitFor()
    assert.equal(await page.locator('#members tbody tr').count(), 1)
    await look()
    await page.getByRole('button', { name: 'Remove: Amara Okafor' }).click()
    await page.getByText('The member was removed.').waitFor()
  })

  await t.test('ticks users and puts them into the group', async () => {
    await page.goto('/users')
    assert.ok(!await page.getByRole('button', { name: 'Suspend' }).isVisible())
    await page.getByLabel('Select Amara Okafor').check()
    await page.getByLabel('Select Bao Nguyen').check()
    await page.getByText('2 selected').waitFor()
    await look()
    await page.getByRole('button', { name: 'Add to a group' }).click()
    await page.getByRole('heading', { name: 'Add 2 users to a group' }).waitFor()
    await look()
    await page.getByRole('combobox', { name: 'Group' }).selectOption({ label: 'Night shift' })
    await page.getByRole('button', { name: 'Add to the group' }).click()
    await page.getByText('2 users in the group.').waitFor()
    await look()
  })

  await t.test('suspends a user and brings them back', async () => {
    await page.goto('/users?q=chiara')
    await page.getByRole('button', { name: 'More for Chiara Romano' }).click()
    await page.locator(':popover-open a:focus').waitFor()
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Suspend Chiara Romano?' }).waitFor()
    await look()
    await page.getByRole('button', { name: 'Suspend user' }).click()
    await page.getByText('The user is suspended.').waitFor()
    await page.getByText('Websites keep sessions of their own', { exact: false }).waitFor()
    await look()
    await page.goto('/users')
    await page.getByRole('link', { name: /Suspended\s*2/ }).click()
    await page.getByRole('link', { name: 'Chiara Romano' }).click()
    await page.getByRole('heading', { name: 'Chiara Romano', level: 1 }).waitFor()
    await page.getByRole('button', { name: 'Activate' }).click()
    await page.getByText('The user is active again.').waitFor()
  })

  await t.test('deletes only who was named', async () => {
    await page.getByRole('link', { name: 'Delete' }).click()
    await page.getByRole('heading', { name: 'Delete Chiara Romano?' }).waitFor()
    await look()
    await page.getByLabel('Type the name to confirm').fill('somebody')
    await page.getByRole('button', { name: 'Delete user' }).click()
    await page.getByRole('link', { name: 'What you typed is not what stands above.' }).waitFor()
    await look()
    await page.getByLabel('Type the name to confirm').fill('chiara romano')
    await page.getByRole('button', { name: 'Delete user' }).click()
    await page.getByText('The user was deleted.').waitFor()
    await page.goto('/users?q=chiara')
    await page.getByRole('heading', { name: 'Nothing found' }).waitFor()
  })

  assert.deepEqual(findings, [])
  assert.deepEqual(complaints, [])
  await context.close()
})

test('it works without JavaScript', async () => {
  const context = await browser.newContext({ baseURL: demo.url, storageState: session, javaScriptEnabled: false })
  const page = await context.newPage()
  await page.goto('/users/new')
  await page.getByLabel('First name').fill('Plain')
  await page.getByRole('textbox', { name: 'E-mail' }).fill('plain@example.com')
  await page.locator('main').getByRole('button', { name: 'Next' }).last().click()
  await page.getByLabel('Night shift').check()
  await page.locator('main').getByRole('button', { name: 'Next' }).last().click()
  await page.locator('main').getByRole('button', { name: 'Create user' }).last().click()
  await page.getByRole('heading', { name: 'Plain', level: 1 }).waitFor()
  await page.goto('/users?q=plain')
  await page.getByLabel('Select Plain').check()
  await page.getByRole('button', { name: 'Delete', exact: true }).click()
  await page.getByLabel('Type the number of users to confirm').fill('1')
  await page.getByRole('button', { name: 'Delete 1 user' }).click()
  await page.getByText('1 user deleted.').waitFor()
  await page.goto('/groups')
  await page.getByRole('link', { name: 'Night shift' }).click()
  await page.getByRole('searchbox', { name: 'Add a member' }).fill('elif')
  await page.getByRole('button', { name: 'Find' }).click()
  await page.getByRole('button', { name: /^Add: Elif/ }).click()
  await page.getByRole('button', { name: /^Remove: Elif/ }).waitFor()
  await context.close()
})
