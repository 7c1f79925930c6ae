// What websites ask for: the requests that are put both to Chromium's own virtual
// authenticator and to the extension. Each is asked at a website of its own, so that no
// request sees what an earlier one left.
import { createHash } from 'node:crypto'

/**
 * A website that belongs to one request.
 * @typedef {{ rpID: string, page: string, known: string[] }} Place known are the ids of the accounts that were registered before.
 */

/**
 * One request. at is the page (https://www.<rpID>/ if there is none), frame asks in the
 * frame of the page; accounts is how many are registered first; patience, in milliseconds,
 * is given where one of the two is known to wait for ever; untouched leaves Chromium's key
 * alone where it would be chance what comes first.
 * @typedef {{
 *   name: string, call: 'create' | 'get' | 'isUVPAA' | 'isConditional' | 'capabilities', rpID?: string,
 *   options?: (place: Place) => object, at?: (place: Place) => string, frame?: boolean, accounts?: number,
 *   mediation?: string, abort?: string, press?: false, unfocused?: true, untouched?: true, patience?: number,
 * }} Shape
 */

const b64 = (/** @type {string | Buffer} */ of) => Buffer.from(of).toString('base64url')
const digest = (/** @type {string} */ text) => createHash('sha256').update(text).digest()
const param = (/** @type {number} */ alg) => ({ type: 'public-key', alg })
const key = (/** @type {string} */ id, more = {}) => ({ type: 'public-key', id, ...more })
/** An id that no authenticator has. */
const stranger = (n = 0) => b64(digest(`stranger ${n}`))
const [ES256, EdDSA, RS256] = [-7, -8, -257]

/** Options as a website usually makes them. */
const creation = (/** @type {Place} */ place, more = {}) => ({
  challenge: b64(digest(`challenge of ${place.rpID}`)),
  rp: { id: place.rpID, name: 'Shop' },
  user: { id: b64(`ada of ${place.rpID}`), name: 'ada', displayName: 'Ada' },
  pubKeyCredParams: [param(ES256), param(EdDSA), param(RS256)],
  timeout: 60_000,
  authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
  ...more,
})
const request = (/** @type {Place} */ place, more = {}) => ({
  challenge: b64(digest(`challenge of ${place.rpID}`)), rpId: place.rpID, userVerification: 'required', timeout: 60_000, ...more,
})

/** The registration of the n-th account that a request finds. */
export const account = (/** @type {Place} */ place, n = 0) => creation(place, {
  user: { id: b64(`account ${n} of ${place.rpID}`), name: `account-${n}`, displayName: `Account ${n}` }, pubKeyCredParams: [param(ES256)],
})

/** @returns {Shape} */
const create = (/** @type {string} */ name, /** @type {object | ((place: Place) => object)} */ more = {}, how = {}) => ({
  name: `create: ${name}`, call: 'create', options: (place) => creation(place, typeof more === 'function' ? more(place) : more), ...how,
})
/** @returns {Shape} */
const get = (/** @type {string} */ name, /** @type {object | ((place: Place) => object)} */ more = {}, how = {}) => ({
  name: `get: ${name}`, call: 'get', options: (place) => request(place, typeof more === 'function' ? more(place) : more), accounts: 1, ...how,
})

const rp = (/** @type {string} */ id) => ({ rp: { id, name: 'Shop' } })
const selection = (more = {}) => ({ authenticatorSelection: { residentKey: 'required', userVerification: 'required', ...more } })
const user = (more = {}) => (/** @type {Place} */ place) => ({ user: { ...creation(place).user, ...more } })
const allowed = (more = {}) => (/** @type {Place} */ { known }) => ({ allowCredentials: known.map((id) => key(id)), ...more })
/** A page of another website with this one in a frame. */
const framed = (/** @type {Record<string, string>} */ more = {}, top = 'https://top.example') => (/** @type {Place} */ { page }) => `${top}/?${new URLSearchParams({ holds: page, ...more })}`

// constant: the algorithms, and what of them the extension has
const algorithms = [
  create('ES256 alone', { pubKeyCredParams: [param(ES256)] }),
  create('EdDSA alone', { pubKeyCredParams: [param(EdDSA)] }),
  create('RS256 alone', { pubKeyCredParams: [param(RS256)] }),
  create('EdDSA before ES256', { pubKeyCredParams: [param(EdDSA), param(ES256)] }),
  create('RS256 before ES256', { pubKeyCredParams: [param(RS256), param(ES256)] }),
  create('no algorithms: the defaults', { pubKeyCredParams: [] }),
  create('an algorithm that nobody knows', { pubKeyCredParams: [param(-65_000)] }),
]

// constant: what kind of credential is asked for
const selections = [
  create('as usual'),
  create('no selection', { authenticatorSelection: undefined }),
  create('residentKey preferred', selection({ residentKey: 'preferred' })),
  create('residentKey discouraged', selection({ residentKey: 'discouraged' })),
  create('requireResidentKey of Level 1', { authenticatorSelection: { requireResidentKey: true, userVerification: 'required' } }),
  create('userVerification preferred', selection({ userVerification: 'preferred' })),
  create('userVerification discouraged', selection({ userVerification: 'discouraged' })),
  create('platform', selection({ authenticatorAttachment: 'platform' }), { patience: 2000 }),
  create('cross-platform', selection({ authenticatorAttachment: 'cross-platform' })),
  create('a word that nobody knows', selection({ residentKey: 'perhaps', userVerification: 'perhaps' })),
  create('attestation none', { attestation: 'none' }),
  create('attestation indirect', { attestation: 'indirect' }),
  create('attestation direct', { attestation: 'direct' }),
  create('attestation enterprise', { attestation: 'enterprise' }),
  create('hints', { hints: ['security-key', 'hybrid'] }),
]

// constant: accounts that there are already
const excluded = [
  create('excluded: an account that there is', ({ known }) => ({ excludeCredentials: [key(known[0])] }), { accounts: 1 }),
  create('excluded: an account that there is not', { excludeCredentials: [key(stranger())] }, { accounts: 1 }),
  create('excluded: one of many', ({ known }) => ({ excludeCredentials: [...Array(40).keys()].map((n) => key(stranger(n))).concat(key(known[0], { transports: ['usb', 'nfc'] })) }), { accounts: 1 }),
  create('excluded: another type', ({ known }) => ({ excludeCredentials: [{ type: 'password', id: known[0] }] }), { accounts: 1 }),
  create('the same user once more', (place) => ({ user: account(place).user }), { accounts: 1 }),
]

// constant: extensions of a registration
const creationExtensions = [
  create('credProps', { extensions: { credProps: true } }),
  create('credProps, not discoverable', { ...selection({ residentKey: 'discouraged' }), extensions: { credProps: true } }),
  create('credProtect required', { extensions: { credentialProtectionPolicy: 'userVerificationRequired', enforceCredentialProtectionPolicy: true } }),
  create('credProtect with list', { extensions: { credentialProtectionPolicy: 'userVerificationOptionalWithCredentialIDList' } }),
  create('minPinLength', { extensions: { minPinLength: true } }),
  create('prf', { extensions: { prf: {} } }),
  create('prf with a value', { extensions: { prf: { eval: { first: b64('salt') } } } }),
  create('hmacCreateSecret', { extensions: { hmacCreateSecret: true } }),
  create('largeBlob preferred', { extensions: { largeBlob: { support: 'preferred' } } }),
  create('largeBlob required', { extensions: { largeBlob: { support: 'required' } } }),
  create('appidExclude', ({ page }) => ({ extensions: { appidExclude: page } })),
  create('an extension that nobody knows', { extensions: { wibble: { deep: true } } }),
]

// constant: RP IDs, all asked at https://www.<rpID> unless at says otherwise
const rpIDs = [
  create('no RP ID', { rp: { name: 'Shop' } }),
  create("the page's own host", ({ page }) => rp(new URL(page).hostname)),
  create('a foreign RP ID', rp('foreign.example')),
  create('a child', ({ rpID }) => rp(`login.www.${rpID}`)),
  create('a suffix of the text', {}, { at: ({ rpID }) => `https://evil${rpID}/` }),
  create('a public suffix', rp('co.uk'), { at: () => 'https://shop.co.uk/' }),
  create('a private public suffix', rp('github.io'), { at: () => 'https://shop.github.io/' }),
  create('a top level', rp('example')),
  create('upper case', ({ rpID }) => rp(rpID.toUpperCase())),
  create('a trailing dot', ({ rpID }) => rp(`${rpID}.`)),
  create('a port in the RP ID', ({ rpID }) => rp(`${rpID}:443`)),
  create('an origin for an RP ID', ({ page }) => rp(page)),
  create('an empty RP ID', rp('')),
  create('an IP address', rp('192.0.2.1'), { at: () => 'https://192.0.2.1/' }),
  create('a single label', rp('intranet'), { at: () => 'https://intranet/' }),
  create('a port in the origin', {}, { at: ({ rpID }) => `https://www.${rpID}:8443/` }),
  create('a host with a trailing dot', {}, { at: ({ rpID }) => `https://www.${rpID}./` }),
  create('letters beyond ASCII', rp('xn--bcher-kva.example'), { at: () => 'https://www.bücher.example/' }),
  create('http', {}, { at: ({ rpID }) => `http://www.${rpID}/` }),
  get('a foreign RP ID', { rpId: 'foreign.example' }),
  get('a suffix of the text', {}, { at: ({ rpID }) => `https://evil${rpID}/` }),
  get('a public suffix', { rpId: 'co.uk' }, { at: () => 'https://shop.co.uk/', accounts: 0 }),
  get('no RP ID', { rpId: undefined }),
  get('http', {}, { at: ({ rpID }) => `http://www.${rpID}/` }),
  get('a port in the origin', {}, { at: ({ rpID }) => `https://www.${rpID}:8443/` }),
]

// constant: names, ids, challenges and times at their edges
const edges = [
  create('user.id of no byte', user({ id: '' })),
  create('user.id of 64 bytes', user({ id: b64(Buffer.alloc(64, 7)) })),
  create('user.id of 65 bytes', user({ id: b64(Buffer.alloc(65, 7)) })),
  create('names in many scripts', user({ name: 'Žofie Ωmega 名前 👩‍🚀', displayName: '‮Ада‬ ☕' })),
  create('names of 300 letters', user({ name: 'n'.repeat(300), displayName: 'd'.repeat(300) })),
  create('empty names', user({ name: '', displayName: '' })),
  create('rp.name of 300 letters', ({ rpID }) => ({ rp: { id: rpID, name: 'r'.repeat(300) } })),
  create('no challenge', { challenge: undefined }),
  create('an empty challenge', { challenge: '' }),
  create('a challenge of one byte', { challenge: b64('x') }),
  create('a challenge of 1,024 bytes', { challenge: b64(Buffer.alloc(1024, 3)) }),
  create('no timeout', { timeout: undefined }),
  create('a timeout of one millisecond', { timeout: 1 }, { untouched: true }),
  get('an empty challenge', { challenge: '' }),
  get('a challenge of 1,024 bytes', { challenge: b64(Buffer.alloc(1024, 3)) }),
]

// constant: sign-ins
const signIns = [
  get('discoverable'),
  get('discoverable, of two accounts', {}, { accounts: 2 }),
  get('discoverable, nobody there', {}, { accounts: 0 }),
  get('allowed', allowed()),
  get('allowed, not there', { allowCredentials: [key(stranger())] }),
  get('allowed, one of many', ({ known }) => ({ allowCredentials: [...Array(40).keys()].map((n) => key(stranger(n))).concat(key(known[0])) })),
  get('allowed, two accounts', allowed(), { accounts: 2 }),
  get('allowed, an empty list', { allowCredentials: [] }),
  get('allowed, another type', ({ known }) => ({ allowCredentials: [{ type: 'password', id: known[0] }] })),
  get('allowed, transports internal only', ({ known }) => ({ allowCredentials: [key(known[0], { transports: ['internal'] })] }), { patience: 2000 }),
  get('userVerification preferred', { userVerification: 'preferred' }),
  get('userVerification discouraged', { userVerification: 'discouraged' }),
  get('hints', { hints: ['client-device'] }),
  get('extension prf', allowed({ extensions: { prf: { eval: { first: b64('salt') } } } })),
  get('extension largeBlob', allowed({ extensions: { largeBlob: { read: true } } })),
  get('extension appid', (place) => allowed({ extensions: { appid: place.page } })(place)),
  get('an extension that nobody knows', { extensions: { wibble: true } }),
]

// constant: how and from where it is asked
const ways = [
  create('aborted before', {}, { abort: 'before' }),
  create('aborted at once', {}, { abort: 'at once', untouched: true }),
  create('aborted with a reason', {}, { abort: 'with a reason', untouched: true }),
  create('aborted when it is over', {}, { abort: 'after' }),
  get('aborted before', {}, { abort: 'before' }),
  get('aborted at once', {}, { abort: 'at once', untouched: true }),
  create('conditional', {}, { mediation: 'conditional', patience: 2000 }),
  get('conditional', {}, { mediation: 'conditional' }),
  get('silent', {}, { mediation: 'silent' }),
  create('frame of the same website', {}, { at: ({ rpID, page }) => `https://www.${rpID}/?${new URLSearchParams({ holds: page })}`, frame: true }),
  create('foreign frame, not permitted', {}, { at: framed(), frame: true }),
  create('foreign frame, permitted', {}, { at: framed({ allow: 'publickey-credentials-create; publickey-credentials-get' }), frame: true }),
  create('foreign frame, permitted, not pressed', {}, { at: framed({ allow: 'publickey-credentials-create' }), frame: true, press: false }),
  get('foreign frame, not permitted', {}, { at: framed(), frame: true }),
  get('foreign frame, permitted', {}, { at: framed({ allow: 'publickey-credentials-get' }), frame: true }),
  get('sibling frame, permitted', {}, { at: (place) => framed({ allow: 'publickey-credentials-get' }, `https://sister.${place.rpID}`)(place), frame: true }),
  get('frame in an insecure page', {}, { at: framed({ allow: 'publickey-credentials-get' }, 'http://top.example'), frame: true }),
  create('sandboxed frame', {}, { at: framed({ sandbox: 'allow-scripts', allow: 'publickey-credentials-create *' }), frame: true }),
  get('sandboxed frame', {}, { at: framed({ sandbox: 'allow-scripts', allow: 'publickey-credentials-get *' }), frame: true }),
  create('forbidden by the page itself', {}, { at: ({ page }) => `${page}?policy=${encodeURIComponent('publickey-credentials-create=()')}` }),
  get('forbidden by the page itself', {}, { at: ({ page }) => `${page}?policy=${encodeURIComponent('publickey-credentials-get=()')}` }),
  get('a page behind another one', {}, { unfocused: true, patience: 2000 }),
]

/** @type {Shape[]} constant: what websites ask about the browser */
const questions = [
  { name: 'isUserVerifyingPlatformAuthenticatorAvailable', call: 'isUVPAA' },
  { name: 'isConditionalMediationAvailable', call: 'isConditional' },
  { name: 'getClientCapabilities', call: 'capabilities' },
]

/** constant: everything that is asked */
export const shapes = [...algorithms, ...selections, ...excluded, ...creationExtensions, ...rpIDs, ...edges, ...signIns, ...ways, ...questions]
