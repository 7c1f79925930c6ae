// The differences between Chromium's own virtual authenticator and the extension that are
// accepted, each with the reason. docs/extension-differences.md is rendered from here.

/**
 * what is the member of comparable.mjs; shapes are the requests at which it is seen, or
 * nothing where it is the same at every one.
 * @type {{ what: string, browser: string, ours: string, shapes?: string[], why: string }[]} constant: accepted differences
 */
export const accepted = [
  { what: 'flags BE', browser: 'false', ours: 'true', why: 'Credentials are kept on the server and backed up with its database, and websites are told the truth about it.' },
  { what: 'flags BS', browser: 'false', ours: 'true', why: 'As BE: a credential that is backed up from its making on says so.' },
  { what: 'signCount', browser: 'counted', ours: 'zero', why: 'A credential is used from many workstations and servers. A counter that jumps reads as a clone, so there is none, as WebAuthn allows.' },
  { what: 'aaguid', browser: 'zero', ours: 'its own', why: "Keyhold's AAGUID is given with attestation none too, so that websites can name the key. Chromium wipes out that of a plugged key unless attestation was asked for; what the extension answers it passes on as it is." },
  { what: 'transports', browser: 'usb', ours: 'hybrid nfc', why: 'The card is tapped, and any workstation of the organisation will do.' },
  {
    what: 'outcome', browser: 'a credential', ours: 'NotSupportedError', shapes: ['create: RS256 alone'],
    why: 'Keyhold has ES256 and EdDSA. RSA is not there: websites that want it alone are hardly any, and its keys are slow to make.',
  },
  { what: 'algorithm', browser: '-257', ours: '-7', shapes: ['create: RS256 before ES256'], why: 'The first algorithm on the list that Keyhold has.' },
  { what: 'publicKeyAlgorithm', browser: '-257', ours: '-7', shapes: ['create: RS256 before ES256'], why: 'As the algorithm.' },
  {
    what: 'outcome', browser: 'NotAllowedError', ours: 'NotSupportedError', shapes: ['create: an algorithm that nobody knows'],
    why: 'WebAuthn names NotSupportedError for a list of which the authenticator has nothing. Chromium tells it late, as NotAllowedError, so that a website learns nothing of the keys at hand; ours is known to be there by its AAGUID anyway, and only after a tap.',
  },
  {
    what: 'outcome', browser: 'still waiting', ours: 'NotAllowedError', shapes: ['create: platform'],
    why: 'Nothing of Keyhold is built into the machine. The browser goes on waiting for another authenticator until the time is over; the extension answers alone, and says no.',
  },
  {
    what: 'attestation statement', browser: 'alg sig x5c', ours: 'alg sig', shapes: ['create: attestation indirect', 'create: attestation direct', 'create: attestation enterprise'],
    why: 'Self attestation: there is no maker whose certificate would tell a website something.',
  },
  {
    what: 'outcome', browser: 'NotAllowedError', ours: 'a credential', shapes: ['create: credProtect required'],
    why: 'The virtual authenticator has no credProtect, and the website insists. Keyhold has it.',
  },
  { what: 'flags ED', browser: 'false', ours: 'true', shapes: ['create: credProtect with list'], why: 'As above.' },
  { what: 'authenticator extensions', browser: 'absent', ours: 'credProtect', shapes: ['create: credProtect with list'], why: 'As above.' },
  {
    what: 'flags ED', browser: 'false', ours: 'true', shapes: ['create: prf', 'create: prf with a value', 'create: hmacCreateSecret'],
    why: 'The authenticator data says that the credential has secrets. The virtual authenticator answers prf without the signed member.',
  },
  { what: 'authenticator extensions', browser: 'absent', ours: 'hmac-secret', shapes: ['create: prf', 'create: prf with a value', 'create: hmacCreateSecret'], why: 'As above.' },
  {
    what: 'client extension results', browser: '{"prf":{}}', ours: '{"prf":{"results":{"first":"32 bytes"}}}', shapes: ['get: extension prf'],
    why: 'Every credential of Keyhold has secrets, whether or not its registration asked for them, so that a website can begin to use them later.',
  },
  {
    what: 'client extension results', browser: '{"largeBlob":{}}', ours: '{}', shapes: ['get: extension largeBlob'],
    why: 'There are no large blobs, and what is not there is not in the answer.',
  },
  {
    what: 'client extension results', browser: '{"appid":false}', ours: '{}', shapes: ['get: extension appid'],
    why: 'Credentials of U2F were never made here. An extension that is not known is left out of the answer.',
  },
  {
    what: 'outcome', browser: 'a credential', ours: 'SecurityError', shapes: ['create: a host with a trailing dot'],
    why: 'The server takes origins in the one form that websites have in public. A host with a dot at its end would be a second name for the same website, which some compare and some do not.',
  },
  {
    what: 'outcome', browser: 'a credential', ours: 'TypeError', shapes: ['create: user.id of no byte'],
    why: 'WebAuthn asks for 1 to 64 bytes. Chromium lets an empty one pass; with it no account could be told from another one.',
  },
  {
    what: 'outcome', browser: 'a credential', ours: 'TypeError', shapes: ['create: an empty challenge', 'get: an empty challenge'],
    why: 'A signature over no challenge is good for ever. Whoever sends none has made a mistake, and hears it.',
  },
  {
    what: 'outcome', browser: 'NotAllowedError', ours: 'a credential', shapes: ['create: a timeout of one millisecond'],
    why: 'The virtual authenticator takes the website at its word. Chromium gives people three minutes at least, which is also what it tells the extension.',
  },
  {
    what: 'outcome', browser: 'still waiting', ours: 'a credential', shapes: ['get: allowed, transports internal only'],
    why: "Transports are hints that the website kept of another time. Chromium does not look for such a credential on a plugged key; Keyhold looks by the credential's id alone.",
  },
  {
    what: 'outcome', browser: 'still waiting', ours: 'a credential', shapes: ['create: conditional'],
    why: 'Chromium relays a conditional registration to the extension as it relays any other, and does not say that it is one. So the person is asked, and may say no.',
  },
  {
    what: 'outcome', browser: 'a credential', ours: 'NotAllowedError', shapes: ['get: conditional'],
    why: "Chromium refuses conditional sign-ins itself while an extension answers for security keys. The website's button for passkeys works.",
  },
  {
    what: 'outcome', browser: 'a credential', ours: 'still waiting', shapes: ['get: a page behind another one'],
    why: 'The window opens for a page in front that a person has just touched. For any other the toolbar says that it asks, and waits for a click there.',
  },
]
