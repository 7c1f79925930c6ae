// @ts-check
// What the toolbar's icon opens: the state, the requests that wait for a click, and the way to
// another key.
import { allRequests } from './lib/store.js'
import { state, stepAside, stepBack, titles } from './lib/state.js'

/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id))

async function show() {
  const now = await state()
  document.body.dataset.state = now
  part('state').textContent = titles[now]
  part('another').hidden = now !== 'ready' && now !== 'unreachable'
  part('back').hidden = now !== 'aside'
  const waiting = (await allRequests()).filter((r) => r.window === 0)
  part('waiting').replaceChildren(...waiting.map((r) => {
    const button = document.createElement('button')
    button.className = 'main'
    button.dataset.request = String(r.id)
    button.textContent = `Go on at ${new URL(r.origin).host}`
    button.addEventListener('click', async () => {
      await chrome.runtime.sendMessage({ act: 'open', id: r.id })
      window.close()
    })
    return button
  }))
}

part('another').addEventListener('click', () => stepAside())
part('back').addEventListener('click', () => stepBack())
part('settings').addEventListener('click', () => chrome.runtime.openOptionsPage())
chrome.storage.onChanged.addListener(() => show())
await show()
