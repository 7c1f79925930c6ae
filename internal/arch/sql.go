package arch

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
)

var sqlText = regexp.MustCompile(sqlWords)

// values are the values of names in some scope. A name with a nil expression is
// known without its value.
type values map[string]ast.Expr

// sqlScope is what names mean inside one function of the store.
type sqlScope struct {
	file      *file
	consts    values // of the package
	locals    values // constants of the function
	variables values // variables and parameters of the function
}

// packageConstants returns the package-level constants of a package.
func packageConstants(p *pkg) values {
	consts := values{}
	for _, f := range p.code() {
		for _, d := range f.syntax.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
				consts.declare(g)
			}
		}
	}
	return consts
}

// declare adds the names of a const or var declaration.
func (v values) declare(g *ast.GenDecl) {
	for _, s := range g.Specs {
		spec, ok := s.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for i, name := range spec.Names {
			v[name.Name] = nil
			if i < len(spec.Values) {
				v[name.Name] = spec.Values[i]
			}
		}
	}
}

// checkSQL refuses SQL that is put together from anything but constants.
func (c *checker) checkSQL(p *pkg, f *file, consts values) {
	if p.ring != ringStore || f.path == queryFile {
		return
	}
	for _, d := range f.syntax.Decls {
		scope := newSQLScope(f, consts, d)
		ast.Inspect(d, func(n ast.Node) bool {
			if n != nil && scope.builds(n) {
				c.reportAt(RuleSQL, f, n.Pos(), "SQL is put together from something that is not a constant",
					"write one raw string with $1 placeholders and pass values as arguments; list filters go through "+queryFile)
			}
			return true
		})
	}
}

func newSQLScope(f *file, consts values, d ast.Decl) sqlScope {
	s := sqlScope{file: f, consts: consts, locals: values{}, variables: values{}}
	fn, ok := d.(*ast.FuncDecl)
	if !ok {
		return s
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GenDecl:
			if n.Tok == token.CONST {
				s.locals.declare(n)
			} else {
				s.variables.declare(n)
			}
		case *ast.AssignStmt:
			s.assign(n)
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if name, ok := e.(*ast.Ident); ok {
					s.variables[name.Name] = nil
				}
			}
		case *ast.Field:
			for _, name := range n.Names {
				s.variables[name.Name] = nil
			}
		}
		return true
	})
	return s
}

// assign notes what variables are given. Text that looks like SQL stays noted
// whatever else the variable is given.
func (s sqlScope) assign(a *ast.AssignStmt) {
	for i, left := range a.Lhs {
		name, ok := left.(*ast.Ident)
		if !ok {
			continue
		}
		if len(a.Lhs) != len(a.Rhs) {
			s.variables[name.Name] = nil
			continue
		}
		if old, known := s.variables[name.Name]; !known || old == nil || !s.isSQL(old) {
			s.variables[name.Name] = a.Rhs[i]
		}
	}
}

// builds says whether n puts SQL together from something that is not a constant.
func (s sqlScope) builds(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		text, constant := s.text(n, 0)
		return n.Op == token.ADD && !constant && sqlText.MatchString(text)
	case *ast.AssignStmt:
		return n.Tok == token.ADD_ASSIGN && (s.isSQL(n.Lhs[0]) || s.isSQL(n.Rhs[0]))
	case *ast.CallExpr:
		return s.callBuilds(n)
	}
	return false
}

// callBuilds is builds for the functions that put strings together.
func (s sqlScope) callBuilds(call *ast.CallExpr) bool {
	printers := []string{"Append", "Appendf", "Fprint", "Fprintf", "Fprintln", "Sprint", "Sprintf", "Sprintln"}
	joiners := []string{"Join", "Replace", "ReplaceAll"}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	writes := sel.Sel.Name == "WriteString"
	if !writes && !slices.Contains(printers, s.file.selects(sel, "fmt")) && !slices.Contains(joiners, s.file.selects(sel, "strings")) {
		return false
	}
	var args []ast.Expr
	for _, a := range call.Args {
		if list, ok := a.(*ast.CompositeLit); ok {
			args = append(args, list.Elts...)
		} else {
			args = append(args, a)
		}
	}
	isSQL, constant := false, !writes
	for _, a := range args {
		text, c := s.text(a, 0)
		isSQL = isSQL || sqlText.MatchString(text)
		constant = constant && c
	}
	return isSQL && !constant
}

func (s sqlScope) isSQL(e ast.Expr) bool {
	text, _ := s.text(e, 0)
	return sqlText.MatchString(text)
}

// text returns what is known of the text of e, and whether e is a constant. A
// name that is a variable somewhere in the function counts as one everywhere in
// it. depth is how many names were followed on the way.
func (s sqlScope) text(e ast.Expr, depth int) (text string, constant bool) {
	const maxDepth = 8
	if depth > maxDepth { // x = x + y refers to itself
		return "", false
	}
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, _ = strconv.Unquote(e.Value) // the parser has accepted it
		}
		return text, true
	case *ast.ParenExpr:
		return s.text(e.X, depth)
	case *ast.BinaryExpr:
		left, leftConstant := s.text(e.X, depth)
		right, rightConstant := s.text(e.Y, depth)
		return left + right, leftConstant && rightConstant
	case *ast.Ident:
		if value, ok := s.variables[e.Name]; ok {
			text, _ = s.text(value, depth+1)
			return text, false
		}
		if value, ok := s.locals[e.Name]; ok {
			text, _ = s.text(value, depth+1)
			return text, true
		}
		if value, ok := s.consts[e.Name]; ok {
			text, _ = s.text(value, depth+1)
			return text, true
		}
	}
	return "", false
}
