//go:build clients

package clients

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"larder/test/testcluster"
)

var (
	python  = flag.String("python", "python3", "the interpreter that has what requirements.txt names")
	modules = flag.String("modules", "", "the node_modules with what package.json names")
)

func TestMain(m *testing.M) { testcluster.Main(m) }

// interpreters run the sessions, by the end of their names.
func interpreter(session string) []string {
	switch filepath.Ext(session) {
	case ".py":
		return []string{*python, "-P"} // a session has the name of what it imports
	case ".mjs":
		return []string{"node"}
	case ".java":
		return []string{"java"}
	case ".R":
		return []string{"Rscript", "--vanilla"}
	}
	return []string{"bash"}
}

// TestClients runs every session against two nodes that ask for tokens. A session
// writes the version of its client in its last line.
func TestClients(t *testing.T) {
	sessions, err := filepath.Glob("sessions/*")
	if err != nil || len(sessions) == 0 {
		t.Fatal("no sessions", err)
	}
	node := testcluster.Build(t)
	tokens, token := mint(t, node)
	c := testcluster.New(t, testcluster.Options{Nodes: 2, Flags: []string{"--tokens-file", tokens}})
	for _, session := range sessions {
		t.Run(filepath.Base(session), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			path, err := filepath.Abs(session)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if filepath.Ext(session) == ".mjs" { // which looks for modules where it lies
				path = filepath.Join(dir, "session.mjs")
				text, err := os.ReadFile(session)
				if err = errors.Join(err, os.WriteFile(path, text, 0o600), os.Symlink(*modules, filepath.Join(dir, "node_modules"))); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(ctx, interpreter(session)[0], append(interpreter(session)[1:], path)...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "ONE="+c.Nodes[0].URL(), "TWO="+c.Nodes[1].URL(), "TOKEN="+token,
				"LARDER_URL="+c.Nodes[0].URL(), "LARDER_TOKEN="+token, "PYTHON="+*python, "NO_PROXY=127.0.0.1", "HOME="+dir)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			t.Log(lines[len(lines)-1])
		})
	}
}

// mint makes a token of a writer, and the tokens file that knows it.
func mint(t *testing.T, node string) (file, token string) {
	t.Helper()
	var out, advice bytes.Buffer
	cmd := exec.Command(node, "token", "--org", "lab", "--user", "ada", "--role", "writer")
	cmd.Stdout, cmd.Stderr = &out, &advice
	if err := cmd.Run(); err != nil {
		t.Fatalf("node token: %v: %s", err, advice.Bytes())
	}
	file = filepath.Join(t.TempDir(), "tokens.yaml")
	if err := os.WriteFile(file, advice.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, strings.TrimSpace(out.String())
}
