// Package assets serves the front-end's files out of the binary. The front-end
// build writes them with hashed names and a manifest; without that build only a
// placeholder is there and pages are plain.
package assets

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"path"
)

//go:embed all:dist
var dist embed.FS

// Prefix is where the files are served.
const Prefix = "/assets/"

// Assets knows the files' hashed names. Use Load.
type Assets struct {
	files    fs.FS
	manifest map[string]string
}

// Load reads the manifest. Without a front-end build it is empty.
func Load() (*Assets, error) {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, err
	}
	a := &Assets{files: files, manifest: map[string]string{}}
	raw, err := fs.ReadFile(files, "manifest.json")
	if err != nil {
		return a, nil //nolint:nilerr // no manifest is no front-end build: pages are served plain
	}
	return a, json.Unmarshal(raw, &a.manifest)
}

// Path returns the URL path of a file by its logical name ("app.css").
func (a *Assets) Path(name string) string {
	if hashed, ok := a.manifest[name]; ok {
		return Prefix + hashed
	}
	return Prefix + name
}

// Built says whether the front-end's files are in the binary.
func (a *Assets) Built() bool { return len(a.manifest) > 0 }

// ServeHTTP serves a file. Hashed names never change what they hold.
func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := path.Base(path.Clean("/" + r.URL.Path))
	for _, hashed := range a.manifest {
		if hashed == name {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			break
		}
	}
	http.ServeFileFS(w, r, a.files, name)
}
