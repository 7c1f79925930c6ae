package api_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/base/token"
)

// Scanners are set up from the page: what it says of tokens must find tokens.
func TestAPIKeysPage_findsTokens(t *testing.T) {
	raw, err := os.ReadFile("../../../docs/api-keys.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	if !strings.Contains(page, "\n"+token.Pattern+"\n") {
		t.Errorf("docs/api-keys.md lacks the pattern %s", token.Pattern)
	}
	example := regexp.MustCompile(token.Pattern).FindString(page)
	if _, ok := token.Parse(example); !ok {
		t.Errorf("the example %q is no token", example)
	}
	issued := token.Issue(token.KindMobile).Secret().ExposeString()
	rules := regexp.MustCompile(`(?m)(?:regex = \'\'\'|token: \')(.*?)\'+$`).FindAllStringSubmatch(page, -1)
	if len(rules) != 2 {
		t.Fatalf("found %d rules for scanners, want 2", len(rules))
	}
	for _, rule := range rules {
		found := regexp.MustCompile(rule[1]).FindStringSubmatch("KEY=\"" + issued + "\"")
		if len(found) != 2 || found[1] != issued {
			t.Errorf("the rule %s finds %q, want the token", rule[1], found)
		}
	}
}
