// @ts-check
// The extension's worker: it takes requests from the browser, opens a window for each, and
// gives the answers back. The browser lets it sleep whenever nothing happens, so that nothing
// is kept here: requests lie in the session's storage (lib/store.js), and their windows do
// the work (prompt.js).
import { allRequests, dropRequest, enrolment, findRequest, forget, keepRequest, placeRequest, recall, remember } from './lib/store.js'
import { ask, enrolByPolicy, lookAround, originOf, settle, state } from './lib/state.js'

const proxy = chrome.webAuthenticationProxy

/** The window of a prompt, in CSS pixels. */
const size = { width: 440, height: 580 }

/** How long a request lives whose site says nothing, and at the most, in milliseconds. */
const usualTime = 3 * 60_000
const longestTime = 10 * 60_000

proxy.onCreateRequest.addListener((r) => begin('create', r))
proxy.onGetRequest.addListener((r) => begin('get', r))
// Keyhold is a roaming authenticator: nothing of it is built into this machine.
proxy.onIsUvpaaRequest.addListener((r) => proxy.completeIsUvpaaRequest({ requestId: r.requestId, isUvpaa: false }))
proxy.onRequestCanceled.addListener((id) => end(id))
proxy.onRemoteSessionStateChange.addListener(() => settle())

/**
 * Answers a request with an error, as the website sees it.
 * @param {'create' | 'get'} kind @param {number} requestId @param {string} name @param {string} message
 */
function refuse(kind, requestId, name, message) {
  const answer = { requestId, error: { name, message } }
  return (kind === 'create' ? proxy.completeCreateRequest(answer) : proxy.completeGetRequest(answer)).catch(() => { /* the page has gone meanwhile */ })
}

/**
 * @param {'create' | 'get'} kind
 * @param {{ requestId: number, requestDetailsJson: string }} r
 */
async function begin(kind, r) {
  const options = JSON.parse(r.requestDetailsJson)
  // The one word about who asks that counts: the browser's. Pages cannot write it.
  const caller = options.extensions?.remoteDesktopClientOverride
  if (typeof caller?.origin !== 'string' || typeof caller.sameOriginWithAncestors !== 'boolean') {
    return refuse(kind, r.requestId, 'NotAllowedError', 'The browser does not say which website asks.')
  }
  delete options.extensions.remoteDesktopClientOverride
  if (Object.keys(options.extensions).length === 0) delete options.extensions
  if (caller.origin === originOf((await enrolment())?.server)) {
    // Keyhold's own page. Detaching ends the request with an AbortError, by which the page knows
    // that it may ask again, and reaches the browser (web/src/js/passkey.js).
    await remember('away', true)
    return settle()
  }
  const time = typeof options.timeout === 'number' && options.timeout > 0 ? Math.min(options.timeout, longestTime) : usualTime
  const cross = !caller.sameOriginWithAncestors
  const page = await find({ kind, origin: caller.origin, cross })
  const request = {
    id: r.requestId, kind, options, origin: caller.origin, cross, top: cross ? page?.top ?? '' : '',
    until: Date.now() + time, window: 0, tab: page?.tab ?? 0, document: page?.document ?? '',
  }
  await keepRequest(request)
  await chrome.alarms.create('request:' + r.requestId, { when: request.until })
  // A page that nobody touched opens no window: the toolbar says that it asks, and a click there
  // is the person's word.
  if (page?.touched) await open(request)
  else await settle()
}

/**
 * Finds the page or frame that asks, which the browser does not name, by its origin: where a
 * person clicked or typed just now if there is one, by the browser's own measure, which pages
 * cannot feed. A foreign frame that registers has used the touch up: Chromium asks for one and
 * takes it away before the request comes here.
 * @param {{ origin: string, cross: boolean, kind: 'create' | 'get' }} r
 */
async function find(r) {
  const pages = []
  for (const tab of await chrome.tabs.query(r.cross ? { active: true } : {})) {
    if (!r.cross && originOf(tab.url) !== r.origin) continue
    const frames = await chrome.scripting.executeScript({
      target: { tabId: /** @type {number} */ (tab.id), allFrames: true },
      func: () => ({ origin: location.origin, active: navigator.userActivation.isActive }),
    }).catch(() => [])
    for (const f of frames) {
      if (f.result?.origin !== r.origin || (r.cross && f.frameId === 0)) continue
      const touched = tab.active && (f.result.active || (r.cross && r.kind === 'create'))
      pages.push({ tab: /** @type {number} */ (tab.id), document: f.documentId, top: originOf(tab.url), touched })
    }
  }
  return pages.find((p) => p.touched) ?? pages[0]
}

// The browser does not say that a page that asks has gone, so that it is looked after here.
chrome.tabs.onRemoved.addListener((tab) => leave(tab))
chrome.tabs.onUpdated.addListener((tab, change) => { if (change.status) return leave(tab) })

/** Ends the requests of a tab whose page is there no more. @param {number} tab */
async function leave(tab) {
  for (const r of await allRequests()) {
    if (r.tab !== tab) continue
    const [there] = await chrome.scripting.executeScript({ target: { tabId: tab, documentIds: [r.document] }, func: () => true }).catch(() => [])
    // Asked for a document that goes just then, Chromium may answer of the one that came in its place.
    if (there?.documentId === r.document) continue
    await refuse(r.kind, r.id, 'NotAllowedError', 'The page has gone.')
    await end(r.id)
  }
}

/** Opens the window of a request. @param {import('./lib/store.js').Request} r */
async function open(r) {
  const near = await chrome.windows.getLastFocused({ windowTypes: ['normal'] }).catch(() => null)
  const place = near?.left === undefined || near.top === undefined || !near.width ? {} : { left: Math.max(0, Math.round(near.left + (near.width - size.width) / 2)), top: near.top + 60 }
  const window = await chrome.windows.create({ url: `prompt.html?request=${r.id}`, type: 'popup', focused: true, ...size, ...place })
  const window_ = window?.id ?? 0
  // The website may have given up while the window opened, or the person have closed it.
  if (!await placeRequest(r.id, window_)) await chrome.windows.remove(window_).catch(() => { /* it is closed already */ })
  if (!await chrome.windows.get(window_).catch(() => null)) return closed(window_)
  if (r.tab) await leave(r.tab) // the page may have gone before there was a request to find
  await settle()
}

/** Forgets a request, and closes its window. @param {number} id */
async function end(id) {
  const r = await dropRequest(id)
  if (!r) return
  await chrome.alarms.clear('request:' + id)
  if (r.window) await chrome.windows.remove(r.window).catch(() => { /* it is closed already */ })
  await settle()
}

// Whoever closes the window says no.
chrome.windows.onRemoved.addListener(async (window) => {
  await closed(window)
  await lookAround()
})

/** @param {number} window */
async function closed(window) {
  for (const r of await allRequests()) {
    if (r.window !== window || !await dropRequest(r.id)) continue
    await chrome.alarms.clear('request:' + r.id)
    await refuse(r.kind, r.id, 'NotAllowedError', 'It was cancelled at the workstation.')
  }
  await settle()
}

// The popup, the options page and the prompt ask the worker: only it opens windows.
chrome.runtime.onMessage.addListener((message, sender, answer) => {
  if (sender.id !== chrome.runtime.id || originOf(sender.url) !== originOf(chrome.runtime.getURL(''))) return false
  const act = {
    open: async () => {
      const r = await findRequest(message.id)
      if (r && r.window === 0) await open(r)
    },
    ask: () => ask(),
    settle: () => settle(),
  }[/** @type {string} */ (message.act)]
  if (!act) return false
  act().then(() => answer(true), () => answer(false))
  return true
})

chrome.alarms.onAlarm.addListener(async ({ name }) => {
  if (name.startsWith('request:')) {
    const r = await findRequest(Number(name.slice('request:'.length)))
    if (!r) return
    await refuse(r.kind, r.id, 'NotAllowedError', 'Nobody tapped a badge in time.')
    return end(r.id)
  }
  if (name === 'aside') return settle()
  await lookAround()
  await settle()
  await enrolByPolicy()
  const now = await state()
  if (now === 'pending' || now === 'unreachable' || now === 'held' || await recall('minutes', 0) >= 10) {
    await forget('minutes')
    await ask()
  } else {
    await remember('minutes', await recall('minutes', 0) + 1)
  }
})

chrome.tabs.onActivated.addListener(() => lookAround())
chrome.tabs.onUpdated.addListener((_, change) => { if (change.url || change.status) return lookAround() })
chrome.windows.onFocusChanged.addListener(() => lookAround())
chrome.storage.managed.onChanged.addListener(async () => {
  await forget('policy')
  await enrolByPolicy()
})
chrome.storage.local.onChanged.addListener(() => settle())

/**
 * Begins anew. The session's storage is empty after installation, an update, each start of the
 * browser and when the extension was switched off and on; not when the worker only slept.
 */
async function start() {
  if (await recall('started', false)) return
  await remember('started', true)
  // What the extension keeps is for its own pages, not for scripts inside websites.
  await Promise.all([chrome.storage.local, chrome.storage.session].map((area) => area.setAccessLevel({ accessLevel: 'TRUSTED_CONTEXTS' })))
  await chrome.alarms.create('minute', { periodInMinutes: 1 })
  await lookAround()
  await settle()
  await enrolByPolicy()
  await ask()
}
const started = start()
chrome.runtime.onStartup.addListener(() => started)
chrome.runtime.onInstalled.addListener(async ({ reason }) => {
  await started
  if (reason === 'install' && await state() === 'unset') await chrome.runtime.openOptionsPage()
})
