import { startBrowser } from './keyhold.mjs'
const [out, scale, ...files] = process.argv.slice(2)
import { readFile } from 'node:fs/promises'
const browser = await startBrowser()
const page = await browser.newPage({ viewport: { width: 100, height: 100 } })
const imgs = await Promise.all(files.map(async (f) => `<div style="font:12px sans-serif"><b>${f.split('/').pop()}</b><br><img style="zoom:${scale};border:1px solid #888" src="data:image/png;base64,${(await readFile(f)).toString('base64')}"></div>`))
await page.setContent(`<!doctype html><body style="margin:4px;display:flex;flex-wrap:nowrap;gap:6px;align-items:flex-start;width:max-content">${imgs.join('')}</body>`)
await page.waitForTimeout(300)
const box = await page.evaluate(() => ({ width: document.documentElement.scrollWidth, height: Math.max(document.body.scrollHeight, document.documentElement.scrollHeight) }))
await page.setViewportSize(box)
await page.screenshot({ path: out })
await browser.close()
