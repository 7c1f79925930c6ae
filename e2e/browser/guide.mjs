// Takes the pictures of docs/guide: light, 1280 wide, the app as on a telephone.
import { join } from 'node:path'
import { addAuthenticator, askCode, startDemo } from './keyhold.mjs'

/**
 * @param {import('playwright-core').Browser} browser
 * @param {string} folder
 */
export async function takeGuide(browser, folder) {
  const demo = await startDemo()
  const open = async (width, height) => {
    const context = await browser.newContext({ baseURL: demo.url, reducedMotion: 'reduce', colorScheme: 'light', viewport: { width, height } })
    const page = await context.newPage()
    await addAuthenticator(page)
    return page
  }
  const take = async (page, name) => {
    await page.evaluate(() => {
      document.querySelectorAll('.kh-toast').forEach((toast) => toast.remove())
      return document.fonts.ready
    })
    await page.screenshot({ path: join(folder, `${name}.png`) })
  }
  try {
    const page = await open(1280, 720)
    const press = (name) => page.locator('main').getByRole('button', { name }).last().click()
    const show = async (name, path) => {
      await page.goto(path)
      await take(page, name)
    }
    await page.goto(demo.sign_in_url)
    await page.getByRole('button', { name: 'Create your passkey' }).click()
    await page.waitForURL('**/dashboard')
    await show('dashboard', '/dashboard')
    await page.keyboard.press('Control+k')
    await page.keyboard.type('fi')
    await page.locator('#palette-found').getByText('Fiona MacLeod').first().waitFor()
    await take(page, 'palette')

    await page.goto('/users')
    const boxes = await page.locator('tbody input').all()
    for (const box of boxes.slice(0, 3)) await box.check()
    await take(page, 'users')
    await page.goto('/users/new')
    await page.getByLabel('First name').fill('Zuzana')
    await page.getByLabel('Last name').fill('Čaputová')
    await page.getByRole('textbox', { name: 'E-mail' }).fill('zuzana@harbour.example')
    await press('Next')
    await page.getByLabel('Front desk').check()
    await take(page, 'user-new')

    await page.goto('/groups?q=front')
    await page.locator('tbody .kh-rowlink').click()
    await page.getByRole('searchbox', { name: 'Add a member' }).pressSequentially('fio')
    await page.getByRole('button', { name: 'Add: Fiona MacLeod' }).waitFor()
    await take(page, 'group')

    await page.goto('/users?q=daniel')
    await page.locator('tbody .kh-rowlink').click()
    await page.getByRole('link', { name: 'Suspend', exact: true }).click()
    await page.getByRole('heading', { name: /^Suspend / }).waitFor()
    await take(page, 'suspend')
    await press('Suspend user')
    await page.getByText('What still works').waitFor()
    await take(page, 'suspended')

    await page.goto('/administrators/new?q=fio')
    await page.getByLabel('Fiona MacLeod').check()
    await page.getByLabel('Key administrator').check()
    await take(page, 'administrator-new')
    await press('Add administrator')
    await page.getByText('The administrator was added').waitFor()
    const administrator = page.url()

    const phone = await open(390, 720)
    await phone.goto('/app/sign-in')
    await take(phone, 'app-sign-in')
    const code = await askCode(phone, demo, 'fiona.macleod@harbour.example')
    await phone.getByLabel('Code').fill(code)
    await phone.getByRole('button', { name: 'Sign in' }).click()
    await phone.waitForURL((url) => url.pathname === '/app')
    await phone.getByRole('button', { name: 'Add a passkey' }).click()
    await phone.getByText('Waits for confirmation').waitFor()
    await take(phone, 'app-account')
    await phone.goto('/app/activity')
    await take(phone, 'app-activity')

    await page.goto(administrator)
    await take(page, 'administrator')
    await show('activities', '/activities')
    await press('Verify the record')
    await page.getByText('The record is whole').waitFor()
    await take(page, 'verified')
    await show('settings', '/settings')

    const create = async (name, type, expiry) => {
      await page.goto('/api-keys/new')
      await page.getByLabel('Name').fill(name)
      await page.getByRole('radio', { name: new RegExp(`^${type}`) }).check()
      await page.getByRole('radio', { name: new RegExp(`^${expiry}`) }).check()
      await press('Create API key')
      await page.getByRole('heading', { name: 'Your API key is ready' }).waitFor()
      return (await page.locator('[data-kh-source]').innerText()).trim()
    }
    await show('api-key-new', '/api-keys/new')
    await create('Tablets of the housekeeping', 'Shared Mobile', '30 days')
    await create('Workstations of the front desk', 'Clients', '1 year')
    await take(page, 'api-key-token')
    await create('Payroll sync', 'Admin', '90 days')
    await page.getByLabel('I stored it').check()
    await press('Done')
    await page.getByRole('heading', { name: 'Payroll sync' }).waitFor()
    const key = new URL(page.url()).pathname
    await show('api-key-reset', `${key}/reset`)
    await page.getByLabel('1 hour').check()
    await press('Reset API key')
    await page.getByRole('heading', { name: 'The new token is ready' }).waitFor()
    await show('api-key', key)
    await show('api-keys', '/api-keys')

    await show('security-keys', '/security-keys')
    await page.goto('/users?q=amara')
    await page.locator('tbody .kh-rowlink').click()
    await page.waitForURL('**/users/user_*')
    const holder = new URL(page.url()).pathname
    await take(page, 'user-keys')
    await page.getByRole('link', { name: 'Add Device' }).click()
    await page.getByRole('heading', { name: /^Add a security key/ }).waitFor()
    await take(page, 'add-device')
    await page.goto(`${holder}/access-pass`)
    await press('Make the pass')
    await page.locator('[data-kh-source]').waitFor()
    await take(page, 'access-pass')

    const front = page.getByRole('checkbox', { name: /^Front door/ })
    await page.goto('/digital-keys/new')
    await page.getByLabel('Description').fill('Plumber')
    await front.check()
    await page.getByRole('button', { name: 'Now, 10 minutes' }).click()
    await page.getByText('; 10 minutes').waitFor()
    await take(page, 'digital-key-new')
    await show('digital-keys', '/digital-keys')
    await page.goto('/locks')
    await page.getByText('Up to date').first().waitFor()
    await take(page, 'locks')
    const holding = await open(390, 720)
    await holding.goto('/app/sign-in')
    const pass = await askCode(holding, demo, 'amara.okafor@harbour.example')
    await holding.getByLabel('Code').fill(pass)
    await holding.getByRole('button', { name: 'Sign in' }).click()
    await holding.waitForURL((url) => url.pathname === '/app')
    await holding.getByRole('button', { name: /^Unlock Front door/ }).click()
    await holding.getByText('Opened.').waitFor()
    await take(holding, 'app-doors')
    await page.goto('/lock-events')
    await page.getByText('Opened by App').first().waitFor()
    await take(page, 'lock-events')
    await page.goto('/locks')
    await page.getByRole('link', { name: 'Garage' }).click()
    await page.getByRole('link', { name: 'Enrol a controller' }).first().click()
    await press('Show the command')
    await page.locator('[data-kh-source]').waitFor()
    await take(page, 'lock-enrol')
  } finally {
    await demo.stop()
  }
}
