// The browser: Debian's Chromium with or without the extension, to which every host is the
// websites' server.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')

/** The folder of the extension, unpacked. KEYHOLD_EXTENSION names another one. */
export const extension = process.env.KEYHOLD_EXTENSION ?? join(root, 'extension')

/**
 * Starts the browser over an empty profile. KEYHOLD_CHROMIUM names another one than Debian's.
 * @param {{ port: number, spki: string }} sites
 * @param {{ extension?: string }} [how]
 */
export async function startBrowser(sites, { extension } = {}) {
  const profile = await mkdtemp(join(tmpdir(), 'keyhold-extension-'))
  const context = await chromium.launchPersistentContext(profile, {
    headless: false, // Playwright's own headless mode is a browser without extensions
    executablePath: process.env.KEYHOLD_CHROMIUM ?? '/usr/bin/chromium',
    ignoreDefaultArgs: ['--disable-extensions', '--disable-component-extensions-with-background-pages'],
    args: [
      '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
      `--host-resolver-rules=MAP * 127.0.0.1:${sites.port}, EXCLUDE localhost, EXCLUDE *.localhost`,
      // Websites with an error of their certificate get no passkeys, so the error must not be one.
      `--ignore-certificate-errors-spki-list=${sites.spki}`,
      ...(extension ? [`--disable-extensions-except=${extension}`, `--load-extension=${extension}`, '--disable-features=DisableLoadExtensionCommandLineSwitch'] : []),
    ],
  })
  const close = async () => {
    await context.close()
    await rm(profile, { recursive: true, force: true, maxRetries: 5 })
  }
  return { context, close }
}
