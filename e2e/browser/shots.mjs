// Takes a picture of every page, in light and dark, wide and narrow, into the
// folder that is named: they are looked at before a change of looks is done.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { addAuthenticator, startBrowser, startDemo, startFirstRun } from './keyhold.mjs'

const folder = process.argv[2] ?? 'shots'
await mkdir(folder, { recursive: true })
const demo = await startDemo()
const browser = await startBrowser()

try {
  const context = await browser.newContext({ baseURL: demo.url, reducedMotion: 'reduce' })
  const page = await context.newPage()
  await addAuthenticator(page)

  const shoot = async (name, prepare = async () => {}) => {
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

  const first = await startFirstRun()
  await page.goto(first.setup_url)
  await shoot('setup-owner')
  await page.getByRole('button', { name: 'Create your passkey' }).click()
  await page.getByRole('alert').waitFor()
  await shoot('setup-owner-errors')
  await first.stop()
  await page.goto('/sign-in')
  await shoot('sign-in')
  await page.goto(demo.sign_in_url)
  await shoot('setup')
  await page.getByRole('button', { name: 'Create your passkey' }).click()
  await page.waitForURL('**/dashboard')
  await shoot('dashboard')
  await page.goto('/activities')
  await shoot('activities')
  await page.goto('/activities?action=group.delete')
  await shoot('activities-nothing')
  await page.goto('/activities')
  await page.locator('tbody a').first().click()
  await page.waitForURL('**/activities/act_*')
  await shoot('activity')

  await page.goto('/api-keys/new')
  await shoot('api-key-new')
  await page.getByLabel('Name').fill('Payroll sync')
  await page.getByRole('button', { name: 'Create API key' }).click()
  await page.getByRole('heading', { name: 'Your API key is ready' }).waitFor()
  await shoot('api-key-token')
  await page.goto('/api-keys')
  await shoot('api-keys')

  await people(demo.admin_token)
  await page.goto('/users')
  await shoot('users')
  await page.goto('/users?q=zzz')
  await shoot('users-nothing')
  await page.goto('/users/new')
  await page.getByLabel('First name').fill('Maximiliane-Alexandra')
  await page.getByRole('textbox', { name: 'E-mail' }).fill('not an address')
  await page.getByLabel('Time zone').fill('Middle/Earth')
  await page.locator('main').getByRole('button', { name: 'Next' }).last().click()
  await page.getByRole('alert').first().waitFor()
  await shoot('user-new-errors')
  await page.goto('/users?q=bartholomew')
  await page.locator('tbody a').first().click()
  await shoot('user-details')
  await page.getByRole('link', { name: 'Edit' }).click()
  await page.getByLabel('Employee ID').fill('E-4711')
  await page.getByRole('button', { name: 'Save changes' }).click()
  await page.getByText('The changes were saved.').waitFor()
  await shoot('user-toast')
  await page.getByRole('navigation', { name: 'Sections' }).getByRole('link', { name: 'Activities' }).click()
  await shoot('user-activities')
  await page.goto('/api-keys/new')
  await page.getByLabel('Name').fill('Door sync')
  await fetch(demo.clock_url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ advance: '11m' }) })
  await page.getByRole('button', { name: 'Create API key' }).click()
  await page.getByRole('dialog').waitFor()
  await shoot('api-key-confirm')
  await page.goto('/confirm')
  await shoot('confirm')
  await page.goto('/nothing/here')
  await shoot('error')
  await page.goto('/users')
  await shoot('menu', async () => {
    await page.keyboard.press('Escape')
    await page.locator('.kh-account').click()
  })
  await page.keyboard.press('Escape')
  await page.setViewportSize({ width: 390, height: 844 })
  await page.getByRole('button', { name: 'Open the navigation' }).click()
  await page.screenshot({ path: join(folder, 'navigation-390.png') })
} finally {
  await browser.close()
  await demo.stop()
}

/** Makes people of all lengths, where the demo has few. */
async function people(token) {
  const names = [
    'Ana Silva', 'Bartholomew Featherstonehaugh-Cholmondeley III', 'Chiamaka Okonkwo', 'Dmitri Petrov', 'Eleni Papadopoulou', 'Fatima Zahra El Idrissi',
    'Günther Weiß', 'Hiroshi Tanaka', 'Ingrid Ø. Sørensen', 'Jean-Luc de la Tour', 'Kwame Mensah', 'Łucja Wiśniewska', 'Mei Lin', 'Nguyễn Thị Minh Khai', 'Oluwaseun Adebayo', 'Priya Raghunathan',
  ]
  for (const [i, name] of names.entries()) {
    const [first, ...rest] = name.split(' ')
    await fetch(new URL('/api/v1/users', demo.url), {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ first_name: first, last_name: rest.join(' '), email: `${first.normalize('NFD').replace(/[^a-zA-Z]/g, '').toLowerCase()}${i}@example.com` }),
    })
  }
}
