package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// checkModule holds go.mod to its budget.
func (c *checker) checkModule() {
	if c.direct > maxDependencies {
		c.report(RuleSize, "go.mod", 1, fmt.Sprintf("%d direct dependencies, the budget is %d", c.direct, maxDependencies),
			"do without one of them")
	}
}

// checkSizes holds a file and its functions to their budgets.
func (c *checker) checkSizes(f *file) {
	if n := f.count(1, len(f.lines)-1, lineCode|lineText); n > maxFile {
		c.report(RuleSize, f.path, 1, fmt.Sprintf("the file has %d lines of code, the budget is %d", n, maxFile),
			"split it by topic")
	}
	for _, d := range f.syntax.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || (fn.Doc != nil && strings.Contains(fn.Doc.Text(), routeRegistration)) {
			continue
		}
		if n := f.count(c.line(fn.Pos()), c.line(fn.End()), lineCode); n > maxFunction {
			c.reportAt(RuleSize, f, fn.Pos(), fmt.Sprintf("%s has %d lines of code, the budget is %d", fn.Name.Name, n, maxFunction),
				"give a part of it a name of its own")
		}
	}
}

// checkPackageSize holds a package of the inner rings to its budget.
func (c *checker) checkPackageSize(p *pkg) {
	if !slices.Contains(inner, p.ring) {
		return
	}
	n := 0
	for _, f := range p.code() {
		n += f.count(1, len(f.lines)-1, lineCode|lineText)
	}
	if n > maxPackage {
		c.report(RuleSize, p.files[0].path, 1, fmt.Sprintf("package %s has %d lines of code, the budget is %d", p.dir, n, maxPackage),
			"find the second room inside it")
	}
}
