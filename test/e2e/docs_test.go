package e2e

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"larder/test/testcluster"
)

// flagsIn are the names in a text that look like flags, and are not those of
// other programs' commands or DESIGN.md's placeholder.
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

// README names no flag that the binary does not have, and its configuration
// leaves none of the node's out.
func TestReadmeNamesTheFlags(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	help := func(args ...string) map[string]bool {
		return flagsIn(string(run(t, nil, nil, testcluster.Build(t), append(args, "-h")...)))
	}
	known := help()
	delete(known, "help")
	table := map[string]bool{}
	for line := range strings.Lines(string(readme)) {
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
	for _, name := range slices.Sorted(maps.Keys(flagsIn(string(readme)))) {
		if !known[name] {
			t.Errorf("README names --%s, which the node does not have", name)
		}
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
