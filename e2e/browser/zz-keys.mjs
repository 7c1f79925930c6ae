import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { addAuthenticator, startBrowser, startDemo, judge, stickingOut, watch } from './keyhold.mjs'
import { takeKeys } from './shots-keys.mjs'
const folder = process.argv[2]
await mkdir(folder, { recursive: true })
const browser = await startBrowser()
const demo = await startDemo()
try {
  const context = await browser.newContext({ baseURL: demo.url, reducedMotion: 'reduce' })
  context.setDefaultTimeout(10000)
  const page = await context.newPage()
  const complaints = await watch(page, (_u, s) => [403, 404, 422].includes(s))
  await addAuthenticator(page)
  await page.goto(demo.sign_in_url)
  await page.getByRole('button', { name: 'Create your passkey' }).click()
  await page.waitForURL('**/dashboard')
  const findings = []
  const shoot = async (page, name, prepare = async () => {}) => {
    for (const width of [1440, 390]) {
      await page.setViewportSize({ width, height: width === 390 ? 844 : 900 })
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
        await prepare()
        await page.evaluate(() => document.fonts.ready)
        await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`), fullPage: process.env.FULL === '1' })
      }
    }
    await page.setViewportSize({ width: 1440, height: 900 })
    for (const f of [...await judge(page), ...await stickingOut(page, 320)]) findings.push(name + ': ' + f)
  }
  try { await takeKeys(page, shoot) } catch (e) { await page.screenshot({ path: join(folder, 'ERROR.png') }); console.log(page.url()); console.log(e) }
  console.log(findings.join('\n'))
  console.log('complaints', complaints)
} finally { await demo.stop(); await browser.close() }
