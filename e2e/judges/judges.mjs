// Runs every judge at one desk, says in a line what each found, and ends with 1 if one
// of them is not satisfied.
import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { atDesk } from './desk.mjs'

process.chdir(import.meta.dirname)

const installed = (name) => execFileSync('dpkg-query', ['--show', '--showformat', '${Version}', name], { encoding: 'utf8' })
const { devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'))

// constant: who judges, and how it is asked
const judges = [
  { name: `npm @simplewebauthn/server ${devDependencies['@simplewebauthn/server']}`, command: [process.execPath, '--test', 'simplewebauthn.test.mjs'] },
  { name: `Debian fido2-tools ${installed('fido2-tools')}`, command: [process.execPath, '--test', 'fido2-tools.test.mjs'] },
  // Debian's own Python: another one does not see its packages.
  { name: `Debian python3-fido2 ${installed('python3-fido2')}`, command: ['/usr/bin/python3', '-B', 'python_fido2.py', '-v'] },
]

/** Returns whether the command ended well. */
function ask([program, ...args], env) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: ['ignore', 'inherit', 'inherit'] })
    child.once('error', reject)
    child.once('exit', (code) => resolve(code === 0))
  })
}

await atDesk(async (environment) => {
  const verdicts = []
  for (const { name, command } of judges) {
    console.log(`\n-- ${name}`)
    const satisfied = await ask(command, environment)
    verdicts.push(`${satisfied ? 'satisfied    ' : 'NOT SATISFIED'}  ${name}`)
    if (!satisfied) process.exitCode = 1
  }
  console.log(`\n${verdicts.join('\n')}`)
})
