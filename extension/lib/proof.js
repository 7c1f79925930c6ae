// @ts-check
// How this client proves itself to the server (DPoP, RFC 9449, with the body's hash), and the
// hash that binds a tap to what the website asked for (RFC 8785).

/** @param {ArrayBuffer | Uint8Array} bytes */
export function base64url(bytes) {
  let text = ''
  for (const b of new Uint8Array(bytes)) text += String.fromCharCode(b)
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}

const utf8 = new TextEncoder()

/** @param {string} text */
export async function sha256(text) {
  return base64url(await crypto.subtle.digest('SHA-256', utf8.encode(text)))
}

/**
 * Returns the public half of a key pair as the server wants it.
 * @param {CryptoKeyPair} pair
 */
export async function publicJWK(pair) {
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', pair.publicKey)
  return { kty, crv, x, y }
}

/**
 * Returns the value of the DPoP header for one request.
 * @param {CryptoKeyPair} pair
 * @param {{ method: string, url: string, token: string, body: string, nonce: string }} request
 */
export async function proof(pair, request) {
  const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: await publicJWK(pair) }
  const claims = {
    htm: request.method,
    htu: request.url,
    iat: Math.floor(Date.now() / 1000),
    jti: base64url(crypto.getRandomValues(new Uint8Array(16))),
    ath: await sha256(request.token),
    bsh: await sha256(request.body),
    ...(request.nonce ? { nonce: request.nonce } : {}),
  }
  const text = base64url(utf8.encode(JSON.stringify(header))) + '.' + base64url(utf8.encode(JSON.stringify(claims)))
  const signature = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, pair.privateKey, utf8.encode(text))
  return text + '.' + base64url(signature)
}

/**
 * Returns a JSON value in its canonical form (RFC 8785): members sorted by their UTF-16 code
 * units, numbers and strings as ECMAScript writes them.
 * @param {any} value
 * @returns {string}
 */
export function canonical(value) {
  if (Array.isArray(value)) return '[' + value.map(canonical).join(',') + ']'
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  return '{' + Object.keys(value).sort().map((name) => JSON.stringify(name) + ':' + canonical(value[name])).join(',') + '}'
}

/** @param {any} options */
export const optionsHash = (options) => sha256(canonical(options))
