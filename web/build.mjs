// Builds the front end's files into the folder that the binary embeds: hashed
// names, and a manifest from logical names to them. The same input gives the
// same bytes.
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import esbuild from 'esbuild'
import { PurgeCSS } from 'purgecss'

const here = dirname(fileURLToPath(import.meta.url))
const edges = join(here, '../internal/edge')
const dist = join(here, '../internal/edge/kit/assets/dist')
const require = createRequire(import.meta.url)

/** @type {Record<string, string>} */
const manifest = {}

/** Writes a file under its hashed name and notes it in the manifest. */
async function emit(/** @type {string} */ name, /** @type {string | Uint8Array} */ body) {
  const hash = createHash('sha256').update(body).digest('hex').slice(0, 10)
  const dot = name.lastIndexOf('.')
  const hashed = `${name.slice(0, dot)}-${hash}${name.slice(dot)}`
  await writeFile(join(dist, hashed), body)
  manifest[name] = hashed
  return hashed
}

/** Empties the folder but for the file that keeps it in git. */
async function clean() {
  await mkdir(dist, { recursive: true })
  for (const name of await readdir(dist)) {
    if (name !== 'placeholder.txt') await rm(join(dist, name), { recursive: true })
  }
}

/** What the edges' pages are made of: the sources that name classes and icons. */
async function sources() {
  const names = (await readdir(edges, { recursive: true })).filter((n) => /\.(go|templ)$/.test(n) && !/_(templ|test)\.go$/.test(n)).sort()
  return Promise.all(names.map(async (n) => readFile(join(edges, n), 'utf8')))
}

/** One file with the icons that the pages name, as <symbol>s. */
async function sprite(/** @type {string[]} */ texts) {
  const used = new Set()
  for (const text of texts) {
    for (const match of text.matchAll(/(?:\b[iI]con\(|Icon:\s*|\blink\([^)]*?, )"([a-z0-9-]+)"/g)) used.add(match[1])
  }
  const symbols = []
  for (const name of [...used].sort()) {
    const own = join(here, 'src/icons', `${name}.svg`)
    const file = await readFile(own, 'utf8').catch(() => readFile(require.resolve(`@tabler/icons/outline/${name}.svg`), 'utf8'))
    const svg = file.slice(file.indexOf('<svg'))
    const open = svg.slice(0, svg.indexOf('>') + 1)
    const inner = svg.slice(open.length, svg.lastIndexOf('</svg>')).replace(/\s*\n\s*/g, '')
    const attributes = ['viewBox', 'fill', 'stroke', 'stroke-width', 'stroke-linecap', 'stroke-linejoin']
      .map((a) => [a, open.match(new RegExp(`\\s${a}="([^"]*)"`))?.[1]])
      .filter(([, value]) => value)
      .map(([a, value]) => `${a}="${a === 'stroke-width' ? '1.75' : value}"`)
    symbols.push(`<symbol id="${name}" ${attributes.join(' ')}>${inner}</symbol>`)
  }
  return `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join('')}</svg>\n`
}

/** The fonts, each under the name by which fonts.css asks for it. */
async function fonts() {
  /** @type {Record<string, string>} */
  const hashed = {}
  for (const subset of ['latin', 'latin-ext']) {
    const file = require.resolve(`@fontsource-variable/inter/files/inter-${subset}-wght-normal.woff2`)
    hashed[`inter-${subset}.woff2`] = await emit(`inter-${subset}.woff2`, await readFile(file))
  }
  return hashed
}

/** The style sheet: bundled, without the rules that no page needs. */
async function style(/** @type {string[]} */ texts, /** @type {Record<string, string>} */ fontNames) {
  const bundled = await esbuild.build({
    entryPoints: [join(here, 'src/css/app.css')], bundle: true, write: false, external: ['*.woff2'], legalComments: 'none', logLevel: 'warning',
  })
  const scripts = await Promise.all((await readdir(join(here, 'src/js'))).sort().map((n) => readFile(join(here, 'src/js', n), 'utf8')))
  const [purged] = await new PurgeCSS().purge({
    css: [{ raw: bundled.outputFiles[0].text }],
    content: [...texts, ...scripts].map((raw) => ({ raw, extension: 'go' })),
    safelist: { standard: ['html', 'body', /^is-/, /^htmx-/, /^:/], greedy: [/data-bs-theme/] },
    keyframes: true,
    variables: false,
  })
  const { code } = await esbuild.transform(purged.css, { loader: 'css', minify: true, legalComments: 'none' })
  return Object.entries(fontNames).reduce((css, [name, hashed]) => css.replaceAll(`./${name}`, hashed), code)
}

/** The script: ours and htmx in one module. */
async function script() {
  const built = await esbuild.build({
    entryPoints: [join(here, 'src/js/app.js')], bundle: true, write: false, format: 'esm', target: 'es2022', minify: true, legalComments: 'none', logLevel: 'warning',
  })
  return built.outputFiles[0].contents
}

await clean()
const texts = await sources()
await emit('icons.svg', await sprite(texts))
await emit('favicon.svg', await readFile(join(here, 'src/icons/favicon.svg')))
for (const icon of ['app-192.png', 'app-512.png']) await emit(icon, await readFile(join(here, 'src/icons', icon)))
await emit('app.css', await style(texts, await fonts()))
await emit('app.js', await script())
const sorted = Object.fromEntries(Object.entries(manifest).sort(([a], [b]) => (a < b ? -1 : 1)))
await writeFile(join(dist, 'manifest.json'), JSON.stringify(sorted, null, 2) + '\n')
