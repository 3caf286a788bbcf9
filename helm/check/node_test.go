package check

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
)

// binary is the node that LARDER_NODE names, or one that is built once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	if given := os.Getenv("LARDER_NODE"); given != "" {
		return given, nil
	}
	dir, err := os.MkdirTemp("", "larder-chart-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "node")
	build := exec.Command("go", "build", "-o", path, "./cmd/node")
	build.Dir = filepath.Join(chartDir, "..")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build node: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil && path != os.Getenv("LARDER_NODE") {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func nodeBinary(t *testing.T) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// help is what the node says of itself and of a command.
func help(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(nodeBinary(t), append(args, "-h")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// foreign are the variables that are not the node's own.
var foreign = []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_MAX_ATTEMPTS"}

// TestFlagsAreTheNodes holds that every argument and variable that the chart
// renders is one that 'node -h' shows, and that the chart's tests call a
// command that there is.
func TestFlagsAreTheNodes(t *testing.T) {
	serve, check := help(t), help(t, "check")
	flag := regexp.MustCompile(`^--[a-z0-9-]+`)
	eachValuesFile(t, func(t *testing.T, v values) {
		for _, p := range pods(t, objects(t, v)) {
			for _, c := range p.Spec.Containers {
				has, args := serve, c.Args
				if args[0] == "check" {
					has, args = check, nil // the rest are URLs
				}
				for _, a := range args {
					f := flag.FindString(a)
					if f == "" || !regexp.MustCompile(`(?m)^\s+(-., )?`+f+`\b[^-]`).MatchString(has) {
						t.Errorf("%s: the node has no flag for %q", c.Name, a)
					}
				}
				for _, e := range c.Env {
					if !slices.Contains(foreign, e.Name) && !strings.Contains(has, "$"+e.Name+")") {
						t.Errorf("%s: the node has no variable %s", c.Name, e.Name)
					}
				}
			}
		}
	})
}

// TestNodeStartsAsRendered starts the node with each rendered set of arguments
// and variables; only addresses and folders are this machine's. A bucket
// stands at a port where nobody is, so the node waits for it, and is alive.
func TestNodeStartsAsRendered(t *testing.T) {
	eachValuesFile(t, func(t *testing.T, v values) {
		objects := objects(t, v)
		_, c := node(t, objects)
		n := start(t, c, secretFiles(t, all[*core.Secret](objects)))
		if body := n.get(t, "/livez", http.StatusOK); body != "ok\n" {
			t.Errorf("/livez answers %q", body)
		}
		if dig(v, "persistence", "enabled") == true {
			n.get(t, "/readyz", http.StatusOK)
		}
		if got, want := n.Name, "shared-larder-0"; got != want {
			t.Errorf("the node's name is %q, want %q", got, want)
		}
	})
}

// running is a node and what it announced.
type running struct {
	HTTP, Admin, Name, Data string
}

// start runs the container's command until the test ends, and waits for its
// announcement.
func start(t *testing.T, c core.Container, etc string) *running {
	t.Helper()
	replace := strings.NewReplacer(
		"-addr=:8080", "-addr=127.0.0.1:0", "-addr=:9090", "-addr=127.0.0.1:0", "-addr=:7946", "-addr=127.0.0.1:0", "-addr=:7947", "-addr=127.0.0.1:0",
		"/etc/larder/cluster", etc, "/etc/larder/tokens", etc, "/etc/larder/policy", etc, "/etc/larder/tls", etc, "/etc/larder/client-ca", etc, "/etc/larder/oidc", etc, "/data", t.TempDir())
	cmd := exec.Command(nodeBinary(t))
	for _, a := range c.Args {
		cmd.Args = append(cmd.Args, replace.Replace(a))
	}
	cmd.Env = []string{"AWS_EC2_METADATA_DISABLED=true", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b"}
	if strings.Contains(fmt.Sprint(c.Args), "--s3-bucket=") {
		cmd.Args = append(cmd.Args, "--s3-endpoint=http://127.0.0.1:1")
	} else {
		cmd.Args = append(cmd.Args, "--gossip-addr=127.0.0.1:0", "--peer-addr=127.0.0.1:0")
	}
	for _, e := range c.Env {
		value := e.Value
		switch {
		case e.ValueFrom == nil:
		case e.ValueFrom.FieldRef != nil:
			value = map[string]string{"metadata.name": "shared-larder-0", "status.podIP": "127.0.0.1"}[e.ValueFrom.FieldRef.FieldPath]
		default:
			continue // S3's credentials, above
		}
		cmd.Env = append(cmd.Env, e.Name+"="+value)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the node ended with %v", err)
		}
	})
	return announced(t, stderr)
}

// announced reads the log up to the line that says where the node listens.
func announced(t *testing.T, log io.Reader) *running {
	t.Helper()
	var said []string
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		said = append(said, lines.Text())
		var line struct {
			running
			Message string
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "serving" {
			go func() { _, _ = io.Copy(io.Discard, log) }() // ends with the process
			return &line.running
		}
	}
	t.Fatalf("the node did not start:\n%s", strings.Join(said, "\n"))
	return nil
}

// get asks the admin port until it answers with the status.
func (n *running) get(t *testing.T, path string, status int) string {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		resp, err := http.Get(n.Admin + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == status {
			return string(body)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s answers %d: %s", path, resp.StatusCode, body)
		}
		time.Sleep(50 * time.Millisecond) // between two looks, until the deadline
	}
}

// secretFiles writes what the rendered Secrets hold, or examples where Secrets
// of one's own are named, under the names of the mounted files.
func secretFiles(t *testing.T, secrets []*core.Secret) string {
	t.Helper()
	files := map[string]string{"secret": strings.Repeat("x", 32), "tokens.yaml": "[]", "policy.yaml": "[]"}
	files["tls.crt"], files["tls.key"] = pemPair(t)
	files["ca.crt"] = files["tls.crt"]
	for _, s := range secrets {
		if text, ok := s.Data["cluster-secret"]; ok {
			files["secret"] = string(text)
		}
		if text, ok := s.Data["tokens.yaml"]; ok {
			files["tokens.yaml"] = string(text)
		}
		if text, ok := s.Data["map.json"]; ok {
			files["map.json"] = string(text)
		}
	}
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// dig returns the value at a path of keys, or nil.
func dig(v values, path ...string) any {
	var at any = v
	for _, key := range path {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[key]
	}
	return at
}
