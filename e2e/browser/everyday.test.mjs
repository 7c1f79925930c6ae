// The everyday of an administrator: users come by the wizard, get groups, are
// suspended while they are signed in and come back, go many at a time; somebody with
// one permission may do just that, and who looks after keys fails at each way to
// become more. Every page on the way is judged by axe-core and has to fit 320 px.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { addAuthenticator, askCode, findMail, judge, readMailbox, setupLink, signInByCode, startBrowser, startDemo, stickingOut, watch } from './keyhold.mjs'

const owner = 'olivia.berger@harbour.example'

/** @type {Awaited<ReturnType<typeof startDemo>>} */
let demo
/** @type {import('playwright-core').Browser} */
let browser
/** @type {string} */
let folder
/** @type {import('playwright-core').Page} */
let page // the owner's window
/** @type {string[][]} */
const complaints = [] // of each window
/** @type {string[]} */
const findings = []

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
  const context = await browser.newContext({ baseURL: demo.url, reducedMotion: 'reduce', acceptDownloads: true })
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
const press = (name, window = page) => window.getByRole('button', { name }).filter({ visible: true }).last().click()
const said = (text, window = page) => window.getByText(text).filter({ visible: true }).first().waitFor()

/** Asks the REST API with the demo's Admin key. */
async function api(method, path, body) {
  const response = await fetch(new URL(path, demo.url), {
    method, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${demo.admin_token}` },
  })
  return response.json()
}

/**
 * Sends what a page could send, with the window's session, and returns the status and
 * the words of the answer.
 */
function send(window, method, path, body, type = 'application/x-www-form-urlencoded') {
  return window.evaluate(async ([method, path, body, type]) => {
    const response = await fetch(path, { method, body: body || undefined, headers: body ? { 'Content-Type': type } : {}, redirect: 'manual' })
    return { status: response.status, text: await response.text() }
  }, [method, path, body ?? '', type])
}

const json = (window, method, path, body) => send(window, method, path, body && JSON.stringify(body), method === 'PATCH' ? 'application/merge-patch+json' : 'application/json')

/** Makes a user an administrator with a preset or with permissions, in the panel. */
async function appoint(search, name, preset, ...permissions) {
  await page.goto('/administrators/new')
  await page.getByLabel('Search users').pressSequentially(search)
  await page.getByLabel(name).check()
  await page.getByLabel(preset).check()
  for (const permission of permissions) await page.getByLabel(permission).check()
  await press('Add administrator')
  await said('The administrator was added')
  return new URL(page.url()).pathname
}

test('a new user comes by the wizard, and others see it happen', async () => {
  const window = await open() // of another owner
  await window.goto(setupLink(folder, 'marcus.feld@harbour.example'))
  await press('Create your passkey', window)
  await window.waitForURL('**/dashboard')
  await window.goto('/users?q=zuzana')
  await heading('All users', window)
  await said('Nothing found', window)

  await page.goto('/users/new')
  await heading('New user')
  await look()
  await page.getByLabel('First name').fill('Zuzana')
  await page.getByLabel('Last name').fill('Čaputová')
  await page.getByRole('textbox', { name: 'E-mail' }).fill(owner)
  await press('Next')
  await page.getByLabel('Front desk').check()
  await look()
  await press('Next')
  await said('Front desk')
  await page.getByLabel('Send an invitation').check()
  await look()
  await press('Back')
  assert.ok(await page.getByLabel('Front desk').isChecked(), 'the group is lost on the way back')
  await press('Back')
  assert.equal(await page.getByLabel('Last name').inputValue(), 'Čaputová', 'the name is lost on the way back')
  await press('Next')
  await press('Next')
  assert.ok(await page.getByLabel('Send an invitation').isChecked(), 'the invitation is lost on the way back')
  await press('Create user')
  await page.getByRole('link', { name: /^E-mail is/ }).waitFor()
  await look()
  await page.getByRole('textbox', { name: 'E-mail' }).fill('zuzana@example.com')
  await press('Next')
  assert.ok(await page.getByLabel('Front desk').isChecked(), 'the group is lost by the error')
  await press('Next')
  await press('Create user')
  await said('The user was created and invited')
  await heading('Zuzana Čaputová')

  await window.getByRole('link', { name: 'Zuzana Čaputová' }).waitFor()
  await said('Olivia Berger: ', window)
  await window.close()
  await findMail(demo, (mail) => mail.to.includes('zuzana@example.com'))
})

test('a group is made and filled by its search box', async () => {
  await page.goto('/groups')
  await look()
  await page.getByRole('link', { name: 'New group' }).click()
  await heading('New group')
  await look()
  await page.getByLabel('Name').fill('Night shift')
  await press('Create group')
  await said('The group was created')
  await look()
  for (const name of ['Zuzana Čaputová', 'Amara Okafor']) {
    await page.getByRole('searchbox', { name: 'Add a member' }).pressSequentially(name.slice(0, 4))
    await press(`Add: ${name}`)
    await page.locator('#members').getByText(name).waitFor()
  }
  await look()
  assert.equal(await page.locator('#members tbody tr').count(), 2)
})

test('who is suspended is out at once, and in again only after', async () => {
  const window = await open() // the user's
  await window.goto('/app')
  await window.waitForURL('**/app/sign-in')
  await look(window)
  const code = await askCode(window, demo, 'zuzana@example.com')
  await look(window)
  await window.getByLabel('Code').fill(code)
  await press('Sign in', window)
  await window.waitForURL((url) => url.pathname === '/app')
  await look(window)
  await window.getByRole('link', { name: 'My activity' }).click()
  await said('Signed in', window)
  await look(window)

  // Another browser of hers waits with a code that is right.
  const second = await open()
  await second.goto('/app/sign-in')
  const waiting = await askCode(second, demo, 'zuzana@example.com')

  await page.goto('/users?q=zuzana')
  await page.getByRole('link', { name: 'Zuzana Čaputová' }).click()
  await page.getByRole('link', { name: 'Suspend', exact: true }).click()
  await heading('Suspend Zuzana Čaputová?')
  await look()
  const out = window.waitForURL('**/app/sign-in*', { timeout: 5000, waitUntil: 'commit' })
  await press('Suspend user')
  await out // nobody touched that window
  await said('The user is suspended')
  await said('What still works')
  await said('Websites keep sessions of their own')
  await look()

  await second.getByLabel('Code').fill(waiting)
  await press('Sign in', second)
  await said('There is no account that is open to this address', second)
  await look(second)
  await second.goto('/app')
  await second.waitForURL('**/app/sign-in*')

  // A new code is not even sent: the mail to somebody else comes, hers does not.
  const mails = async () => (await readMailbox(demo)).filter((mail) => mail.to.includes('zuzana@example.com')).length
  const before = await mails()
  await second.getByLabel('E-mail address').fill('zuzana@example.com')
  await press('Send me a code', second)
  await said('If an account has this address', second)
  await second.goto('/app/sign-in')
  await askCode(second, demo, 'amara.okafor@harbour.example')
  assert.equal(await mails(), before, 'a suspended user got a code')
  await second.close()

  await press('Activate')
  await said('The user is active again')
  await signInByCode(window, demo, 'zuzana@example.com')
  await heading('Zuzana Čaputová', window)
  await window.close()
})

test('many go at once, each with an outcome of their own', async () => {
  for (const name of ['One', 'Two', 'Three']) await api('POST', '/api/v1/users', { first_name: 'Olivia', last_name: name, email: `${name}@example.com` })
  const choose = async (act) => {
    await page.goto('/users?q=olivia')
    await page.getByLabel('Select all on this page').check()
    await said('4 selected')
    await press(act)
  }
  const row = (name) => page.locator('tbody tr').filter({ hasText: name })
  await choose('Suspend')
  await heading('Suspend 4 users?')
  await look()
  await press('Suspend 4 users')
  await said('3 users suspended, 1 not.')
  for (const name of ['Olivia One', 'Olivia Two', 'Olivia Three']) await row(name).getByText('Done').waitFor()
  await row('Olivia Berger').getByText('Nobody suspends or deletes themselves').waitFor()
  await look()
  await choose('Delete')
  await page.getByLabel('Type the number of users').fill('3')
  await press('Delete 4 users')
  await said('Nothing was done yet')
  await look()
  await page.getByLabel('Type the number of users').fill('4')
  await press('Delete 4 users')
  await said('3 users deleted, 1 not.')
  await row('Olivia Berger').getByText('Nobody suspends or deletes themselves').waitFor()
  await page.goto('/users?q=olivia')
  await said('1 user found')
})

test('who has one permission may do just that', async () => {
  await api('POST', '/api/v1/users', { first_name: 'Rita', last_name: 'Reader', email: 'rita@example.com' })
  const path = await appoint('rita', 'Rita Reader', 'Chosen one by one', 'Read users')
  const window = await open()
  await window.goto(setupLink(folder, 'rita@example.com'))
  await press('Create your passkey', window)
  await window.waitForURL('**/dashboard')
  await look(window)
  const nav = window.getByRole('navigation', { name: 'Main navigation' })
  assert.deepEqual((await nav.locator('li').allInnerTexts()).map((name) => name.trim()), ['Dashboard', 'All users', 'Groups'])

  const [user] = (await api('GET', '/api/v1/users?q=zuzana')).data
  const group = (await api('GET', '/api/v1/groups?q=night')).data[0]
  const key = `/api-keys/${(await api('GET', '/api/v1/api-keys')).data[0].id}`
  for (const way of ['/users', `/users/${user.id}`, `/users/${user.id}?tab=groups`, '/groups', `/groups/${group.id}`, '/account', '/search?q=zuzana']) {
    assert.equal((await window.goto(way))?.status(), 200, way)
    for (const name of ['New user', 'New group', 'Suspend', 'Delete', 'Edit']) assert.equal(await window.getByRole('main').getByRole('link', { name, exact: true }).count(), 0, `${way} offers ${name}`)
    if (way.startsWith('/users') || way.startsWith('/groups/')) await look(window)
  }
  for (const way of ['/users/new', `/users/${user.id}/edit`, `/users/${user.id}/suspend`, `/users/${user.id}/delete`, `/users/bulk?act=suspend&ids=${user.id}`, '/groups/new', `/groups/${group.id}/edit`,
    `/groups/${group.id}/delete`, '/activities', '/activities/export?format=csv', '/activities/checkpoint', '/api-keys', '/api-keys/new', key, `${key}?tab=usage`,
    `${key}/edit`, `${key}/reset`, `${key}/disable`, `${key}/enable`, `${key}/delete`, '/administrators', '/administrators/new', path, '/settings']) {
    assert.equal((await window.goto(way))?.status(), 403, way)
    await heading('Not allowed', window)
    await said(/^This needs the permission [a-z_]+\.(read|write)\./, window)
  }
  await look(window)
  for (const [way, form] of [
    ['/users/new', 'to=create&first_name=Eve&email=eve@example.com'], [`/users/${user.id}/edit`, 'revision=1&first_name=Eve&email=eve@example.com'], [`/users/${user.id}/suspend`, ''],
    [`/users/${user.id}/activate`, ''], [`/users/${user.id}/invite`, ''], [`/users/${user.id}/delete`, `revision=1&confirm=${encodeURIComponent('Zuzana Čaputová')}`], [`/users/${user.id}/groups`, `group=${group.id}`],
    [`/users/${user.id}/groups/remove`, `group=${group.id}`], ['/users/bulk', `act=suspend&ids=${user.id}`], ['/users/bulk', `act=delete&confirm=1&ids=${user.id}`], ['/groups', 'name=Eve'],
    [`/groups/${group.id}/edit`, 'revision=1&name=Eve'], [`/groups/${group.id}/delete`, 'revision=1&confirm=Night+shift'], [`/groups/${group.id}/members`, `user=${user.id}`], [`/groups/${group.id}/members/remove`, `user=${user.id}`],
    ['/activities/verify', ''], ['/api-keys', 'name=Eve&type=admin&expiry=never&permissions=users.read'], ['/api-keys', 'name=Eve&type=clients&expiry=never'], [`${key}/edit`, 'revision=1&name=Eve&expiry=keep'],
    [`${key}/reset`, 'overlap=0&expiry=keep'], [`${key}/end-overlap`, ''], [`${key}/disable`, ''], [`${key}/enable`, ''], [`${key}/delete`, 'revision=1&confirm=Eve'], ['/administrators', `user=${user.id}&preset=auditor`], [path, 'revision=1&preset=key_administrator'],
    [`${path}/remove`, ''], [`${path}/sessions/end`, ''], ['/settings', 'revision=1&name=Eve'],
  ]) {
    const answer = await send(window, 'POST', way, form)
    assert.equal(answer.status, 403, `POST ${way}`)
    assert.match(answer.text, /(This|Disabling API keys) needs the permission/, `POST ${way}`)
  }
  for (const [method, way, body] of [
    ['POST', '/users', { first_name: 'Eve', email: 'eve@example.com' }], ['PATCH', `/users/${user.id}`, { first_name: 'Eve' }], ['DELETE', `/users/${user.id}`], ['POST', `/users/${user.id}/suspend`],
    ['POST', '/groups', { name: 'Eve' }], ['GET', '/activities'], ['GET', '/api-keys'], ['GET', '/administrators'], ['GET', '/workspace'],
  ]) {
    const answer = await json(window, method, `/api/v1${way}`, body)
    assert.equal(answer.status, 403, `${method} ${way}: ${answer.text}`)
    assert.match(answer.text, /needs the permission/, `${method} ${way}`)
  }
  assert.equal((await json(window, 'GET', '/api/v1/users?limit=1')).status, 200)

  // Given another permission, the same open window may do more.
  await page.goto(path)
  await page.getByLabel('Change users').check()
  await press('Save permissions')
  await said('The permissions were saved')
  await window.goto('/users')
  await window.getByRole('link', { name: 'New user' }).first().click()
  await window.getByLabel('First name').fill('Made by Rita')
  await window.getByRole('textbox', { name: 'E-mail' }).fill('made@example.com')
  await press('Next', window)
  await press('Next', window)
  await press('Create user', window)
  await said('The user was created', window)
  await window.close()
})

test('who looks after keys does not become owner', async () => {
  // The way in: made administrator, told by mail, a passkey from the app that opens
  // the panel only once it is confirmed.
  await api('POST', '/api/v1/users', { first_name: 'Kai', last_name: 'Keys', email: 'kai@example.com' })
  const own = await appoint('kai', 'Kai Keys', 'Key administrator')
  const window = await open()
  await signInByCode(window, demo, 'kai@example.com')
  await press('Add a passkey', window)
  await said('Waits for confirmation', window)
  await look(window)
  await window.goto('/dashboard')
  assert.equal(new URL(window.url()).pathname, '/app', 'a session of the app opens the panel')
  const [{ id: passkey }] = (await api('GET', `/api/v1${own}/passkeys`)).data
  assert.equal((await send(window, 'POST', `${own}/passkeys/${passkey}/confirm`)).status, 403, 'a session of the app confirms its own passkey')
  await window.goto('/sign-in')
  await press('Sign in with a passkey', window)
  await window.waitForURL((url) => url.pathname === '/app')
  assert.equal((await send(window, 'POST', `${own}/passkeys/${passkey}/confirm`)).status, 403, 'an unconfirmed passkey confirms itself')
  await page.goto(own)
  await page.getByRole('link', { name: /^Confirm / }).click()
  await heading('Confirm passkey')
  await press('Confirm passkey')
  await said('The passkey was confirmed')
  await window.goto('/sign-in')
  await press('Sign in with a passkey', window)
  await window.waitForURL('**/dashboard')
  const nav = window.getByRole('navigation', { name: 'Main navigation' })
  assert.deepEqual((await nav.locator('li').allInnerTexts()).map((name) => name.trim()), ['Dashboard', 'All users', 'Groups', 'New', 'Active', 'Pending', 'Suspended', 'All', 'Clients', 'Activities'])

  // The owner's e-mail, by which a code would come.
  const beyond = 'This user holds permissions that you lack'
  const [{ id: olivia }] = (await api('GET', '/api/v1/users?q=olivia')).data
  await window.goto(`/users/${olivia}/edit`)
  await window.getByRole('textbox', { name: 'E-mail' }).fill('kai+owner@example.com')
  await press('Save changes', window)
  await said(beyond, window)
  await look(window)
  assert.equal((await json(window, 'PATCH', `/api/v1/users/${olivia}`, { email: 'kai+owner@example.com' })).status, 403)

  // The owner out of the way.
  await window.goto(`/users/${olivia}/suspend`)
  await press('Suspend user', window)
  await said(beyond, window)
  await look(window)
  await window.goto(`/users/${olivia}/delete`)
  await window.getByLabel('Type the name to confirm').fill('Olivia Berger')
  await press('Delete user', window)
  await said(beyond, window)
  for (const act of ['suspend', 'delete']) {
    await window.goto(`/users/bulk?act=${act}&ids=${olivia}`)
    if (act === 'delete') await window.getByLabel('Type the number of users').fill('1')
    await press(/^(Suspend|Delete) 1 user$/, window)
    await window.locator('tbody tr').getByText(beyond).waitFor()
  }
  assert.equal((await json(window, 'DELETE', `/api/v1/users/${olivia}`)).status, 403)

  // More permissions, for oneself or by somebody else.
  for (const way of ['/administrators', '/administrators/new', own, '/api-keys', '/api-keys/new', '/settings']) {
    assert.equal((await window.goto(way))?.status(), 403, way)
    await heading('Not allowed', window)
  }
  const [{ id: amara }] = (await api('GET', '/api/v1/users?q=amara')).data
  for (const [way, form] of [
    ['/administrators', `user=${amara}&owner=on&preset=auditor`], [own, 'revision=1&owner=on&preset=auditor'], [own, 'revision=1&preset=custom&permissions=administrators.write'],
    ['/api-keys', 'name=Eve&type=admin&expiry=never&permissions=users.read'], ['/api-keys', 'name=Eve&type=admin&expiry=never&permissions=administrators.write'],
  ]) assert.equal((await send(window, 'POST', way, form)).status, 403, `${way} ${form}`)
  for (const [method, way, body] of [
    ['POST', '/administrators', { user: amara, owner: true }], ['PATCH', own, { owner: true }], ['POST', '/api-keys', { name: 'Eve', type: 'admin', permissions: ['users.read'] }],
  ]) assert.equal((await json(window, method, `/api/v1${way}`, body)).status, 403, `${method} ${way}`)

  // The owner's mailbox read: it opens the app only, and so does the passkey from there.
  const thief = await open()
  await signInByCode(thief, demo, owner)
  await thief.goto('/dashboard')
  assert.equal(new URL(thief.url()).pathname, '/app', 'a session of the app opens the panel')
  await press('Add a passkey', thief)
  await said('Waits for confirmation', thief)
  const seats = (await api('GET', '/api/v1/administrators?limit=200')).data
  const seat = seats.find((s) => JSON.stringify(s).includes(olivia)).id
  const waiting = (await api('GET', `/api/v1/administrators/${seat}/passkeys`)).data.find((k) => !k.confirmed_at)
  assert.ok(waiting, 'the passkey from the app does not wait')
  for (const somebody of [window, thief]) {
    assert.equal((await send(somebody, 'POST', `/administrators/${seat}/passkeys/${waiting.id}/confirm`)).status, 403)
    assert.equal((await json(somebody, 'POST', `/api/v1/administrators/${seat}/passkeys/${waiting.id}/confirm`)).status, 403)
  }
  await thief.goto('/sign-in')
  await press('Sign in with a passkey', thief)
  await thief.waitForURL((url) => url.pathname === '/app')
  await thief.goto('/users')
  assert.equal(new URL(thief.url()).pathname, '/app', 'a passkey that waits opens the panel')
  await thief.close()
  await window.close()

  // Each try is in the record.
  await page.goto('/activities?outcome=refused&person=kai')
  for (const what of ['Tried to change the user', 'Tried to suspend the user', 'Tried to delete the user', 'Tried to create an API key']) await said(what)
  await look()
})

test('the record is filtered, exported and verified; the palette jumps', async () => {
  await api('POST', '/api/v1/users', { first_name: "=HYPERLINK(\"http://evil.example\")", email: 'formula@example.com' })
  await page.goto('/activities')
  await page.getByLabel('What').selectOption({ label: 'Created the user' })
  await page.waitForURL('**/activities?*action=user.create*')
  const row = page.locator('tbody tr').filter({ hasText: '=HYPERLINK' })
  await row.waitFor()
  await look()
  const coming = page.waitForEvent('download')
  await page.getByRole('link', { name: 'CSV' }).click()
  const lines = (await readFile(await (await coming).path(), 'utf8')).split('\r\n')
  assert.equal(lines[0], 'id,index,at,action,outcome,reason,detail,count,actor_type,actor_id,actor_name,target_type,target_id,target_name,user,rp_id,ip,agent,request_id,security_key,client,credential')
  assert.ok(lines.some((line) => line.includes(`,"'=HYPERLINK(""http://evil.example"")",`)), 'a sheet would take the name for a formula')
  assert.ok(lines.slice(1).every((line) => line === '' || line.split(',')[3] === 'user.create'), 'the export holds more than the filter')
  await row.getByRole('link').first().click()
  await page.waitForURL('**/activities/act_*')
  await look()
  await page.goBack()
  await press('Verify the record')
  await said('The record is whole')
  await look()

  await page.keyboard.press('Control+k')
  const palette = page.getByRole('dialog', { name: 'Search' })
  await palette.getByRole('link', { name: 'All users' }).waitFor()
  await look()
  await page.keyboard.type('night')
  await palette.getByRole('link', { name: 'Night shift', exact: true }).waitFor()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await heading('Night shift')
})

test('every page is in order', async () => {
  for (const way of ['/dashboard', '/users', '/settings', '/administrators', '/administrators/new', '/api-keys', '/api-keys/new', '/account', '/search?q=nobody+at+all', '/confirm', '/api/docs']) {
    await page.goto(way)
    if (!way.startsWith('/api/')) await page.evaluate(() => document.querySelectorAll('details').forEach((d) => { d.open = true }))
    await look()
  }
  await page.close()
  assert.deepEqual(findings, [])
  assert.deepEqual(complaints.flat(), [])
})
