// Runs every judge at one desk, says in a line what each found, and ends with 1 if one
// of them is not satisfied.
import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { atDesk } from './desk.mjs'

const installed = (name) => execFileSync('dpkg-query', ['--show', '--showformat', '${Version}', name], { encoding: 'utf8' })
const { devDependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))

// constant: who judges, and how it is asked
const judges = [
  { name: `npm @simplewebauthn/server ${devDependencies['@simplewebauthn/server']}`, command: [process.execPath, '--test', 'simplewebauthn.test.mjs'] },
  { name: `Debian fido2-tools ${installed('fido2-tools')}`, command: [process.execPath, '--test', 'fido2-tools.test.mjs'] },
  // Debian's own Python: another one does not see its packages.
  { name: `Debian python3-fido2 ${installed('python3-fido2')}`, command: ['/usr/bin/python3', '-B', 'python_fido2.py', '-v'] },
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
function ask([program, ...args], env) {
  return new Promise((resolve, reject) => {
    asked = spawn(program, args, { env, cwd: fileURLToPath(new URL('.', import.meta.url)), stdio: ['ignore', 'inherit', 'inherit'] })
    asked.once('error', reject)
    asked.once('exit', (code) => resolve(code === 0))
  })
}

await atDesk(async (environment) => {
  const verdicts = []
  for (const { name, command } of judges) {
    if (stopped) break
    console.log(`\n-- ${name}`)
    const satisfied = await ask(command, environment)
    verdicts.push(`${satisfied ? 'satisfied    ' : 'NOT SATISFIED'}  ${name}`)
    if (!satisfied) process.exitCode = 1
  }
  console.log(`\n${verdicts.join('\n')}`)
})
