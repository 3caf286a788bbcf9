package e2e

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"larder/test/testcluster"
)

// flagsIn are the names in a text that look like flags, and are not those of
// other programs' commands or README's placeholder.
func flagsIn(text string) map[string]bool {
	flag := regexp.MustCompile(`--([a-z][a-z0-9-]*[a-z0-9])`)
	other := regexp.MustCompile(`^\s*(\$ )?(curl|ccache|python3?|pip|openssl|kubectl|helm|docker)\s`)
	names := map[string]bool{}
	for line := range strings.Lines(text) {
		if other.MatchString(line) {
			continue
		}
		for _, m := range flag.FindAllStringSubmatch(line, -1) {
			names[m[1]] = true
		}
	}
	delete(names, "some-name")
	return names
}

// README, docs/http.md and docs/operating.md name no flag that the binary does not have,
// and README's configuration leaves none of the node's out.
func TestReadmeNamesTheFlags(t *testing.T) {
	t.Parallel()
	readme := readDoc(t, "README.md")
	help := func(args ...string) map[string]bool {
		return flagsIn(string(run(t, nil, nil, testcluster.Build(t), append(args, "-h")...)))
	}
	known := help()
	delete(known, "help")
	table := map[string]bool{}
	for line := range strings.Lines(readme) {
		if cell, _, ok := strings.Cut(strings.TrimPrefix(line, "|"), "|"); ok && strings.HasPrefix(line, "|") {
			maps.Copy(table, flagsIn(cell))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !table[name] {
			t.Errorf("README's configuration leaves --%s out", name)
		}
	}
	for _, command := range []string{"s3", "token", "check"} {
		maps.Copy(known, help(command))
	}
	for _, name := range slices.Sorted(maps.Keys(flagsIn(readme + readDoc(t, "docs/http.md") + readDoc(t, "docs/operating.md")))) {
		if !known[name] {
			t.Errorf("--%s is named, which the node does not have", name)
		}
	}
}

// What README has a newcomer type does as it says.
func TestReadmeBegins(t *testing.T) {
	t.Parallel()
	n := testcluster.New(t, testcluster.Options{Nodes: 1, Embedded: true}).Nodes[0]
	readme := readDoc(t, "README.md")
	page := strings.ReplaceAll(readme, "http://127.0.0.1:8080", n.URL())
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte(readme), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^    (curl .*)$`).FindAllStringSubmatch(page, -1)
	for _, m := range commands {
		run(t, nil, nil, "sh", "-ec", "cd '"+dir+"'; "+m[1])
	}
	if again, err := os.ReadFile(filepath.Join(dir, "again.md")); len(commands) < 2 || err != nil || string(again) != readme {
		t.Errorf("%d commands of curl bring %d bytes back, of %d: %v", len(commands), len(again), len(readme), err)
	}
	_, code, _ := strings.Cut(page, "```python\n")
	code, _, _ = strings.Cut(code, "```")
	if out := string(run(t, nil, nil, "python3", "-c", code)); out != "{'weights': [0.4, 0.6]}\n" {
		t.Errorf("README's Python prints %q", out)
	}
}

// Every flag is a variable too, and is said to be.
func TestFlagsAreVariables(t *testing.T) {
	t.Parallel()
	help := string(run(t, nil, nil, testcluster.Build(t), "-h"))
	for name := range flagsIn(help) {
		if name == "help" {
			continue
		}
		if variable := "$LARDER_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")); !strings.Contains(help, variable+")") {
			t.Errorf("--%s has no %s", name, variable)
		}
	}
}

// Each line of SECURITY.md's tables names tests that hold it, and they exist.
func TestSecurityIsHeldByTests(t *testing.T) {
	t.Parallel()
	test := regexp.MustCompile("`([a-z0-9/]+) ((?:Test|Fuzz)[A-Za-z0-9]+)`|`(python/tests/[a-z0-9_]+\\.py)::(test_[a-z0-9_]+)`")
	named := 0
	held := false // the table at hand has a column for tests
	for line := range strings.Lines(readDoc(t, "SECURITY.md")) {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			held = false
		case strings.HasSuffix(line, "| held by |"):
			held = true
		case held && !strings.HasPrefix(line, "|---"):
			tests := test.FindAllStringSubmatch(line, -1)
			if len(tests) == 0 || strings.Count(line, "`, `") > 0 && len(tests) < 2 {
				t.Errorf("no test, or one that cannot be read, holds %q", line)
			}
			for _, m := range tests {
				named++
				if m[1] != "" && !defines(t, m[1]+"/*_test.go", "func "+m[2]+"(") || m[3] != "" && !defines(t, m[3], "def "+m[4]+"(") {
					t.Errorf("SECURITY.md names %s, which is not there", m[0])
				}
			}
		}
	}
	if named < 50 {
		t.Errorf("%d tests are named; is the page still read aright?", named)
	}
}

// defines reports whether a file of those that match holds the text.
func defines(t *testing.T, pattern, text string) bool {
	t.Helper()
	files, err := filepath.Glob("../../" + pattern)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(f string) bool {
		b, err := os.ReadFile(f)
		return err == nil && strings.Contains(string(b), text)
	})
}

// readDoc reads a document at the root of the repository, or below it.
func readDoc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// docs/debugging.md names log lines, problems and metrics that there are.
func TestDebuggingNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	page, metrics := readDoc(t, "docs/debugging.md"), readDoc(t, "docs/metrics.md")
	lines := regexp.MustCompile("`\"([^`]+)\"`").FindAllStringSubmatch(page, -1)
	for _, m := range lines {
		if !slices.ContainsFunc([]string{"cmd/node", "httpapi/auth", "builds", "fill/chunks", "cluster", "peer", "fill", "heads", "usage", "writepath", "httpapi", "httpapi/admin", "store", "store/embedded"},
			func(folder string) bool { return defines(t, folder+"/[a-z]*.go", m[1]) }) {
			t.Errorf("no log line says %q", m[1])
		}
	}
	if len(lines) < 20 {
		t.Errorf("%d log lines are named; is the page still read aright?", len(lines))
	}
	for _, name := range regexp.MustCompile(`larder_[a-z0-9_]*[a-z0-9]`).FindAllString(page, -1) {
		if !strings.Contains(metrics, "`"+name+"`") {
			t.Errorf("docs/metrics.md does not know %s", name)
		}
	}
	problems := regexp.MustCompile("`((?:[a-z]+-)+[a-z]+)`").FindAllStringSubmatch(page, -1)
	for _, m := range problems {
		if !defines(t, "httpapi/problem.go", `"`+m[1]+`"`) {
			t.Errorf("there is no problem %s", m[1])
		}
	}
}

// README's table of the code has each folder with Go files, and none that is not there.
func TestReadmeNamesTheFolders(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	_, code, _ := strings.Cut(readDoc(t, "README.md"), "## The code")
	for line := range strings.Lines(code) {
		if strings.HasPrefix(line, "| `") {
			cell, _, _ := strings.Cut(line[1:], "|")
			for _, m := range regexp.MustCompile("`([a-z0-9/]+)/`").FindAllStringSubmatch(cell, -1) {
				named[m[1]] = true
			}
		}
	}
	for name := range named {
		if info, err := os.Stat("../../" + name); err != nil || !info.IsDir() {
			t.Errorf("README names the folder %s, which is not there", name)
		}
	}
	for _, pattern := range []string{"../../*/*.go", "../../cmd/*/*.go", "../../fill/*/*.go", "../../fill/tier/*/*.go", "../../httpapi/*/*.go", "../../test/*/*.go", "../../usage/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if name := strings.TrimPrefix(filepath.Dir(file), "../../"); !named[name] {
				t.Errorf("README's table leaves %s out", name)
				named[name] = true // it is said once
			}
		}
	}
	if len(named) < 30 {
		t.Errorf("%d folders are named; is the page still read aright?", len(named))
	}
}

// Files that documents name are there, and declare what is named behind them.
func TestDocumentsNameWhatThereIs(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile("`((?:[a-z0-9]+/)+[a-zA-Z0-9_.]+\\.(?:go|py|md|json|yaml))`((?:(?:,| →)? `[A-Za-z]+`)*)")
	word := regexp.MustCompile(`[A-Za-z]+`)
	for _, page := range []string{
		"README.md", "SECURITY.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/http.md", "docs/operating.md", "docs/debugging.md", "docs/protocol.md", "docs/metrics.md", "docs/s3.md",
	} {
		for _, m := range named.FindAllStringSubmatch(readDoc(t, page), -1) {
			file, err := os.ReadFile("../../" + m[1])
			if err != nil {
				t.Errorf("%s names a file that is not there: %v", page, err)
				continue
			}
			for _, name := range word.FindAllString(m[2], -1) {
				declared := regexp.MustCompile(`(?m)^func (\([^)]+\) )?` + name + `\(|^type ` + name + ` |^\s+(self\.)?` + name + `\s+[=A-Za-z\[(*]|^\s*(async )?def ` + name + `\(`)
				if !declared.Match(file) {
					t.Errorf("%s names %s of %s, which is not there", page, name, m[1])
				}
			}
		}
	}
}

// docs/architecture.md names every question that nodes ask each other.
func TestArchitectureNamesTheQuestions(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../*/*.go")
	below, err2 := filepath.Glob("../../*/*/*.go")
	if err := cmp.Or(err, err2); err != nil {
		t.Fatal(err)
	}
	page := readDoc(t, "docs/architecture.md")
	route := regexp.MustCompile(`(?m)^(?:const )?\s*(?:[a-zA-Z]+R|r)oute\s+= "([a-z/0-9-]+)"`)
	found := 0
	for _, file := range append(files, below...) {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range route.FindAllSubmatch(code, -1) {
			found++
			if name := string(m[1]); !strings.Contains(page, "`"+name+"`") {
				t.Errorf("docs/architecture.md leaves out the question %q of %s", name, strings.TrimPrefix(file, "../../"))
			}
		}
	}
	if found < 20 {
		t.Errorf("%d questions are found; is the code still read aright?", found)
	}
}
