// The websites: one server that is every host that a test names, over HTTPS and over plain
// HTTP on one port. Its pages ask for a passkey what the test has put there, in the handler
// of a real click, and keep what comes of it. None of them knows of Keyhold.
import { execFile } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { createServer as createHTTP } from 'node:http'
import { createServer as createHTTPS } from 'node:https'
import { connect, createServer } from 'node:net'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Makes a certificate that lives as long as the test, and its key, both as PEM. */
async function certificate() {
  const { stdout } = await run('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=judge.example',
    '-addext', 'subjectAltName=DNS:judge.example', '-keyout', '-', '-out', '-',
  ])
  const [key] = stdout.match(/-----BEGIN PRIVATE KEY-----[^]*?-----END PRIVATE KEY-----/) ?? []
  const [cert] = stdout.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/) ?? []
  if (!key || !cert) throw new Error('openssl made no certificate')
  return { key, cert }
}

/** What every page does. It is a function so that editors and tools read it as code; it runs in the page. */
function script() {
  // @ts-nocheck
  const bytes = (of) => Uint8Array.from(atob(of.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))
  const listed = (of) => of?.map((one) => (typeof one?.id === 'string' ? { ...one, id: bytes(one.id) } : one))
  // By hand, for parseCreationOptionsFromJSON drops what this browser does not know.
  const revived = (options) => {
    const { extensions } = options
    const points = (of) => of && Object.fromEntries(Object.entries(of).map(([name, value]) => [name, bytes(value)]))
    return {
      ...options,
      ...('challenge' in options && { challenge: bytes(options.challenge) }),
      ...(options.user && { user: { ...options.user, id: bytes(options.user.id) } }),
      ...(options.excludeCredentials && { excludeCredentials: listed(options.excludeCredentials) }),
      ...(options.allowCredentials && { allowCredentials: listed(options.allowCredentials) }),
      ...(extensions && {
        extensions: {
          ...extensions,
          ...(extensions.prf?.eval && { prf: { ...extensions.prf, eval: points(extensions.prf.eval) } }),
          ...(extensions.largeBlob?.write && { largeBlob: { ...extensions.largeBlob, write: bytes(extensions.largeBlob.write) } }),
        },
      }),
    }
  }
  const failure = (error) => ({ error: { name: error?.name ?? 'unknown', message: String(error?.message ?? error) } })

  /** Asks what is to be asked, and returns what it comes to in words that can be handed out of the page. */
  const ask = async ({ call, options, mediation, abort }) => {
    try {
      if (call === 'isUVPAA') return { value: await PublicKeyCredential.isUserVerifyingPlatformAuthenticatorAvailable() }
      if (call === 'isConditional') return { value: await PublicKeyCredential.isConditionalMediationAvailable() }
      if (call === 'capabilities') return { value: await PublicKeyCredential.getClientCapabilities() }
      const controller = new AbortController()
      window.controller = controller
      const asked = { publicKey: revived(options), signal: controller.signal, ...(mediation && { mediation }) }
      if (abort === 'before') controller.abort()
      const going = navigator.credentials[call](asked)
      if (abort === 'at once') controller.abort()
      if (abort === 'with a reason') controller.abort(new RangeError('enough'))
      const credential = await going
      if (abort === 'after') controller.abort()
      return { answer: credential.toJSON() }
    } catch (error) {
      return failure(error)
    }
  }
  window.ask = (what) => { window.answered = ask(what) }
  document.querySelector('#ask').addEventListener('click', () => window.ask(window.wanted))
  // A page that does not wait for anybody.
  if (location.hash) window.ask(JSON.parse(decodeURIComponent(location.hash.slice(1))))
}

/** Escapes text for an attribute. */
const quoted = (/** @type {string} */ text) => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')

/** Answers a request with a page; ?holds= puts another page into a frame of it. */
function answer(/** @type {import('node:http').IncomingMessage} */ request, /** @type {import('node:http').ServerResponse} */ response) {
  const url = new URL(request.url ?? '/', 'http://any.example')
  response.setHeader('content-type', 'text/html; charset=utf-8')
  if (url.pathname === '/favicon.ico') return response.writeHead(204).end()
  const policy = url.searchParams.get('policy')
  if (policy) response.setHeader('permissions-policy', policy)
  const attributes = ['allow', 'sandbox'].filter((name) => url.searchParams.has(name)).map((name) => ` ${name}="${quoted(url.searchParams.get(name) ?? '')}"`)
  const held = url.searchParams.get('holds')
  const frame = held ? `<iframe name="held" src="${quoted(held)}"${attributes.join('')} width="400" height="200"></iframe>` : ''
  response.end(`<!doctype html><html lang="en"><title>Website</title><button id="ask">Ask</button>${frame}<script>(${script})()</script></html>`)
}

/**
 * Opens the websites.
 * @returns {Promise<{ port: number, spki: string, heard: string[], close: () => Promise<void> }>} spki names the certificate to the browser; heard is
 * everything that reached the websites.
 */
export async function openSites() {
  const { key, cert } = await certificate()
  /** Listens on a free port and returns it. */
  const open = (/** @type {import('node:net').Server} */ server) => new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(/** @type {import('node:net').AddressInfo} */ (server.address()).port))
  })
  /** @type {string[]} */
  const heard = []
  const listener = (/** @type {import('node:http').IncomingMessage} */ request, /** @type {import('node:http').ServerResponse} */ response) => {
    heard.push(`${request.method} ${request.headers.host}${request.url} ${JSON.stringify(request.headers)}`)
    request.on('data', (chunk) => heard.push(String(chunk)))
    answer(request, response)
  }
  const servers = [createHTTP(listener), createHTTPS({ key, cert }, listener)]
  const [plain, secure] = await Promise.all(servers.map(open))
  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set()
  const keep = (/** @type {import('node:net').Socket} */ socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => {}) // the browser goes when it likes
  }
  // One port for both: the first byte of TLS is that of a handshake record.
  const front = createServer((socket) => {
    keep(socket)
    socket.once('data', (first) => {
      const inner = connect(first[0] === 0x16 ? secure : plain, '127.0.0.1')
      keep(inner)
      inner.write(first)
      socket.pipe(inner).pipe(socket)
    })
  })
  const port = await open(front)
  const spki = createHash('sha256').update(new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' })).digest('base64')
  const close = () => new Promise((resolve) => {
    for (const socket of sockets) socket.destroy()
    for (const server of servers) server.close()
    front.close(() => resolve(undefined))
  })
  return { port, spki, heard, close }
}
