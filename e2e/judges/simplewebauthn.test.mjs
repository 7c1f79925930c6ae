// The judge that most websites in JavaScript ask: @simplewebauthn/server.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateAuthenticationOptions, generateRegistrationOptions, verifyAuthenticationResponse, verifyRegistrationResponse } from '@simplewebauthn/server'
import { COSEALG, decodeClientDataJSON, decodeCredentialPublicKey, parseAuthenticatorData } from '@simplewebauthn/server/helpers'
import { Client, answer, card, optionsHash, pinlessCard, tap, turned } from './workstation.mjs'

const aaguid = '577bf2f9-a639-7203-3c5c-c9d35f7afdf8'
const { ES256, EdDSA, RS256 } = COSEALG

/** A website with an RP ID of its own, so that no test sees another one's accounts. */
function website(name) {
  const rpID = `${name}.example`
  return { rpID, rpName: 'Shop', origin: `https://www.${rpID}` }
}

/** Returns the options of a registration. */
const creation = (site, more = {}) => generateRegistrationOptions({ rpName: site.rpName, rpID: site.rpID, userName: 'ada', userDisplayName: 'Ada', ...more })

/** Asks the judge about a registration. */
const judgeRegistration = (site, options, response, more = {}) => verifyRegistrationResponse({
  response, expectedChallenge: options.challenge, expectedOrigin: site.origin, expectedRPID: site.rpID, requireUserVerification: true,
  supportedAlgorithmIDs: options.pubKeyCredParams.map(({ alg }) => alg), ...more,
})

/** Asks the judge about a sign-in. */
const judgeSignIn = (site, options, response, credential, more = {}) => verifyAuthenticationResponse({
  response, expectedChallenge: options.challenge, expectedOrigin: site.origin, expectedRPID: site.rpID, credential, requireUserVerification: true, ...more,
})

/** Registers an account, and returns what the judge found with what it was asked about. */
async function register(site, more, how) {
  const options = await creation(site, more)
  const response = await answer('register', site.origin, options, how)
  const verdict = await judgeRegistration(site, options, response)
  assert.equal(verdict.verified, true)
  return { options, response, ...verdict.registrationInfo }
}

/** Signs in, and returns what the judge found with the answer. */
async function signIn(site, { credential, user }, asked = {}, how = {}) {
  const options = await generateAuthenticationOptions({ rpID: site.rpID, userVerification: 'required', ...asked })
  const response = await answer('sign-in', site.origin, options, how)
  assert.equal(response.id, credential.id)
  const verdict = await judgeSignIn(site, options, response, credential)
  assert.equal(verdict.verified, true)
  assert.equal(response.response.userHandle, user)
  return { options, response, ...verdict.authenticationInfo }
}

/** What the flags of an authenticator's data say, beside what the judge makes of them. */
const flagsOf = (text) => {
  const { up, uv, be, bs, at, ed } = parseAuthenticatorData(new Uint8Array(Buffer.from(text, 'base64url'))).flags
  return { up, uv, be, bs, at, ed }
}

const offers = [
  { name: 'ES256 alone', supportedAlgorithmIDs: [ES256], alg: ES256 },
  { name: 'EdDSA alone', supportedAlgorithmIDs: [EdDSA], alg: EdDSA },
  { name: 'EdDSA before ES256', supportedAlgorithmIDs: [EdDSA, ES256], alg: EdDSA },
  { name: 'ES256 after RS256', supportedAlgorithmIDs: [RS256, ES256, EdDSA], alg: ES256 },
  { name: "the library's own choice", supportedAlgorithmIDs: undefined, alg: EdDSA },
]
for (const [i, { name, supportedAlgorithmIDs, alg }] of offers.entries()) {
  for (const attestationType of /** @type {const} */ (['none', 'direct'])) {
    test(`registers and signs in: ${name}, attestation ${attestationType}`, async () => {
      const site = website(`offer-${i}-${attestationType}`)
      const made = await register(site, { attestationType, supportedAlgorithmIDs })
      assert.equal(made.fmt, attestationType === 'none' ? 'none' : 'packed')
      assert.equal(made.aaguid, aaguid)
      assert.equal(made.userVerified, true)
      assert.equal(made.credentialDeviceType, 'multiDevice')
      assert.equal(made.credentialBackedUp, true)
      assert.equal(made.credential.counter, 0)
      assert.deepEqual(made.credential.transports, ['hybrid', 'nfc'])
      assert.equal(Buffer.from(made.credential.id, 'base64url').length, 32)
      assert.equal(decodeCredentialPublicKey(made.credential.publicKey).get(3), alg)
      assert.equal(made.response.response.publicKeyAlgorithm, alg)
      assert.equal(made.response.authenticatorAttachment, 'cross-platform')
      assert.deepEqual(made.response.clientExtensionResults, { credProps: { rk: true } })
      assert.deepEqual(flagsOf(made.response.response.authenticatorData), { up: true, uv: true, be: true, bs: true, at: true, ed: false })

      const account = { credential: made.credential, user: made.options.user.id }
      for (const allowCredentials of [undefined, [{ id: made.credential.id, transports: made.credential.transports }]]) {
        const signed = await signIn(site, account, { allowCredentials })
        assert.equal(signed.newCounter, 0)
        assert.equal(signed.userVerified, true)
        assert.equal(signed.credentialDeviceType, 'multiDevice')
        assert.equal(signed.credentialBackedUp, true)
        assert.equal(signed.rpID, site.rpID)
        assert.deepEqual(flagsOf(signed.response.response.authenticatorData), { up: true, uv: true, be: true, bs: true, at: false, ed: false })
      }
    })
  }
}

test('a website whose RP ID is its own host registers and signs in', async () => {
  const site = { rpID: 'www.host.example', rpName: 'Shop', origin: 'https://www.host.example' }
  const made = await register(site)
  await signIn(site, { credential: made.credential, user: made.options.user.id })
})

test('a website on another port of localhost registers and signs in', async () => {
  const site = { rpID: 'app.localhost', rpName: 'Shop', origin: 'http://app.localhost:4173' }
  const made = await register(site)
  await signIn(site, { credential: made.credential, user: made.options.user.id })
})

test('of several accounts the holder chooses one', async () => {
  const site = website('several')
  const accounts = []
  for (const userName of ['ada', 'ada.admin']) {
    const made = await register(site, { userName, userDisplayName: userName })
    accounts.push({ name: userName, credential: made.credential, user: made.options.user.id })
  }
  const options = await generateAuthenticationOptions({ rpID: site.rpID })
  const many = await tap('sign-in', site.origin, options)
  assert.equal(many.code, 3)
  assert.deepEqual(many.answer.choose.map((a) => [a.credential_id, a.user_name]).sort(), accounts.map((a) => [a.credential.id, a.name]).sort())
  for (const account of accounts) {
    await signIn(site, account, {}, { account: account.credential.id })
    await signIn(site, account, { allowCredentials: [{ id: account.credential.id }] })
  }
  const strange = await tap('sign-in', site.origin, options, { account: turned(accounts[0].credential.id) })
  assert.equal(strange.code, 1)
  assert.match(strange.errors, /the website gets NotAllowedError/)
})

test('a credential that the website excludes is refused with InvalidStateError', async () => {
  const site = website('excluded')
  const first = await register(site)
  const options = await creation(site, { excludeCredentials: [{ id: first.credential.id }] })
  const again = await tap('register', site.origin, options)
  assert.equal(again.code, 1)
  assert.equal(again.answer, null)
  assert.match(again.errors, /the website gets InvalidStateError/)
  await register(site, { userName: 'bob', excludeCredentials: [{ id: turned(first.credential.id) }] })
})

test('registering an account again replaces what it had', async () => {
  const site = website('replaced')
  const userID = new TextEncoder().encode('ada-1')
  const first = await register(site, { userID })
  const second = await register(site, { userID })
  await signIn(site, { credential: second.credential, user: second.options.user.id })
  const gone = await tap('sign-in', site.origin, await generateAuthenticationOptions({ rpID: site.rpID, allowCredentials: [{ id: first.credential.id }] }))
  assert.equal(gone.code, 1)
  assert.match(gone.errors, /the website gets NotAllowedError/)
})

test('what is not discoverable signs in where the website names it, and nowhere else', async () => {
  const site = website('named')
  const made = await register(site, { authenticatorSelection: { residentKey: 'discouraged', userVerification: 'required' } })
  assert.deepEqual(made.response.clientExtensionResults, { credProps: { rk: false } })
  await signIn(site, { credential: made.credential, user: undefined }, { allowCredentials: [{ id: made.credential.id }] })
  const nothing = await tap('sign-in', site.origin, await generateAuthenticationOptions({ rpID: site.rpID }))
  assert.equal(nothing.code, 1)
  assert.match(nothing.errors, /the website gets NotAllowedError/)
})

test('the PRF is one secret for one input, and another for another', async () => {
  const site = website('prf')
  const input = (text) => ({ first: Buffer.from(text).toString('base64url') })
  const made = await register(site, { extensions: { prf: { eval: input('one') } } })
  const { credProps, prf } = made.response.clientExtensionResults
  assert.deepEqual(credProps, { rk: true })
  assert.equal(prf.enabled, true)
  assert.equal(Buffer.from(prf.results.first, 'base64url').length, 32)
  assert.deepEqual(made.authenticatorExtensionResults, { 'hmac-secret': true })
  const account = { credential: made.credential, user: made.options.user.id }
  const evaluated = async (extensions) => (await signIn(site, account, { allowCredentials: [{ id: made.credential.id }], extensions })).response.clientExtensionResults.prf.results
  assert.deepEqual(await evaluated({ prf: { eval: input('one') } }), prf.results)
  const both = await evaluated({ prf: { evalByCredential: { [made.credential.id]: { ...input('two'), second: input('one').first } } } })
  assert.equal(both.second, prf.results.first)
  assert.notEqual(both.first, prf.results.first)
})

test('in a frame of another website, the judge sees both origins', async () => {
  const site = website('framed')
  const topOrigin = 'https://around.example'
  const options = await creation(site)
  const response = await answer('register', site.origin, options, { topOrigin })
  const { verified, registrationInfo } = await judgeRegistration(site, options, response)
  assert.equal(verified, true)
  const said = decodeClientDataJSON(response.response.clientDataJSON)
  assert.equal(said.crossOrigin, true)
  assert.equal(said.topOrigin, topOrigin)
  const asked = await generateAuthenticationOptions({ rpID: site.rpID })
  const signed = await answer('sign-in', site.origin, asked, { topOrigin })
  assert.equal((await judgeSignIn(site, asked, signed, registrationInfo.credential, { expectedTopOrigin: topOrigin })).verified, true)
  await assert.rejects(judgeSignIn(site, asked, signed, registrationInfo.credential, { expectedTopOrigin: 'https://elsewhere.example' }), /top origin/)
})

test('a card without a PIN says that nobody was verified, and the judge believes it', async () => {
  const site = website('pinless')
  const authenticatorSelection = { residentKey: /** @type {const} */ ('required'), userVerification: /** @type {const} */ ('discouraged') }
  const options = await creation(site, { authenticatorSelection })
  const response = await answer('register', site.origin, options, { number: pinlessCard })
  assert.deepEqual(flagsOf(response.response.authenticatorData), { up: true, uv: false, be: true, bs: true, at: true, ed: false })
  const { verified, registrationInfo } = await judgeRegistration(site, options, response, { requireUserVerification: false })
  assert.equal(verified, true)
  await assert.rejects(judgeRegistration(site, options, response), /User verification was required/)

  const asked = await generateAuthenticationOptions({ rpID: site.rpID, userVerification: 'discouraged' })
  const signed = await answer('sign-in', site.origin, asked, { number: pinlessCard })
  assert.equal((await judgeSignIn(site, asked, signed, registrationInfo.credential, { requireUserVerification: false })).verified, true)
  await assert.rejects(judgeSignIn(site, asked, signed, registrationInfo.credential), /User verification required/)

  // Where the website insists, the card is no use; another card of the same person is.
  const required = await generateAuthenticationOptions({ rpID: site.rpID, userVerification: 'required' })
  const refused = await tap('sign-in', site.origin, required, { number: pinlessCard })
  assert.equal(refused.code, 1)
  assert.equal(refused.answer, null)
  assert.match(refused.errors, /403 not_allowed_error, the website gets NotAllowedError/)
  await signIn(site, { credential: registrationInfo.credential, user: options.user.id })
})

test('a wrong PIN answers nothing, and costs a try', async () => {
  const site = website('wrong-pin')
  const options = await creation(site)
  const wrong = await tap('register', site.origin, options, { pin: '904418' })
  assert.equal(wrong.code, 1)
  assert.equal(wrong.answer, null)
  assert.match(wrong.errors, /the PIN is wrong; tries left: 7 \(\d+ pin_invalid/)
  await register(site)
  assert.match((await tap('sign-in', site.origin, await generateAuthenticationOptions({ rpID: site.rpID }), { pin: '' })).errors, /PIN/)
})

test('a website gets nothing for an RP ID that is not its own', async () => {
  const site = website('tricked')
  await register(site)
  for (const [origin, rpID] of [
    ['https://evil-tricked.example', site.rpID], ['https://tricked.example.evil.example', site.rpID], ['http://www.tricked.example', site.rpID],
    [site.origin, 'example'], [site.origin, 'login.tricked.example'], [site.origin, 'other.example'],
  ]) {
    const options = await creation({ ...site, rpID })
    for (const ended of [await tap('register', origin, options), await tap('sign-in', origin, await generateAuthenticationOptions({ rpID }))]) {
      assert.equal(ended.code, 1, `${origin} for ${rpID}`)
      assert.equal(ended.answer, null)
      assert.match(ended.errors, /the website gets SecurityError/)
    }
  }
})

test('a website gets nothing that asks for algorithms alone that are not to be had', async () => {
  const site = website('rs256')
  const refused = await tap('register', site.origin, await creation(site, { supportedAlgorithmIDs: [RS256] }))
  assert.equal(refused.code, 1)
  assert.match(refused.errors, /the website gets NotSupportedError/)
})

test('options that are not those of the tap are refused, and so is a copied proof', async () => {
  const site = website('changed')
  const { credential, options: created } = await register(site)
  const client = new Client()
  const options = await generateAuthenticationOptions({ rpID: site.rpID })
  const ask = {
    card: { type: 'uid', number: card, source: 'reader' }, operation: 'get', origin: site.origin, cross_origin: false, rp_id: site.rpID, options_hash: optionsHash(options),
  }
  const tapped = await client.post('/taps', ask)
  assert.equal(tapped.body.needs, 'pin', JSON.stringify(tapped))
  const verified = await client.post(`/taps/${tapped.body.tap}/verify`, { pin: process.env.KEYHOLD_PIN })
  assert.equal(verified.status, 200)
  const sign = { tap: tapped.body.tap, uv_token: verified.body.uv_token, options }

  const changed = await client.post('/get-assertion', { ...sign, options: { ...options, challenge: turned(options.challenge) } })
  assert.deepEqual([changed.status, changed.body.code], [409, 'options_changed'])
  const proof = await client.proof('/get-assertion', JSON.stringify(sign))
  const other = await client.post('/get-assertion', { ...sign, credential_id: credential.id }, proof) // signed for another body
  assert.deepEqual([other.status, other.body.code], [401, 'invalid_dpop_proof'])
  const signed = await client.post('/get-assertion', sign, proof)
  assert.equal(signed.status, 200, JSON.stringify(signed.body))
  assert.equal((await judgeSignIn(site, options, signed.body, credential)).verified, true)
  assert.equal(signed.body.response.userHandle, created.user.id)
  const copied = await client.post('/get-assertion', sign, proof)
  assert.deepEqual([copied.status, copied.body.code], [401, 'invalid_dpop_proof'])
  const spent = await client.post('/get-assertion', sign)
  assert.deepEqual([spent.status, spent.body.code], [409, 'tap_not_good'])
})

test('the judge refuses an answer of which one bit was turned', async () => {
  const site = website('turned')
  const made = await register(site, { attestationType: 'direct' })
  const { options, response } = made
  /** Judges the registration or sign-in with one member changed. */
  const no = async (judged) => {
    const verdict = await judged.then(({ verified }) => verified, () => false)
    assert.equal(verdict, false)
  }
  const changed = (of, member, at) => ({ ...of, response: { ...of.response, [member]: turned(of.response[member], at) } })
  const length = Buffer.from(response.response.attestationObject, 'base64url').length
  for (const at of [length - 1, length - 100, 45]) await no(judgeRegistration(site, options, changed(response, 'attestationObject', at)))
  await no(judgeRegistration(site, options, changed(response, 'clientDataJSON', -19)))
  await no(judgeRegistration(site, { ...options, challenge: turned(options.challenge) }, response))
  await no(judgeRegistration({ ...site, origin: 'https://shop.example' }, options, response))
  await no(judgeRegistration({ ...site, rpID: 'shop.example' }, options, response))

  const signed = await signIn(site, { credential: made.credential, user: options.user.id })
  for (const [member, at] of [['signature', -1], ['authenticatorData', -1], ['clientDataJSON', -19]]) {
    await no(judgeSignIn(site, signed.options, changed(signed.response, member, at), made.credential))
  }
  await no(judgeSignIn(site, { ...signed.options, challenge: turned(signed.options.challenge) }, signed.response, made.credential))
})
