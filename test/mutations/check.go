package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"larder/test/overlay"
)

// checker finds out whether a change compiles, by its types: that takes a fraction of a
// build, since all that is imported has been compiled once.
type checker struct {
	files    *token.FileSet
	imports  types.Importer
	packages map[string]listed // by their folders
}

// listed is what go list says of a package.
type listed struct {
	ImportPath, Dir string
	Export          string // the file with what it exports
	GoFiles         []string
}

// checkAll reports the first mutation that no longer applies or does not compile.
func checkAll(all []mutation) error {
	root, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	c, err := newChecker(all)
	if err != nil {
		return err
	}
	for _, m := range all {
		texts, err := overlay.Apply(root, m.code)
		if err == nil {
			err = c.check(texts)
		}
		if err != nil {
			return m.failed(err)
		}
	}
	return nil
}

// newChecker compiles the packages that the mutations change, and what these import.
func newChecker(all []mutation) (*checker, error) {
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles"}
	for _, m := range all {
		for _, change := range m.code {
			if folder := "./" + filepath.Dir(change[0]); !slices.Contains(args, folder) {
				args = append(args, folder)
			}
		}
	}
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	c := &checker{files: token.NewFileSet(), packages: map[string]listed{}}
	exports := map[string]string{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var p listed
		if err := decoder.Decode(&p); err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		c.packages[p.Dir], exports[p.ImportPath] = p, p.Export
	}
	c.imports = importer.ForCompiler(c.files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	return c, nil
}

// check checks each package that has one of the texts, which are by their paths.
func (c *checker) check(texts map[string]string) error {
	checked := map[string]bool{}
	for path := range texts {
		dir := filepath.Dir(path)
		if checked[dir] {
			continue
		}
		checked[dir] = true
		if err := c.compiles(c.packages[dir], texts); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) compiles(p listed, texts map[string]string) error {
	var parsed []*ast.File
	for _, name := range p.GoFiles {
		path := filepath.Join(p.Dir, name)
		var text any // nil is what the file holds
		if changed, ok := texts[path]; ok {
			text = changed
		}
		f, err := parser.ParseFile(c.files, path, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		parsed = append(parsed, f)
	}
	var all []error
	cfg := types.Config{Importer: c.imports, Error: func(err error) { all = append(all, err) }}
	_, _ = cfg.Check(p.ImportPath, c.files, parsed, nil) // Error is told of each
	return errors.Join(all...)
}
