package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// checkCallers asks that a service's exported methods begin with the context and
// the caller.
func (c *checker) checkCallers(p *pkg, f *file) {
	service, ok := serviceTypeOf[p.dir]
	if !ok {
		service, ok = serviceType[p.ring]
	}
	if !ok {
		return
	}
	for _, d := range f.syntax.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv == nil || !fn.Name.IsExported() || receiver(fn) != service {
			continue
		}
		types := parameterTypes(fn)
		if len(types) >= 2 && f.selects(types[0], "context") == "Context" && f.selects(types[1], c.module+"/internal/base/auth") == "Caller" {
			continue
		}
		c.reportAt(RuleCaller, f, fn.Pos(), fmt.Sprintf("%s.%s does not begin with (ctx context.Context, by auth.Caller, …)", service, fn.Name.Name),
			"take the caller and ask whether they may before anything else, or unexport the method")
	}
}

// receiver returns the name of the receiver's type.
func receiver(fn *ast.FuncDecl) string {
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.ParenExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// parameterTypes returns one type for each parameter.
func parameterTypes(fn *ast.FuncDecl) []ast.Expr {
	var types []ast.Expr
	for _, field := range fn.Type.Params.List {
		for range max(1, len(field.Names)) {
			types = append(types, field.Type)
		}
	}
	return types
}

// checkGlobals refuses init functions and package-level variables that are not
// constants in all but the keyword.
func (c *checker) checkGlobals(f *file) {
	for _, d := range f.syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				c.reportAt(RuleGlobal, f, d.Pos(), "func init runs before main",
					"make the value in a constructor and pass it on")
			}
		case *ast.GenDecl:
			if d.Tok != token.VAR || marked(d.Doc) {
				continue
			}
			for _, s := range d.Specs {
				if v, ok := s.(*ast.ValueSpec); ok && !f.isConstant(d, v) {
					c.reportAt(RuleGlobal, f, v.Pos(), fmt.Sprintf("the package-level variable %s", v.Names[0].Name),
						`make it a field, a const or a function's result; a table that is never written says so in a comment with "constant:"`)
				}
			}
		}
	}
}

// isConstant says whether a package-level variable is one of those that nobody
// writes: an error, an assertion, a pattern, embedded files, a marked table.
func (f *file) isConstant(d *ast.GenDecl, v *ast.ValueSpec) bool {
	if marked(v.Doc) || marked(v.Comment) {
		return true
	}
	if !slices.ContainsFunc(v.Names, func(n *ast.Ident) bool { return n.Name != "_" }) {
		return true
	}
	if v.Type != nil && f.selects(v.Type, "embed") == "FS" {
		return embeds(d.Doc) || embeds(v.Doc)
	}
	if len(v.Values) != len(v.Names) {
		return false
	}
	for _, value := range v.Values {
		call, ok := value.(*ast.CallExpr)
		if !ok || (f.selects(call.Fun, "errors") != "New" && f.selects(call.Fun, "fmt") != "Errorf" && f.selects(call.Fun, "regexp") != "MustCompile") {
			return false
		}
	}
	return true
}

func marked(g *ast.CommentGroup) bool { return comments(g, constantMark) }

func embeds(g *ast.CommentGroup) bool { return comments(g, "//go:embed ") }

// comments says whether a comment of g contains text; Text would leave
// directives out.
func comments(g *ast.CommentGroup, text string) bool {
	return g != nil && slices.ContainsFunc(g.List, func(c *ast.Comment) bool { return strings.Contains(c.Text, text) })
}

// checkName asks that a file of an edge or the store says by its name which room
// it serves.
func (c *checker) checkName(p *pkg, f *file) {
	rule, ok := namedFolders[p.dir]
	if !ok || f.test {
		return
	}
	stem := strings.TrimSuffix(strings.TrimSuffix(f.name, ".templ"), ".go")
	if f.generated {
		stem = strings.TrimSuffix(stem, "_templ")
	}
	if slices.Contains(rule.others, stem) {
		return
	}
	names := ringNames(rule.after)
	for _, name := range names {
		if stem == name || strings.HasPrefix(stem, name+"_") {
			return
		}
	}
	c.report(RuleName, f.path, 1, fmt.Sprintf("the file is named after none of %s", strings.Join(names, ", ")),
		"name it <room>.go or <room>_<topic>.go; what serves every room is listed in internal/arch/rules.go")
}
