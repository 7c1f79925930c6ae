package arch

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const planted = "github.com/example/planted"

// files are the contents of a planted tree by path.
type files map[string]string

// with returns the files with more of them added, or in place of others.
func (f files) with(more files) files {
	all := maps.Clone(f)
	maps.Copy(all, more)
	return all
}

// write writes the files into a temporary folder and returns it.
func (f files) write(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range f {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// clean is a small module that keeps every rule, and comes as close to breaking
// them as is allowed.
func clean() files {
	return files{
		"go.mod": "module " + planted + "\n\nrequire example.com/a v1.0.0\n\nrequire (\n" +
			strings.Repeat("\texample.com/a v1.0.0\n", maxDependencies-1) +
			"\texample.com/b v1.0.0 // indirect\n)\n\nreplace (\n\texample.com/c => ../c\n)\n",
		"cmd/keyhold/main.go": `package main

import (
	"os"

	"github.com/alecthomas/kong"

	"github.com/example/planted/internal/app"
)

func main() { kong.Parse(nil); app.Run(os.Args) }
`,
		"e2e/e2e_test.go": "package e2e_test\n",
		"internal/app/app.go": `// Package app wires.
package app

import (
	"time"

	_ "github.com/example/planted/internal/app/demo"
	_ "github.com/example/planted/internal/edge/api"
	_ "github.com/example/planted/internal/store"
)

func Run([]string) { time.Sleep(time.Second) }
`,
		"internal/app/demo/demo.go": `// Package demo shows.
package demo

import _ "github.com/emersion/go-smtp"
`,
		"internal/base/auth/auth.go": "// Package auth says who calls.\npackage auth\n\ntype Caller struct{}\n",
		"internal/base/clock/clock.go": `// Package clock reads the clock.
package clock

import "time"

func Now() time.Time { return time.Now() }
`,
		"internal/base/id/id.go": `// Package id names things.
package id

import _ "github.com/example/planted/internal/base/auth"
`,
		"internal/base/seal/seal.go": `// Package seal seals.
package seal

import _ "github.com/tink-crypto/tink-go/v2/aead"
`,
		"internal/ledger/activity/activity.go": `// Package activity records.
package activity

import (
	"context"

	"github.com/example/planted/internal/base/auth"
)

type Record struct{}

func (*Record) List(ctx context.Context, by auth.Caller) {}
`,
		"internal/room/apikey/apikey.go": `// Package apikey holds rules.
package apikey

import (
	"context"
	"errors"
	"net/netip"
	"regexp"
	"time"

	caller "github.com/example/planted/internal/base/auth"
	_ "github.com/example/planted/internal/ledger/activity"
)

var (
	ErrGone = errors.New("gone")
	name    = regexp.MustCompile("^[a-z]+$")
	_       interface{ List() } = (*other)(nil)
	days    = []int{1, 7, 30} // constant: nobody writes it
)

// words are told in order.
//
// constant: a table.
var words = map[string]string{"a": "b"}

type Service struct{ from netip.Addr }

func NewService() *Service { return &Service{} }

func (s *Service) Issue(ctx context.Context, by caller.Caller, now time.Time) { s.issue(now) }

func (s Service) List(_ context.Context, _, _ caller.Caller) {}

func (s *Service) issue(now time.Time) {}

type other struct{}

func (other) List() {}

func (other) init() {}
`,
		// A test may do what it likes.
		"internal/room/apikey/apikey_test.go": `package apikey_test

import (
	"net/http"
	"time"

	_ "example.com/anything"
	_ "github.com/example/planted/internal/store/storetest"
)

var started = time.Now()

func init() { http.Get("http://localhost") }
`,
		"internal/room/apikey/testdata/broken.go": "not Go at all",
		"internal/room/directory/directory.go":    "// Package directory holds rules.\npackage directory\n",
		"internal/flow/join/join.go": `// Package join crosses rooms.
package join

import (
	_ "github.com/example/planted/internal/room/apikey"
	_ "github.com/example/planted/internal/room/directory"
)
`,
		"internal/out/mail/mail.go": `// Package mail sends.
package mail

import (
	"time"

	_ "github.com/a-h/templ"
	_ "github.com/wneessen/go-mail"
)

var wait = time.NewTimer // constant: a function
`,
		"internal/edge/kit/kit.go": "// Package kit is the toolbox.\npackage kit\n\nimport _ \"github.com/example/planted/internal/edge/kit/assets\"\n",
		"internal/edge/kit/assets/assets.go": `// Package assets holds files.
package assets

import "embed"

//go:embed all:dist
var dist embed.FS
`,
		"internal/edge/api/api.go": `// Package api answers.
package api

import (
	"net/http"

	_ "github.com/danielgtaylor/huma/v2/adapters/humago"

	_ "github.com/example/planted/internal/edge/kit"
)

// routes is the route registration.
func routes(m *http.ServeMux) {
` + strings.Repeat("\tm.Handle(\"/\", nil)\n", maxFunction+20) + "}\n",
		"internal/edge/api/apikey.go":              "package api\n",
		"internal/edge/api/apikey_rotation.go":     "package api\n",
		"internal/edge/api/matrix_test.go":         "package api\n",
		"internal/edge/panel/panel.go":             "// Package panel shows.\npackage panel\n",
		"internal/edge/panel/shell.templ":          "package panel\n",
		"internal/edge/panel/shell_templ.go":       "package panel\n",
		"internal/edge/panel/apikey_list.templ":    "package panel\n",
		"internal/edge/panel/activity.go":          "package panel\n",
		"internal/edge/panel/apikey_list_templ.go": "package panel\n\nimport _ \"github.com/a-h/templ/runtime\"\n\nvar generated = 1\n\nfunc init() {}\n",
		"internal/store/store.go": `// Package store keeps.
package store

import (
	"database/sql"

	_ "modernc.org/sqlite"
)

type Store struct{ db *sql.DB }
`,
		"internal/store/apikey.go": `package store

import (
	"fmt"
	"strings"
)

const (
	columns    = "id, name"
	selectKeys = "SELECT " + columns + " FROM api_key"
)

func (s *Store) keys(name string) error {
	const one = selectKeys + " WHERE id = $1"
	query := selectKeys + " WHERE name = $1"
	both := strings.Join([]string{one, selectKeys}, " UNION ")
	if _, err := s.db.Query(query, both, name+"%"); err != nil {
		return fmt.Errorf("reading from %s where: %w", name, err)
	}
	return nil
}

func (s *Store) insert(name string) {
	s.db.Exec(` + "`INSERT INTO api_key\n" + strings.Repeat("-- one more line\n", maxFunction+20) + "`" + `, name)

	// ` + strings.Repeat("a line of comment\n\t// ", maxFunction) + `
}
`,
		"internal/store/query.go": `package store

func list(filter string) string { return selectKeys + " WHERE " + filter }
`,
		"internal/store/migrations/migrations.go": "// Package migrations holds SQL.\npackage migrations\n",
		"internal/store/storetest/storetest.go": `// Package storetest tries engines.
package storetest

import _ "github.com/example/planted/internal/store"
`,
		"tmp/left.go":                  "package left\n",
		"web/node_modules/some/any.go": "package any\n",
	}
}

func TestCheck_cleanTreeHasNoViolations(t *testing.T) {
	for _, v := range Check(clean().write(t)) {
		t.Error(v)
	}
}

// plant is one way to break a rule.
type plant struct {
	name  string
	files files
	rule  Rule
	at    string // file:line
	says  string // part of what is wrong and how to mend it
}

// room returns the source of a file of room apikey whose imports begin on line 3
// and whose code begins on line 5 for one import.
func room(imports, code string) files {
	return files{"internal/room/apikey/planted.go": "package apikey\n\n" + imports + "\n\n" + code + "\n"}
}

// sql returns the source of a file of the store whose function's body begins on
// line 6.
func sql(imports, body string) files {
	return files{"internal/store/apikey_planted.go": "package store\n\n" + imports +
		"\n\nfunc (s *Store) planted(name string, limit int) {\n" + body + "\n}\n"}
}

func lines(line string, n int) string { return strings.Repeat(line+"\n", n) }

func plants() []plant {
	const (
		inRoom  = "internal/room/apikey/planted.go"
		inStore = "internal/store/apikey_planted.go"
		context = `import ("context"; "` + planted + `/internal/base/auth")`
	)
	return []plant{
		{"file that does not parse", files{inRoom: "package apikey\n\nfunc {\n"}, RuleTree, inRoom + ":1", "make the file parse"},

		{"unlisted package", files{"internal/util/util.go": "// Package util helps.\npackage util\n"}, RulePackage, "internal/util/util.go:1", "list the folder"},
		{"unlisted package of tests only", files{"internal/util/util_test.go": "package util\n"}, RulePackage, "internal/util/util_test.go:1", "not listed"},
		{"unlisted command", files{"cmd/other/main.go": "package main\n"}, RulePackage, "cmd/other/main.go:1", "cmd/other is not listed"},
		{"code in web", files{"web/build.go": "package web\n"}, RulePackage, "web/build.go:1", "not listed"},
		{"code in the root", files{"doc.go": "package planted\n"}, RulePackage, "doc.go:1", "not listed"},
		{"no package comment", files{"internal/room/directory/directory.go": "//go:build linux\n\npackage directory\n"}, RulePackage, "internal/room/directory/directory.go:1", "say in directory.go what"},

		{"room imports a sibling", room(`import _ "`+planted+`/internal/room/directory"`, ""), RuleImport, inRoom + ":3", "own Tx interface, or move the act into a flow"},
		{"room imports the store", room(`import _ "`+planted+`/internal/store"`, ""), RuleImport, inRoom + ":3", "ring room may import ledger, base"},
		{"import of an unlisted package", room(`import _ "`+planted+`/internal/util"`, ""), RuleImport, inRoom + ":3", `imports "internal/util", which is not listed`},
		{"import into the file's own names", room(`import . "time"`, "var at = Now() // constant: no"), RuleImport, inRoom + ":3", "import it by its name"},

		{"module of another package", room(`import _ "github.com/danielgtaylor/huma/v2"`, ""), RuleModule, inRoom + ":3", "belongs in internal/edge/api only"},
		{"module that nobody listed", room(`import _ "example.com/left/pad"`, ""), RuleModule, inRoom + ":3", "do without, or write the paragraph"},
		{"module with a listed one's beginning", files{"internal/store/store.go": "// Package store keeps.\npackage store\n\nimport _ \"modernc.org/sqlite3\"\n\ntype Store struct{ db interface{ Query(...any) (any, error); Exec(...any) } }\n"}, RuleModule, "internal/store/store.go:4", "listed nowhere"},
		{"templ in a room's generated file", files{"internal/room/apikey/page_templ.go": "package apikey\n\nimport _ \"github.com/a-h/templ\"\n"}, RuleModule, "internal/room/apikey/page_templ.go:3", "internal/edge/..., internal/out/mail only"},

		{"room that logs", room(`import "log/slog"`, `func tell() { slog.Info("x") }`), RuleWorld, inRoom + ":3", "ring room does no I/O"},

		{"room that reads the clock", room(`import "time"`, "func at() time.Time { return time.Now() }"), RuleClock, inRoom + ":5", "take a clock.Clock or the moment"},
		{"clock passed on", room(`import "time"`, "func at() func() time.Time { return time.Now }"), RuleClock, inRoom + ":5", "uses time.Now"},
		{"clock under another name", room(`import wall "time"`, "func at() wall.Time { return wall.Now() }"), RuleClock, inRoom + ":5", "uses time.Now"},
		{"edge that reads the clock", files{"internal/edge/api/list.go": "package api\n\nimport \"time\"\n\nfunc at() time.Time { return time.Now() }\n"}, RuleClock, "internal/edge/api/list.go:5", "internal/edge/api uses time.Now"},
		{"app that reads the clock", files{"internal/app/clock.go": "package app\n\nimport \"time\"\n\nfunc at(t time.Time) time.Duration { return time.Since(t) }\n"}, RuleClock, "internal/app/clock.go:5", "uses time.Since"},
		{"clock that waits", files{"internal/base/clock/wait.go": "package clock\n\nimport \"time\"\n\nfunc wait() { time.Sleep(1) }\n"}, RuleClock, "internal/base/clock/wait.go:5", "ring base never waits"},

		{"method without caller", room(`import "context"`, "func (s *Service) Revoke(ctx context.Context, key string) {}"), RuleCaller, inRoom + ":5", "Service.Revoke does not begin with (ctx context.Context, by auth.Caller, …)"},
		{"method without context", room(`import "`+planted+`/internal/base/auth"`, "func (s Service) Revoke(by auth.Caller, key string) {}"), RuleCaller, inRoom + ":5", "ask whether they may"},
		{"method with somebody else's caller", room(`import ("context"; auth "runtime/debug")`, "func (s *Service) Revoke(ctx context.Context, by auth.Caller) {}"), RuleCaller, inRoom + ":5", "Service.Revoke"},
		{"method with the caller last", room(context, "func (s *Service) Revoke(ctx context.Context, key string, by auth.Caller) {}"), RuleCaller, inRoom + ":5", "Service.Revoke"},
		{"method without context but with the caller in its place", room(context, "func (s *Service) Revoke(key string, by auth.Caller) { context.TODO() }"), RuleCaller, inRoom + ":5", "Service.Revoke"},
		{"method with two contexts", room(context, "func (s *Service) Revoke(a, b context.Context, by auth.Caller) {}"), RuleCaller, inRoom + ":5", "Service.Revoke"},
		{"method of a generic service", files{"internal/flow/join/join.go": "// Package join crosses rooms.\npackage join\n\ntype Service[T any] struct{}\n\nfunc (*Service[T]) Join() {}\n"}, RuleCaller, "internal/flow/join/join.go:6", "Service.Join"},
		{"method of the record", files{"internal/ledger/activity/close.go": "package activity\n\nfunc (*Record) Close() {}\n"}, RuleCaller, "internal/ledger/activity/close.go:3", "Record.Close"},

		{"file of the api named after nothing", files{"internal/edge/api/helpers.go": "package api\n"}, RuleName, "internal/edge/api/helpers.go:1", "name it <room>.go or <room>_<topic>.go"},
		{"file of the api that only begins like a room", files{"internal/edge/api/apikeys.go": "package api\n"}, RuleName, "internal/edge/api/apikeys.go:1", "named after none of"},
		{"template of the panel named after nothing", files{"internal/edge/panel/misc.templ": "package panel\n"}, RuleName, "internal/edge/panel/misc.templ:1", "named after none of"},
		{"generated file of the panel named after nothing", files{"internal/edge/panel/misc_templ.go": "package panel\n"}, RuleName, "internal/edge/panel/misc_templ.go:1", "named after none of"},
		{"file of the store named after nothing", files{"internal/store/more.go": "package store\n"}, RuleName, "internal/store/more.go:1", "named after none of"},
		{"file of the store named after a flow", files{"internal/store/join.go": "package store\n"}, RuleName, "internal/store/join.go:1", "named after none of"},

		{"SQL and a value", sql("", `	s.db.Query("SELECT id FROM api_key WHERE name = '" + name + "'")`), RuleSQL, inStore + ":6", "pass values as arguments"},
		{"SQL by Sprintf", sql(`import "fmt"`, `	s.db.Query(fmt.Sprintf("SELECT id FROM api_key LIMIT %d", limit))`), RuleSQL, inStore + ":6", "raw string with $1 placeholders"},
		{"SQL of a constant and a value", sql("", `	s.db.Query(selectKeys + " " + name)`), RuleSQL, inStore + ":6", "not a constant"},
		{"SQL of a variable and a value", sql("", "	q := `SELECT id FROM api_key`; s.db.Query(q + name)"), RuleSQL, inStore + ":6", "not a constant"},
		{"SQL that grows", sql("", "	q := selectKeys; q += name; s.db.Query(q)"), RuleSQL, inStore + ":6", "not a constant"},
		{"SQL by assignment to itself", sql("", "	q := selectKeys; q = q + name; s.db.Query(q)"), RuleSQL, inStore + ":6", "not a constant"},
		{"SQL by Join", sql(`import "strings"`, `	s.db.Query(strings.Join([]string{"SELECT id", name}, ", "))`), RuleSQL, inStore + ":6", "not a constant"},
		{"SQL by ReplaceAll", sql(`import "strings"`, `	s.db.Query(strings.ReplaceAll(selectKeys, "name", name))`), RuleSQL, inStore + ":6", "not a constant"},
		{"SQL by a builder", sql(`import "strings"`, `	var b strings.Builder; b.WriteString(" WHERE "); b.WriteString(name)`), RuleSQL, inStore + ":6", "not a constant"},
		{"SQL of a parameter named like a constant", sql("", `	func(columns string) { s.db.Query("SELECT " + columns) }(name)`), RuleSQL, inStore + ":6", "not a constant"},

		{"init", room("", "func init() {}"), RuleGlobal, inRoom + ":5", "make the value in a constructor"},
		{"global counter", room("", "var tries int"), RuleGlobal, inRoom + ":5", "the package-level variable tries"},
		{"global table without its mark", room("", "var table = map[string]int{}"), RuleGlobal, inRoom + ":5", `in a comment with "constant:"`},
		{"global beside an error", room(`import "errors"`, `var errA, cache = errors.New("a"), map[string]int{}`), RuleGlobal, inRoom + ":5", "variable errA"},
		{"embedded files without the directive", room(`import "embed"`, "var dist embed.FS"), RuleGlobal, inRoom + ":5", "variable dist"},

		{"long function", room("", "func long() {\n"+lines("\tlong()", maxFunction-1)+"}"), RuleSize, inRoom + ":5", fmt.Sprintf("long has %d lines of code, the budget is %d", maxFunction+1, maxFunction)},
		{"long file", room("", lines("const _ = 0", maxFile)), RuleSize, inRoom + ":1", fmt.Sprintf("the file has %d lines of code", maxFile+1)},
		{"long file of SQL", room("", "const q = `"+lines("x", maxFile-1)+"`"), RuleSize, inRoom + ":1", fmt.Sprintf("the file has %d lines of code", maxFile+1)},
		{"large package", largePackage(), RuleSize, "internal/room/directory/directory.go:1", "find the second room inside it"},
		{"one dependency too many", files{"go.mod": clean()["go.mod"] + "\nrequire example.com/z v1.0.0\n"}, RuleSize, "go.mod:1", fmt.Sprintf("%d direct dependencies, the budget is %d", maxDependencies+1, maxDependencies)},
	}
}

// largePackage fills a room to one line over its budget, in files that keep
// theirs.
func largePackage() files {
	all := files{}
	const each = 250
	for i := range maxPackage / each {
		all[fmt.Sprintf("internal/room/directory/part%d.go", i)] = "package directory\n" + lines("const _ = 0", each-1)
	}
	return all
}

func TestCheck_budgetsMayBeUsedUp(t *testing.T) {
	full := largePackage()
	full["internal/room/directory/part0.go"] = "package directory\n" + lines("const _ = 0", 248)
	body := "func long() {\n" + lines("\tlong()", maxFunction-3) + "\tconst text = `" + lines("text", 9) + "`\n}\n"
	full["internal/room/apikey/long.go"] = "package apikey\n\n// long is long.\n" + body + lines("const _ = 0", maxFile-maxFunction-10)
	for _, v := range Check(clean().with(full).write(t)) {
		t.Error(v)
	}
}

func TestCheck_catchesWhatIsPlanted(t *testing.T) {
	for _, p := range plants() {
		t.Run(p.name, func(t *testing.T) {
			got := Check(clean().with(p.files).write(t))
			if len(got) != 1 {
				t.Fatalf("Check() = %d violations %v, want 1", len(got), got)
			}
			v := got[0]
			if at := fmt.Sprintf("%s:%d", v.File, v.Line); v.Rule != p.rule || at != p.at {
				t.Errorf("Check() = %s at %s, want %s at %s", v.Rule, at, p.rule, p.at)
			}
			if text := v.String(); !strings.Contains(text, p.says) || !strings.HasPrefix(text, p.at+": ") || v.Mend == "" {
				t.Errorf("message = %q, want it to begin with %q, to contain %q and to say how to mend", text, p.at, p.says)
			}
		})
	}
}

// TestPlants_coverEveryRule fails when a rule is added that nobody plants.
func TestPlants_coverEveryRule(t *testing.T) {
	src, err := os.ReadFile("arch.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`Rule = "(\w+)"`).FindAllSubmatch(src, -1) {
		rule := Rule(m[1])
		if !slices.ContainsFunc(plants(), func(p plant) bool { return p.rule == rule }) {
			t.Errorf("no plant breaks rule %q", rule)
		}
	}
}

func TestCheck_withoutModuleIsAViolation(t *testing.T) {
	got := Check(t.TempDir())
	if len(got) != 1 || got[0].Rule != RuleTree {
		t.Errorf("Check() = %v, want one violation of %q", got, RuleTree)
	}
}

// TestCheck_everyPairOfPackages plants in each listed package an import of each
// other one and compares the answers with the list in docs/ARCHITECTURE.md.
func TestCheck_everyPairOfPackages(t *testing.T) {
	want := ringsOnPage(t)
	dirs := slices.Sorted(maps.Keys(listed))
	for _, from := range dirs {
		t.Run(from, func(t *testing.T) {
			source := "// Package planted imports everything.\npackage planted\n"
			var imported []string
			for _, to := range dirs {
				if to != from {
					imported = append(imported, to)
					source += fmt.Sprintf("import _ %q\n", planted+"/"+to)
				}
			}
			got := Check(files{"go.mod": "module " + planted + "\n", from + "/" + baseName(from) + ".go": source}.write(t))
			for i, to := range imported {
				refused := slices.ContainsFunc(got, func(v Violation) bool { return v.Rule == RuleImport && v.Line == i+3 })
				own := listed[from] == listed[to] && (strings.HasPrefix(to, from+"/") || strings.HasPrefix(from, to+"/"))
				if allowed := own || slices.Contains(want[listed[from]], listed[to]); refused == allowed {
					t.Errorf("import of %s: refused = %v, want %v", to, refused, !allowed)
				}
			}
		})
	}
}

// TestCheck_everyListedModule plants in each listed package an import of each
// listed module, and of each part of the standard library that is the world.
func TestCheck_everyListedModule(t *testing.T) {
	modules := slices.Sorted(maps.Keys(allowedModules))
	std := append([]string{"net/http/httptest", "os/exec", "database/sql/driver", "log/slog", "net/netip", "crypto/rand"}, world...)
	for _, dir := range slices.Sorted(maps.Keys(listed)) {
		t.Run(dir, func(t *testing.T) {
			source := "// Package planted imports everything.\npackage planted\n"
			for _, m := range slices.Concat(modules, std) {
				source += fmt.Sprintf("import _ %q\n", m)
			}
			got := Check(files{"go.mod": "module " + planted + "\n", dir + "/" + baseName(dir) + ".go": source}.write(t))
			at := func(rule Rule, line int) bool {
				return slices.ContainsFunc(got, func(v Violation) bool { return v.Rule == rule && v.Line == line })
			}
			for i, m := range modules {
				place := slices.ContainsFunc(allowedModules[m], func(p string) bool {
					top, deep := strings.CutSuffix(p, "/...")
					return dir == top || (deep && strings.HasPrefix(dir, top+"/"))
				})
				if refused := at(RuleModule, i+3); refused == place {
					t.Errorf("import of %s: refused = %v, want %v", m, refused, !place)
				}
			}
			innermost := regexp.MustCompile(`^internal/(room|flow|ledger|base)/`).MatchString(dir)
			for i, p := range std {
				want := innermost && p != "net/netip" && p != "crypto/rand"
				if refused := at(RuleWorld, len(modules)+i+3); refused != want {
					t.Errorf("import of %s: refused = %v, want %v", p, refused, want)
				}
			}
		})
	}
}

func baseName(dir string) string { return dir[strings.LastIndexByte(dir, '/')+1:] }
