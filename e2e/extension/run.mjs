// Runs every judge of the extension at one desk, says in a line what each found, and ends
// with 1 if one of them is not satisfied.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { atDesk } from '../judges/desk.mjs'

const { devDependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))

// constant: who judges, and how it is asked
const judges = [
  { name: `npm @simplewebauthn/server ${devDependencies['@simplewebauthn/server']}, in Chromium with the extension`, command: ['--test', ...(process.env.JUDGES_TESTS ? ['--test-name-pattern', process.env.JUDGES_TESTS] : []), 'judge.test.mjs'] },
  { name: "Chromium's own virtual authenticator, beside the extension", command: ['differential.mjs', ...process.argv.slice(2)] },
]

/** @type {import('node:child_process').ChildProcess | undefined} */
let asked
let stopped = false
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
  process.once(signal, () => { // the desk is cleared away all the same
    stopped = true
    asked?.kill(signal)
  })
}

/** Returns whether the command ended well. */
function ask(/** @type {string[]} */ args, /** @type {Record<string, string>} */ env) {
  return new Promise((resolve, reject) => {
    asked = spawn(process.execPath, args, { env, cwd: fileURLToPath(new URL('.', import.meta.url)), stdio: ['ignore', 'inherit', 'inherit'] })
    asked.once('error', reject)
    asked.once('exit', (code) => resolve(code === 0))
  })
}

// The desk hands nothing on that is named KEYHOLD_, but which browser and which extension are this run's.
const { KEYHOLD_CHROMIUM, KEYHOLD_EXTENSION } = process.env
const only = process.env.JUDGES_ONLY ?? ''

await atDesk(async (environment, desk) => {
  const own = {
    ...environment, ...(KEYHOLD_CHROMIUM && { KEYHOLD_CHROMIUM }), ...(KEYHOLD_EXTENSION && { KEYHOLD_EXTENSION }),
    JUDGES_URL: desk.url, JUDGES_ADMIN_TOKEN: desk.token, JUDGES_CLIENTS_TOKEN: desk.clientsToken, JUDGES_USER: desk.user,
  }
  const verdicts = []
  for (const { name, command } of judges) {
    if (stopped) break
    if (!command.join(' ').includes(only)) continue
    console.log(`\n-- ${name}`)
    const satisfied = await ask(command, own)
    verdicts.push(`${satisfied ? 'satisfied    ' : 'NOT SATISFIED'}  ${name}`)
    if (!satisfied) process.exitCode = 1
  }
  console.log(`\n${verdicts.join('\n')}`)
})
