package arch

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

func (c *checker) checkListed(p *pkg) {
	if _, ok := listed[p.dir]; !ok {
		c.report(RulePackage, p.files[0].path, 1, fmt.Sprintf("the folder %s is not listed", p.dir),
			"put the code into a listed package, or list the folder with its ring in internal/arch/rules.go")
	}
}

// checkComment asks for a package comment below internal (STYLE 8).
func (c *checker) checkComment(p *pkg) {
	code := p.code()
	if len(code) == 0 || !within(p.dir, "internal") {
		return
	}
	for _, f := range code {
		if f.syntax.Doc != nil && strings.TrimSpace(f.syntax.Doc.Text()) != "" {
			return
		}
	}
	c.report(RulePackage, code[0].path, 1, fmt.Sprintf("package %s has no package comment", code[0].syntax.Name.Name),
		fmt.Sprintf("say in %s.go what the package decides and what it refuses to know", path.Base(p.dir)))
}

func (c *checker) checkImports(p *pkg, f *file) {
	for _, spec := range f.syntax.Imports {
		target := importPath(spec)
		if spec.Name != nil && spec.Name.Name == "." {
			c.reportAt(RuleImport, f, spec.Pos(), fmt.Sprintf("%q is imported into the file's own names", target),
				"import it by its name, which these checks read")
		}
		first, _, _ := strings.Cut(target, "/")
		switch {
		case within(target, c.module):
			c.checkRing(p, f, spec)
		case strings.Contains(first, "."):
			c.checkThirdParty(p, f, spec)
		case slices.Contains(inner, p.ring):
			c.checkWorld(p, f, spec)
		}
	}
}

// checkRing asks whether the package may import one of the module.
func (c *checker) checkRing(p *pkg, f *file, spec *ast.ImportSpec) {
	target := strings.TrimPrefix(strings.TrimPrefix(importPath(spec), c.module), "/")
	to, ok := listed[target]
	if !ok {
		c.reportAt(RuleImport, f, spec.Pos(), fmt.Sprintf("imports %q, which is not listed", target),
			"import a listed package, or list the folder with its ring in internal/arch/rules.go")
		return
	}
	if p.ring == "" || slices.Contains(mayImport[p.ring], to) || (to == p.ring && unit(p.dir) == unit(target)) {
		return
	}
	what := fmt.Sprintf("%s imports %q: ring %s may not import ring %s", p.dir, target, p.ring, to)
	mend := fmt.Sprintf("ring %s may import %s; declare here, as an interface, what is needed and let app fill it", p.ring, ringList(mayImport[p.ring]))
	if to == p.ring {
		what = fmt.Sprintf("%s imports %q, a sibling of its own ring %s", p.dir, target, p.ring)
		if p.ring == ringRoom {
			mend = "ask the other room's facts by id through this room's own Tx interface, or move the act into a flow"
		}
	}
	c.reportAt(RuleImport, f, spec.Pos(), what, mend)
}

// checkThirdParty asks whether the package may import another module.
func (c *checker) checkThirdParty(p *pkg, f *file, spec *ast.ImportSpec) {
	target := importPath(spec)
	for module, places := range allowedModules {
		if !within(target, module) {
			continue
		}
		if !slices.ContainsFunc(places, func(place string) bool { return matches(p.dir, place) }) {
			c.reportAt(RuleModule, f, spec.Pos(), fmt.Sprintf("%s imports %q, which belongs in %s only", p.dir, target, strings.Join(places, ", ")),
				"keep it behind the package that owns it")
		}
		return
	}
	c.reportAt(RuleModule, f, spec.Pos(), fmt.Sprintf("%s imports %q of a module that is listed nowhere", p.dir, target),
		"do without, or write the paragraph that a dependency needs and list it in internal/arch/rules.go")
}

// checkWorld keeps I/O out of the inner rings.
func (c *checker) checkWorld(p *pkg, f *file, spec *ast.ImportSpec) {
	target := importPath(spec)
	if slices.ContainsFunc(world, func(w string) bool { return within(target, w) }) {
		c.reportAt(RuleWorld, f, spec.Pos(), fmt.Sprintf("%s imports %q: ring %s does no I/O", p.dir, target, p.ring),
			"declare what is needed as an interface here and let an edge, the store or a way out do it")
	}
}

// checkClock keeps the machine's clock out, and waiting out of the inner rings.
func (c *checker) checkClock(p *pkg, f *file) {
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		name := f.selects(e, "time")
		switch {
		case slices.Contains(wallClock, name) && !slices.Contains(clockReaders, p.dir):
			c.reportAt(RuleClock, f, e.Pos(), fmt.Sprintf("%s uses time.%s", p.dir, name),
				"take a clock.Clock or the moment as an argument; clock.Stopwatch measures how long something took")
		case slices.Contains(waiting, name) && slices.Contains(inner, p.ring):
			c.reportAt(RuleClock, f, e.Pos(), fmt.Sprintf("%s uses time.%s: ring %s never waits", p.dir, name, p.ring),
				"decide by the time that is handed in, and let a way out or an edge wait")
		}
		return true
	})
}

// unit returns the folder whose packages are one: a package with its subpackages.
func unit(dir string) string {
	parts := strings.Split(dir, "/")
	n := 2 // cmd/x, internal/app, internal/store, internal/door
	if len(parts) > 2 && !slices.Contains([]string{"app", "store", "arch", "door", "agent"}, parts[1]) {
		n = 3 // internal/room/x
	}
	return strings.Join(parts[:min(n, len(parts))], "/")
}

// within says whether p is dir or lies below it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// matches says whether dir is the place, or below it for a place that ends in
// "/...".
func matches(dir, place string) bool {
	if top, deep := strings.CutSuffix(place, "/..."); deep {
		return within(dir, top)
	}
	return dir == place
}

func ringList(rings []ring) string {
	if len(rings) == 0 {
		return "nothing of the module"
	}
	names := make([]string, len(rings))
	for i, r := range rings {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}
