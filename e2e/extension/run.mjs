// Runs every judge of the extension at one desk, says in a line what each found, and ends
// with 1 if one of them is not satisfied.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { askAll } from '../judges/ask.mjs'

const { devDependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))

// constant: who judges, and how it is asked
const judges = [
  { name: `npm @simplewebauthn/server ${devDependencies['@simplewebauthn/server']}, in Chromium with the extension`, command: [process.execPath, '--test', 'judge.test.mjs'] },
  { name: "Chromium's own virtual authenticator, beside the extension", command: [process.execPath, 'differential.mjs', ...process.argv.slice(2)] },
]

// The desk hands nothing on that is named KEYHOLD_, but which browser and which extension are this run's.
const { KEYHOLD_CHROMIUM, KEYHOLD_EXTENSION } = process.env

await askAll(judges, fileURLToPath(new URL('.', import.meta.url)), (desk) => ({
  ...(KEYHOLD_CHROMIUM && { KEYHOLD_CHROMIUM }), ...(KEYHOLD_EXTENSION && { KEYHOLD_EXTENSION }),
  JUDGES_URL: desk.url, JUDGES_ADMIN_TOKEN: desk.token, JUDGES_CLIENTS_TOKEN: desk.clientsToken, JUDGES_USER: desk.user,
}))
