package arch

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const page = "../../docs/ARCHITECTURE.md"

func readPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ringsOnPage reads the page's list of what each ring may import.
func ringsOnPage(t *testing.T) map[ring][]ring {
	t.Helper()
	rings := map[ring][]ring{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+) +→ +([\w, ]+)$`).FindAllStringSubmatch(readPage(t), -1) {
		rings[ring(m[1])] = nil
		for name := range strings.SplitSeq(m[2], ", ") {
			if name != "nothing" {
				rings[ring(m[1])] = append(rings[ring(m[1])], ring(name))
			}
		}
	}
	return rings
}

func TestPage_statesWhatRingsMayImport(t *testing.T) {
	got := ringsOnPage(t)
	for r, want := range mayImport {
		if there, ok := got[r]; !ok || !slices.Equal(there, want) {
			t.Errorf("%s says %s → %s, want %s", page, r, ringList(there), ringList(want))
		}
	}
	for r := range got {
		if _, ok := mayImport[r]; !ok {
			t.Errorf("%s lists ring %s, which there is none of", page, r)
		}
	}
}

func TestPage_statesModules(t *testing.T) {
	text := readPage(t)
	for module, places := range allowedModules {
		if row := "| `" + module + "` | `" + strings.Join(places, "`, `") + "` |"; !strings.Contains(text, row) {
			t.Errorf("%s lacks the row %s", page, row)
		}
	}
}

func TestPage_statesBudgets(t *testing.T) {
	text := readPage(t)
	for what, budget := range map[string]int{
		"lines of a function": maxFunction, "lines of a file": maxFile, "lines of a package of the inner rings": maxPackage,
		"direct dependencies": maxDependencies,
	} {
		if row := fmt.Sprintf("| %s | %d |", what, budget); !strings.Contains(text, row) {
			t.Errorf("%s lacks the row %s", page, row)
		}
	}
}
