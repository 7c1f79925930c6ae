// Runs every judge at one desk, says in a line what each found, and ends with 1 if one
// of them is not satisfied.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { askAll } from './ask.mjs'

const installed = (name) => execFileSync('dpkg-query', ['--show', '--showformat', '${Version}', name], { encoding: 'utf8' })
const { devDependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))

// constant: who judges, and how it is asked
const judges = [
  { name: `npm @simplewebauthn/server ${devDependencies['@simplewebauthn/server']}`, command: [process.execPath, '--test', 'simplewebauthn.test.mjs'] },
  { name: `Debian fido2-tools ${installed('fido2-tools')}`, command: [process.execPath, '--test', 'fido2-tools.test.mjs'] },
  // Debian's own Python: another one does not see its packages.
  { name: `Debian python3-fido2 ${installed('python3-fido2')}`, command: ['/usr/bin/python3', '-B', 'python_fido2.py', '-v'] },
]

await askAll(judges, fileURLToPath(new URL('.', import.meta.url)))
