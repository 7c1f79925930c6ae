// A desk: the real server, one person with cards, and a workstation that is an approved
// client. The judges sit in front of it.
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const server = process.env.KEYHOLD_BIN ?? join(root, 'bin/keyhold')
const agent = process.env.KEYHOLD_AGENT_BIN ?? join(root, 'bin/keyhold-agent')

const card = { number: '04:A1:B2:C3:D4:E5:80', pin: '904417' }
const pinless = { number: '04:00:00:00:00:00:01' }

/** Returns a port that nobody listens on at this moment. */
function freePort() {
  return new Promise((resolve, reject) => {
    const listener = createServer()
    listener.on('error', reject)
    listener.listen(0, 'localhost', () => {
      const { port } = listener.address()
      listener.close(() => resolve(port))
    })
  })
}

/** Starts `keyhold serve` on a folder that has a workspace. It is ready once url is there. */
function serve(environment) {
  const child = spawn(server, ['serve'], { env: environment, stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = new Promise((resolve) => { child.once('close', resolve) })
  let said = ''
  const url = new Promise((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      said = (said + line + '\n').slice(-8000)
      if (line.includes('"msg":"ready"')) resolve(JSON.parse(line).public_url)
    })
    child.once('error', reject)
    ended.then((code) => reject(new Error(`keyhold serve ended with ${code}:\n${said}`)))
    setTimeout(() => reject(new Error(`keyhold serve was not ready after 60 s:\n${said}`)), 60_000).unref()
  })
  const stop = async () => {
    child.kill('SIGTERM')
    await ended
  }
  return { url, stop }
}

/**
 * Where the server of a desk is, and what opens it: an administrator's token, the
 * workstations' token, and the id of the person with the cards.
 * @typedef {{ url: string, token: string, clientsToken: string, user: string }} Desk
 */

/**
 * Sets a desk up, hands its environment to the work, and clears it away afterwards.
 * @param {(environment: Record<string, string>, desk: Desk) => Promise<void>} work
 */
export async function atDesk(work) {
  const folder = await mkdtemp(join(tmpdir(), 'keyhold-judges-'))
  // Nothing of whoever runs this reaches the programs.
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('KEYHOLD_')))
  const environment = { ...own, KEYHOLD_DATA: join(folder, 'data'), KEYHOLD_LISTEN: `localhost:${await freePort()}` }
  let serving
  try {
    const keyhold = async (...args) => JSON.parse((await run(server, [...args, '--json'], { env: environment })).stdout)
    await keyhold('workspace', 'create', 'Harbour')
    const admin = await keyhold('api-key', 'create', 'Robot')
    serving = serve(environment)
    const url = await serving.url
    const rest = async (method, path, body) => {
      const response = await fetch(`${url}/api/v1${path}`, {
        method, headers: { authorization: `Bearer ${admin.token}`, 'content-type': 'application/json' }, body: JSON.stringify(body),
      })
      const text = await response.text()
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
      return JSON.parse(text)
    }
    await rest('PATCH', '/workspace/security-keys', { pinless: true })
    const user = await rest('POST', '/users', { email: 'ada@harbour.example', first_name: 'Ada' })
    const give = (name, number, verification, more) => rest('POST', `/users/${user.id}/security-keys`, {
      kind: 'contactless_card', name, activation: 'now', card: { type: 'uid', number }, verification, ...more,
    })
    await give('Badge', card.number, 'pin', { pin: card.pin, pin_delivery: 'response' })
    await give('Badge without a PIN', pinless.number, 'pinless')
    const clients = await rest('POST', '/api-keys', { name: 'Workstations', type: 'clients' })
    const desk = {
      ...own, KEYHOLD_AGENT: agent, KEYHOLD_AGENT_STATE: join(folder, 'agent.json'), KEYHOLD_PIN: card.pin,
      JUDGES_CARD: card.number, JUDGES_PINLESS_CARD: pinless.number,
    }
    await run(agent, ['enrol', '--server', url, '--name', 'Front desk'], { env: { ...desk, KEYHOLD_CLIENT_TOKEN: clients.token } })
    const [client] = (await rest('GET', '/clients?state=pending')).data
    await rest('POST', `/clients/${client.id}/approve`)
    await rest('PATCH', `/clients/${client.id}`, { pinless_allowed: true })
    await work(desk, { url, token: admin.token, clientsToken: clients.token, user: user.id })
  } finally {
    await serving?.stop()
    await rm(folder, { recursive: true, force: true })
  }
}
