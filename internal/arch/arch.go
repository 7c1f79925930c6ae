// Package arch keeps docs/ARCHITECTURE.md true: it reads the module's files and
// says where they break the rules that rules.go holds as data. It parses and
// never builds or type-checks, and it opens every file itself, so that the test
// cache sees each change. It refuses to know what the code does.
package arch

import (
	"cmp"
	"fmt"
	"go/token"
	"slices"
)

// Rule names one kind of violation.
type Rule string

// The rules.
const (
	RuleTree    Rule = "tree"    // every file can be read and parsed
	RulePackage Rule = "package" // every folder with code is listed, and has a package comment
	RuleImport  Rule = "import"  // imports point only down the list of rings
	RuleModule  Rule = "module"  // a third-party module is used only where it is listed
	RuleWorld   Rule = "world"   // the inner rings do no I/O
	RuleClock   Rule = "clock"   // the time is handed in
	RuleCaller  Rule = "caller"  // every service method takes the caller
	RuleName    Rule = "name"    // a file is found by the name of its room
	RuleSQL     Rule = "sql"     // SQL is not built from values
	RuleGlobal  Rule = "global"  // nothing mutable is global and nothing runs before main
	RuleSize    Rule = "size"    // functions, files, packages and dependencies have budgets
)

// Violation is one place where the tree breaks a rule.
type Violation struct {
	File string // slash-separated, relative to the module's root
	Line int    // 1 when the whole file or folder is meant
	Rule Rule
	What string // what is wrong
	Mend string // what to do about it
}

// String returns the violation in one line that begins as a compiler's message
// does.
func (v Violation) String() string {
	return fmt.Sprintf("%s:%d: %s: %s; to mend: %s", v.File, v.Line, v.Rule, v.What, v.Mend)
}

// Check reads the module whose go.mod lies in root and returns its violations,
// sorted by file and line, at most one of each rule and wording per line. A
// tree that cannot be read is a violation, not silence. Test files are held to
// RuleTree and RulePackage only.
func Check(root string) []Violation {
	c := &checker{}
	c.load(root)
	c.checkModule()
	for _, p := range c.packages {
		c.checkListed(p)
		c.checkComment(p)
		c.checkPackageSize(p)
		consts := packageConstants(p)
		for _, f := range p.files {
			c.checkName(p, f)
			if f.test || f.syntax == nil {
				continue
			}
			c.checkImports(p, f)
			if f.generated {
				continue
			}
			c.checkClock(p, f)
			c.checkCallers(p, f)
			c.checkGlobals(f)
			c.checkSQL(p, f, consts)
			c.checkSizes(f)
		}
	}
	slices.SortFunc(c.found, func(a, b Violation) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.What, b.What),
		)
	})
	return slices.Compact(c.found)
}

// checker is one run over one tree.
type checker struct {
	tree
	found []Violation
}

func (c *checker) report(rule Rule, file string, line int, what, mend string) {
	c.found = append(c.found, Violation{File: file, Line: line, Rule: rule, What: what, Mend: mend})
}

// reportAt reports at a position of the tree's file set.
func (c *checker) reportAt(rule Rule, f *file, pos token.Pos, what, mend string) {
	c.report(rule, f.path, c.line(pos), what, mend)
}
