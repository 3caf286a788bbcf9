package model

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// unmodelled are the rules that no mutation can leave out, and why.
func unmodelled() map[string]string {
	return map[string]string{
		"8":  "a node of the model has one write at a time, and nobody forwards it: there are no turns, and nothing can be abandoned",
		"19": "what a hint does any revocation does, and nothing waits for it: the model has no gossip that could be lost or believed",
	}
}

// TestEveryRuleHasItsPlace holds together what docs/protocol.md says, the comments
// of the code that keeps it, and the mutations of the models.
func TestEveryRuleHasItsPlace(t *testing.T) {
	rules, table := page(t)
	if len(rules) < 28 {
		t.Fatalf("found the rules %q", rules)
	}
	kept, left := places(t), mutations(t, "config.go", "explore_test.go")
	maps.Copy(left, mutations(t, "claims/config.go", "claims/mutations_test.go"))
	for _, rule := range rules {
		switch at := kept[rule]; {
		case len(at) != 1:
			t.Errorf("rule %s: its place in the code is %q: one comment has to say \"Rule %s:\"", rule, at, rule)
		case table[rule] != at[0]:
			t.Errorf("rule %s: the table of docs/protocol.md says %q, the code %q", rule, table[rule], at[0])
		}
		if _, excused := unmodelled()[rule]; excused == (len(left[rule]) > 0) {
			t.Errorf("rule %s: the mutations are %q, and it is excused: %v", rule, left[rule], excused)
		}
	}
	for _, found := range []map[string][]string{kept, left} {
		for rule, at := range found {
			if !slices.Contains(rules, rule) {
				t.Errorf("%q name rule %s, which docs/protocol.md does not have", at, rule)
			}
		}
	}
}

// page is the rules of docs/protocol.md in their order, and where its tables say that
// each is kept: `function`, `file`.
func page(t *testing.T) (rules []string, table map[string]string) {
	t.Helper()
	b, err := os.ReadFile(root + "/docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "## The rules")
	for _, m := range regexp.MustCompile(`(?m)^(\d+)\. `).FindAllStringSubmatch(text, -1) {
		rules = append(rules, m[1])
	}
	table = map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| (\\d+) \\| `([^`]+)` \\| `([^`]+)` \\|").FindAllStringSubmatch(text, -1) {
		table[m[1]] = m[2] + " in " + m[3]
	}
	return rules, table
}

// places are the functions whose comments name the rule that they keep.
func places(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	named := regexp.MustCompile(`Rule (\d+):`)
	for _, folder := range []string{"heads", "fill", "writepath", "builds", "cluster", "peer", "httpapi", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(root, path)
			inFunctions, all := 0, 0
			for _, d := range file.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				for _, m := range named.FindAllStringSubmatch(f.Doc.Text(), -1) {
					inFunctions++
					found[m[1]] = append(found[m[1]], f.Name.Name+" in "+filepath.ToSlash(name))
				}
			}
			for _, c := range file.Comments {
				if !strings.HasPrefix(c.Text(), "Package ") {
					all += len(named.FindAllString(c.Text(), -1))
				}
			}
			if all != inFunctions {
				t.Errorf("%s: a comment that is no function's names a rule", name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// mutations are the fields of Mutations in a model's config, by the rule that their
// comments name. Each is tried by its tests.
func mutations(t *testing.T, config, tests string) map[string][]string {
	t.Helper()
	tried, err := os.ReadFile(tests)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), config, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Mutations" {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			name := f.Names[0].Name
			m := regexp.MustCompile(`^rule (\d+): `).FindStringSubmatch(f.Comment.Text())
			if m == nil {
				t.Errorf("the comment of %s names no rule", name)
				continue
			}
			if !strings.Contains(string(tried), "Mutations{"+name+": true}") {
				t.Errorf("no test leaves out %s", name)
			}
			found[m[1]] = append(found[m[1]], name)
		}
		return false
	})
	return found
}
