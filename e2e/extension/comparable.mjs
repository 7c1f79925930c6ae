// Brings what a website got into a form in which two authenticators can be compared: what is
// random is left out or becomes a word for itself, and everything is one level deep.
import { decodeAttestationObject, decodeClientDataJSON, decodeCredentialPublicKey, parseAuthenticatorData } from '@simplewebauthn/server/helpers'

const bytes = (/** @type {string} */ text) => new Uint8Array(Buffer.from(text, 'base64url'))
const names = (/** @type {object} */ of) => Object.keys(of).sort().join(' ')

/** Writes a value so that what is random in it is not seen. */
function shown(/** @type {any} */ value) {
  return JSON.stringify(value, (name, of) => (/^(first|second|blob)$/.test(name) && typeof of === 'string' ? `${bytes(of).length} bytes` : of))
}

/** Takes one level of depth off. */
function flat(/** @type {Record<string, any>} */ of) {
  return Object.fromEntries(Object.entries(of).filter(([, value]) => value !== undefined).map(([name, value]) => [name, typeof value === 'object' ? shown(value) : String(value)]))
}

/** What the authenticator's own bytes say. */
function authenticatorData(/** @type {Uint8Array<ArrayBuffer>} */ data) {
  const { flags, aaguid, counter, credentialPublicKey, extensionsData } = parseAuthenticatorData(data)
  return {
    'flags UP': flags.up, 'flags UV': flags.uv, 'flags BE': flags.be, 'flags BS': flags.bs, 'flags AT': flags.at, 'flags ED': flags.ed,
    signCount: counter === 0 ? 'zero' : 'counted',
    aaguid: aaguid && (aaguid.every((b) => b === 0) ? 'zero' : 'its own'),
    algorithm: credentialPublicKey && decodeCredentialPublicKey(credentialPublicKey).get(3),
    'authenticator extensions': extensionsData && names(extensionsData instanceof Map ? Object.fromEntries(extensionsData) : extensionsData),
  }
}

/** What a registration says beside the authenticator's bytes. */
function registration(/** @type {any} */ response) {
  const object = decodeAttestationObject(bytes(response.attestationObject))
  const statement = object.get('attStmt')
  const members = ['alg', 'sig', 'x5c'].filter((member) => statement.get(/** @type {'alg'} */ (member)) !== undefined)
  return {
    ...authenticatorData(/** @type {Uint8Array<ArrayBuffer>} */ (object.get('authData'))),
    'attestation format': object.get('fmt'), 'attestation statement': members.join(' '),
    transports: response.transports && [...response.transports].sort().join(' '),
    publicKeyAlgorithm: response.publicKeyAlgorithm, publicKey: 'publicKey' in response,
  }
}

/**
 * Returns what is to be compared of an outcome, by name.
 * @param {import('./asking.mjs').Outcome} outcome
 * @param {import('./shapes.mjs').Place} place
 * @returns {Record<string, string>}
 */
export function comparable(outcome, place) {
  if (outcome.waiting) return { outcome: 'still waiting' }
  if (outcome.error) return { outcome: outcome.error.name }
  if (!outcome.answer) return { outcome: 'a value', ...(typeof outcome.value === 'object' ? flat(outcome.value) : { value: String(outcome.value) }) }
  const { answer } = outcome
  const said = decodeClientDataJSON(answer.response.clientDataJSON)
  const { response } = answer
  const local = (/** @type {any} */ text) => (typeof text === 'string' ? text.replaceAll(place.rpID, 'RPID') : text)
  return flat({
    outcome: 'a credential',
    members: names(answer), 'response members': names(response),
    type: answer.type, attachment: answer.authenticatorAttachment,
    ...('attestationObject' in response ? registration(response) : authenticatorData(bytes(response.authenticatorData))),
    'client extension results': answer.clientExtensionResults,
    userHandle: 'userHandle' in response && bytes(response.userHandle ?? '').length > 0,
    // Chromium adds one member now and then, so that nobody relies on there being no other.
    'client data': names(said).replace('other_keys_can_be_added_here ', ''), 'client data type': said.type, 'client data origin': local(said.origin),
    'client data crossOrigin': said.crossOrigin, 'client data topOrigin': local(/** @type {any} */ (said).topOrigin),
  })
}
