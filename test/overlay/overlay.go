// Package overlay changes source text for one build, by go build's -overlay, and leaves
// the files as they are.
package overlay

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// Change names a file, a text that must occur once in it, and the text in its place.
type Change [3]string

// Apply makes the changes, and returns the new texts by the paths of their files, which
// are relative to root. A text that is not in its file, or is there twice, is an error:
// the code has moved on, and the change must follow it.
func Apply(root string, changes []Change) (map[string]string, error) {
	texts := map[string]string{}
	for _, c := range changes {
		file, before, after := c[0], c[1], c[2]
		path := filepath.Join(root, file)
		text, ok := texts[path]
		if !ok {
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("overlay: %w", err)
			}
			text = string(b)
		}
		if n := strings.Count(text, before); n != 1 {
			return nil, fmt.Errorf("overlay: %s has this text %d times, not once:\n%s", file, n, before)
		}
		texts[path] = strings.Replace(text, before, after, 1)
	}
	return texts, nil
}

// Write applies the changes to copies of their files in dir, and returns the file there
// that -overlay takes.
func Write(dir, root string, changes []Change) (string, error) {
	texts, err := Apply(root, changes)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for path, text := range texts {
		replace[path] = filepath.Join(dir, strings.NewReplacer("/", "_", ".go", ".txt").Replace(path))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("overlay: %w", err)
		}
	}
	list := filepath.Join(dir, "overlay.json")
	return list, write(list, listed{Replace: replace})
}

// Merge adds what another such file replaces to a file that Write has written.
func Merge(list, other string) error {
	var all, more listed
	for path, into := range map[string]*listed{list: &all, other: &more} {
		b, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			return fmt.Errorf("overlay %s: %w", path, err)
		}
	}
	maps.Copy(all.Replace, more.Replace)
	return write(list, all)
}

// listed is what -overlay reads.
type listed struct{ Replace map[string]string }

func write(list string, l listed) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	return os.WriteFile(list, b, 0o600)
}
