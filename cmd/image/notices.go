package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// notices are the licence texts of all that a node's binary was linked from: of
// Go and of each module, as they lie in its sources. Licences of free software ask
// that their text goes with the binary; MPL-2.0 also that it says where the
// sources are.
func notices(ctx context.Context, source, binary string) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("list contents of %s: %w", binary, err)
	}
	var paths []string
	for _, m := range info.Deps {
		paths = append(paths, m.Path)
	}
	dirs, err := ask(ctx, source, append([]string{"list", "-m", "-f", "{{.Path}} {{with .Replace}}{{.Version}}{{else}}{{.Version}}{{end}}\t{{.Dir}}"}, paths...)...)
	if err != nil {
		return nil, err
	}
	root, err := ask(ctx, source, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString("The node holds the software below, under the licences below. The sources of each module are at\n" +
		"its path and version, as Go's module proxies serve them.\n\n" +
		"The certificates in /etc/ssl/certs are those of Mozilla's program, under the Mozilla Public License 2.0,\n" +
		"whose text is below.\n")
	for _, part := range append([]string{"Go " + info.GoVersion + "\t" + root}, strings.Split(dirs, "\n")...) {
		name, dir, _ := strings.Cut(part, "\t")
		if err := writeNotice(&out, name, dir); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// writeNotice adds the licences that lie in a folder.
func writeNotice(out *bytes.Buffer, name, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read the licence of %s: %w", name, err)
	}
	fmt.Fprintf(out, "\n%s\n%s\n", strings.Repeat("=", 80), name)
	found := false
	for _, e := range entries {
		base, _, _ := strings.Cut(strings.ToUpper(e.Name()), ".")
		if !slices.Contains([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS"}, base) || !e.Type().IsRegular() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		found = found || base != "NOTICE" && base != "PATENTS"
		fmt.Fprintf(out, "\n--- %s\n\n%s\n", e.Name(), bytes.TrimRight(text, "\n"))
	}
	if !found {
		return fmt.Errorf("%s has no licence in %s", name, dir)
	}
	return nil
}

// ask asks the go command in a folder.
func ask(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=")
	said, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("go %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(said)), nil
}
