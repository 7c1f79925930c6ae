package arch

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// tree is a module's code as it was read.
type tree struct {
	module   string // module path
	direct   int    // direct dependencies
	fset     *token.FileSet
	packages []*pkg // in order of their folders
}

// pkg is one folder that holds Go or templ files.
type pkg struct {
	dir   string // slash-separated, relative to the root
	ring  ring   // "" if the folder is not listed
	files []*file
}

// file is one Go or templ file.
type file struct {
	path      string // slash-separated, relative to the root
	name      string
	test      bool
	generated bool
	syntax    *ast.File         // nil for templ files and what does not parse
	imports   map[string]string // path by the name that it has in this file
	lines     []lineKind        // by line number; the first is unused
}

// lineKind says what begins on a line.
type lineKind uint8

const (
	lineCode lineKind = 1 << iota // something other than a comment
	lineText                      // inside a raw string, and not blank
)

// skippedEverywhere are folders that hold no code of the module, skippedAtRoot
// those that hold none when they lie in the root.
//
// constant: lists.
var (
	skippedEverywhere = []string{"node_modules", "testdata", "vendor"}
	skippedAtRoot     = []string{"bin", "tmp"}
)

func (c *checker) load(root string) {
	c.fset = token.NewFileSet()
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		c.report(RuleTree, "go.mod", 1, err.Error(), "run the check on the module's root")
		return
	}
	c.module, c.direct = readMod(string(mod))
	c.loadDir(root, ".")
}

func (c *checker) loadDir(root, dir string) {
	entries, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(dir)))
	if err != nil {
		c.report(RuleTree, dir, 1, err.Error(), "make the folder readable")
		return
	}
	p := &pkg{dir: dir, ring: listed[dir]}
	var below []string
	for _, e := range entries {
		name := e.Name()
		switch {
		case name[0] == '.' || name[0] == '_':
		case e.IsDir():
			if !slices.Contains(skippedEverywhere, name) && (dir != "." || !slices.Contains(skippedAtRoot, name)) {
				below = append(below, path.Join(dir, name))
			}
		case strings.HasSuffix(name, ".go") || strings.HasSuffix(name, ".templ"):
			p.files = append(p.files, c.loadFile(root, path.Join(dir, name)))
		}
	}
	if len(p.files) > 0 {
		c.packages = append(c.packages, p)
	}
	for _, d := range below {
		c.loadDir(root, d)
	}
}

func (c *checker) loadFile(root, name string) *file {
	f := &file{path: name, name: path.Base(name)}
	f.test = strings.HasSuffix(name, "_test.go")
	f.generated = strings.HasSuffix(name, "_templ.go")
	if !strings.HasSuffix(name, ".go") {
		return f
	}
	src, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		c.report(RuleTree, name, 1, err.Error(), "make the file readable")
		return f
	}
	syntax, err := parser.ParseFile(c.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		c.report(RuleTree, name, 1, err.Error(), "make the file parse")
		return f
	}
	f.syntax, f.imports, f.lines = syntax, importNames(syntax), lineKinds(src)
	return f
}

// line returns the line of pos, whatever //line comments claim.
func (t *tree) line(pos token.Pos) int { return t.fset.PositionFor(pos, false).Line }

// code returns the Go files that people wrote and that are not tests.
func (p *pkg) code() []*file {
	return slices.DeleteFunc(slices.Clone(p.files), func(f *file) bool {
		return f.test || f.generated || f.syntax == nil
	})
}

// selects returns the name that e selects from the package of an import path,
// "" if it selects none.
func (f *file) selects(e ast.Expr, importPath string) string {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok || f.imports[x.Name] != importPath {
		return ""
	}
	return sel.Sel.Name
}

// importNames returns the imports by their names in the file. It takes a path's
// last part for the package's name, which is true of all that the rules ask for.
func importNames(syntax *ast.File) map[string]string {
	names := map[string]string{}
	for _, spec := range syntax.Imports {
		p := importPath(spec)
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
	}
	return names
}

func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value // the parser has refused it before
	}
	return p
}

// lineKinds says for each line of a Go file what begins on it.
func lineKinds(src []byte) []lineKind {
	kinds := make([]lineKind, strings.Count(string(src), "\n")+2)
	at := token.NewFileSet().AddFile("", -1, len(src))
	var s scanner.Scanner
	s.Init(at, src, nil, 0) // leaves comments out
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return kinds
		}
		if tok == token.SEMICOLON && text == "\n" {
			continue // nobody wrote it
		}
		line := at.PositionFor(pos, false).Line
		kinds[line] |= lineCode
		if tok == token.STRING && text[0] == '`' {
			for i, part := range strings.Split(text, "\n") {
				if i > 0 && strings.TrimSpace(part) != "" {
					kinds[line+i] |= lineText
				}
			}
		}
	}
}

// count returns how many of the lines from..to are of a kind in want.
func (f *file) count(from, to int, want lineKind) int {
	n := 0
	for _, kind := range f.lines[from : to+1] {
		if kind&want != 0 {
			n++
		}
	}
	return n
}

// readMod returns the module's path and the number of its direct dependencies.
func readMod(src string) (module string, direct int) {
	block := ""
	for line := range strings.Lines(src) {
		code, comment, _ := strings.Cut(line, "//")
		words := strings.Fields(code)
		switch {
		case len(words) == 0:
			continue
		case words[0] == ")":
			block = ""
			continue
		case words[len(words)-1] == "(":
			block = words[0]
			continue
		case block != "":
			words = append([]string{block}, words...)
		}
		switch {
		case words[0] == "module" && len(words) == 2:
			module = strings.Trim(words[1], `"`)
		case words[0] == "require" && !strings.HasPrefix(strings.TrimSpace(comment), "indirect"):
			direct++
		}
	}
	return module, direct
}

// ringNames returns the names of the listed packages of some rings, sorted.
func ringNames(rings []ring) []string {
	var names []string
	for _, dir := range slices.Sorted(maps.Keys(listed)) {
		if slices.Contains(rings, listed[dir]) {
			names = append(names, path.Base(dir))
		}
	}
	return names
}
