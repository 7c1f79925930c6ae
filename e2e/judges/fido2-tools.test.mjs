// Debian's fido2-tools (libfido2), the C library under most FIDO2 software: fido2-cred and
// fido2-assert verify what the agent answers.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { decodeAttestationObject } from '@simplewebauthn/server/helpers'
import { answer, pinlessCard, turned } from './workstation.mjs'

/** @type {string} */
let folder
before(async () => { folder = await mkdtemp(join(tmpdir(), 'keyhold-judge-')) })
after(() => rm(folder, { recursive: true }))

/** Asks a program that reads lines, and returns its lines; null if it says no. */
function ask(program, args, lines) {
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, (error, out) => {
      if (error && error.code !== 1) return reject(error)
      resolve(error ? null : out.trim().split('\n'))
    })
    child.stdin.on('error', () => {}) // it said no before it had read everything
    child.stdin.end(lines.join('\n') + '\n')
  })
}

const base64 = (/** @type {Uint8Array | string} */ bytes) => Buffer.from(/** @type {string} */ (bytes), 'base64url').toString('base64')
const hashOf = (/** @type {string} */ text) => createHash('sha256').update(Buffer.from(text, 'base64url')).digest('base64')

/** Wraps authenticator data as a CBOR byte string, which the programs read. */
function wrapped(/** @type {string} */ text) {
  const data = Buffer.from(text, 'base64url')
  const head = data.length < 24 ? [0x40 + data.length] : data.length < 256 ? [0x58, data.length] : [0x59, data.length >> 8, data.length & 255]
  return Buffer.concat([Buffer.from(head), data]).toString('base64')
}

/** Has the agent register, and returns what fido2-cred reads, with the answer. */
async function register(rpID, alg, more = {}, how = {}) {
  const options = {
    rp: { id: rpID, name: 'Shop' }, user: { id: randomBytes(16).toString('base64url'), name: 'ada', displayName: 'Ada' },
    challenge: randomBytes(32).toString('base64url'), pubKeyCredParams: [{ type: 'public-key', alg }], attestation: 'direct', ...more,
  }
  const made = await answer('register', `https://${rpID}`, options, how)
  const attestation = decodeAttestationObject(new Uint8Array(Buffer.from(made.response.attestationObject, 'base64url')))
  assert.equal(Buffer.compare(attestation.get('authData'), Buffer.from(made.response.authenticatorData, 'base64url')), 0)
  const signature = Buffer.from(attestation.get('attStmt').get('sig')).toString('base64url')
  return {
    made, rpID, cdh: hashOf(made.response.clientDataJSON), fmt: attestation.get('fmt'), authData: made.response.authenticatorData, id: made.id, signature,
  }
}

/** Asks fido2-cred, and returns the public key in PEM; null if it says no. */
async function judgeCredential(c, type, ...flags) {
  const said = await ask('fido2-cred', ['-V', ...flags, type], [c.cdh, c.rpID, c.fmt, wrapped(c.authData), base64(c.id), base64(c.signature)])
  if (said === null) return null
  assert.equal(said[0], base64(c.id))
  return said.slice(1).join('\n') + '\n'
}

/** Has the agent sign in, and returns what fido2-assert reads. */
async function signIn(rpID, allow, how) {
  const options = { rpId: rpID, challenge: randomBytes(32).toString('base64url'), allowCredentials: allow.map((id) => ({ type: 'public-key', id })) }
  const { id, response } = await answer('sign-in', `https://${rpID}`, options, how)
  return { id, rpID, cdh: hashOf(response.clientDataJSON), authData: response.authenticatorData, signature: response.signature }
}

/** Asks fido2-assert, and returns whether it says yes. */
async function judgeAssertion(a, key, type, ...flags) {
  const file = join(folder, `${randomBytes(8).toString('hex')}.pem`)
  await writeFile(file, key)
  return await ask('fido2-assert', ['-V', ...flags, file, type], [a.cdh, a.rpID, wrapped(a.authData), base64(a.signature)]) !== null
}

const kinds = [{ type: 'es256', alg: -7, other: 'eddsa' }, { type: 'eddsa', alg: -8, other: 'es256' }]
for (const { type, alg, other } of kinds) {
  test(`${type}: fido2-cred verifies the attestation, fido2-assert the sign-ins`, async () => {
    const c = await register(`${type}.example`, alg)
    assert.equal(c.fmt, 'packed')
    const key = await judgeCredential(c, type, '-v')
    assert.ok(key, 'fido2-cred refuses the credential')
    assert.equal(key.replace(/-----.*-----|\n/g, ''), base64(c.made.response.publicKey)) // what the page is told is that key
    assert.equal(await judgeCredential(c, other, '-v'), null)
    for (const allow of [[c.id], []]) {
      const a = await signIn(c.rpID, allow)
      assert.equal(a.id, c.id)
      assert.equal(await judgeAssertion(a, key, type, '-p', '-v'), true)
    }
  })

  test(`${type}: fido2-cred sees the extensions that were asked for, and no others`, async () => {
    const extensions = { hmacCreateSecret: true, credentialProtectionPolicy: 'userVerificationRequired' }
    const c = await register(`${type}-extended.example`, alg, { extensions })
    assert.ok(await judgeCredential(c, type, '-v', '-h', '-c', '3'))
    assert.equal(await judgeCredential(c, type, '-v', '-h', '-c', '2'), null)
    assert.equal(await judgeCredential(c, type, '-v', '-h'), null)
    assert.equal(await judgeCredential(c, type, '-v', '-c', '3'), null)
  })

  test(`${type}: the judge refuses an answer of which one bit was turned`, async () => {
    const c = await register(`${type}-turned.example`, alg)
    const key = await judgeCredential(c, type)
    assert.ok(key)
    const flipped = (/** @type {string} */ text) => base64(turned(Buffer.from(text, 'base64').toString('base64url')))
    const credentials = [
      { ...c, cdh: flipped(c.cdh) }, { ...c, signature: turned(c.signature) }, { ...c, authData: turned(c.authData) }, { ...c, authData: turned(c.authData, 33) },
      { ...c, rpID: 'shop.example' },
    ]
    for (const [i, changed] of credentials.entries()) assert.equal(await judgeCredential(changed, type), null, `credential ${i}`)
    const a = await signIn(c.rpID, [c.id])
    assert.equal(await judgeAssertion(a, key, type), true)
    const assertions = [
      { ...a, cdh: flipped(a.cdh) }, { ...a, signature: turned(a.signature) }, { ...a, authData: turned(a.authData) }, { ...a, authData: turned(a.authData, 32) },
      { ...a, rpID: 'shop.example' },
    ]
    for (const [i, changed] of assertions.entries()) assert.equal(await judgeAssertion(changed, key, type), false, `assertion ${i}`)
    const stranger = await judgeCredential(await register(`${type}-stranger.example`, alg), type)
    assert.equal(await judgeAssertion(a, stranger, type), false)
  })
}

test('the judge sees that a card without a PIN verified nobody', async () => {
  const c = await register('pinless.example', -7, {}, { number: pinlessCard })
  const key = await judgeCredential(c, 'es256')
  assert.ok(key)
  assert.equal(await judgeCredential(c, 'es256', '-v'), null)
  const a = await signIn(c.rpID, [c.id], { number: pinlessCard })
  assert.equal(await judgeAssertion(a, key, 'es256', '-p'), true)
  assert.equal(await judgeAssertion(a, key, 'es256', '-v'), false)
})
