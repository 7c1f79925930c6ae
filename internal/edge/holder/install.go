package holder

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/keyhold/keyhold/internal/edge/kit"
)

// registerInstall is the route registration of what makes the app installable.
func (h *Holder) registerInstall(mux *http.ServeMux) {
	mux.Handle("GET "+Prefix+"/manifest.webmanifest", h.open(h.manifest))
	mux.Handle("GET "+Prefix+"/worker.js", h.open(h.worker))
	mux.Handle("GET "+Prefix+"/offline", h.open(h.offline))
}

// manifest says how the app looks once it is installed (W3C Web Application Manifest).
func (h *Holder) manifest(w http.ResponseWriter, _ *http.Request) error {
	icon := h.c.Assets.Path("favicon.svg")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	kit.WriteJSON(w, http.StatusOK, "application/manifest+json", map[string]any{
		"id": Prefix, "name": textProduct, "short_name": textProduct, "description": textInstall,
		"start_url": Prefix, "scope": Prefix, "display": "standalone", "background_color": "#ffffff", "theme_color": "#1f2a44",
		"icons": []map[string]string{
			{"src": icon, "sizes": "any", "type": "image/svg+xml", "purpose": "any"},
			{"src": h.c.Assets.Path("app-192.png"), "sizes": "192x192", "type": "image/png", "purpose": "any"},
			{"src": h.c.Assets.Path("app-512.png"), "sizes": "512x512", "type": "image/png", "purpose": "any maskable"},
		},
	})
	return nil
}

// worker is the service worker: it keeps the files that pages are made of and the page
// that says that there is no network, and never an answer about somebody.
func (h *Holder) worker(w http.ResponseWriter, _ *http.Request) error {
	a := h.c.Assets
	files := []string{Prefix + "/offline", a.Path("app.css"), a.Path("app.js"), a.Path("icons.svg"), a.Path("favicon.svg")}
	if a.Built() {
		files = append(files, a.Path("inter-latin.woff2"))
	}
	list, err := json.Marshal(files)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Service-Worker-Allowed", Prefix)
	_, _ = w.Write(slices.Concat([]byte("const files = "), list, []byte(workerScript))) // the reader is gone: nobody is left to tell
	return nil
}

// workerScript keeps the files under a name made of their own names, which change with
// what they hold.
const workerScript = `
const shell = 'keyhold-' + files.join(' ')
self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(shell).then((cache) => cache.addAll(files)).then(() => self.skipWaiting()))
})
self.addEventListener('activate', (event) => {
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter((n) => n.startsWith('keyhold-') && n !== shell).map((n) => caches.delete(n)))).then(() => self.clients.claim()))
})
self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url)
  if (event.request.method !== 'GET' || url.origin !== location.origin) return
  if (event.request.mode === 'navigate') {
    event.respondWith(fetch(event.request).catch(() => caches.match(files[0])))
  } else if (files.includes(url.pathname) && url.pathname !== files[0]) {
    event.respondWith(caches.match(url.pathname).then((kept) => kept ?? fetch(event.request)))
  }
})
`

// offlineView is the page for when there is no network.
type offlineView struct{ Shell shell }

func (h *Holder) offline(w http.ResponseWriter, r *http.Request) error {
	v := h.stranger(r)
	v.theme, v.flash = "", ""
	return h.show(w, r, http.StatusOK, offlineTemplate(offlineView{Shell: h.shell(v, textOffline)}))
}
