package main

import (
	"archive/tar"
	"bufio"
	"crypto/x509"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func example(source, out string) options {
	return options{
		Source: source, Out: out, Version: "v1.2.3", Commit: "0123abcd",
		Created: time.Unix(1_700_000_000, 0).UTC(), Platforms: []string{"linux/" + runtime.GOARCH},
	}
}

// TestReproducible builds from the sources and from a copy of them elsewhere.
func TestReproducible(t *testing.T) {
	elsewhere := t.TempDir()
	copySources(t, "../..", elsewhere)
	var digests, contents []string
	for _, source := range []string{"../..", elsewhere} {
		out := filepath.Join(t.TempDir(), "image")
		digest, err := build(t.Context(), example(source, out))
		if err != nil {
			t.Fatal(err)
		}
		sbom, err := os.ReadFile(out + "." + runtime.GOARCH + ".cdx.json")
		if err != nil {
			t.Fatal(err)
		}
		digests, contents = append(digests, digest), append(contents, string(sbom))
	}
	if digests[0] != digests[1] {
		t.Errorf("the same sources give %s and, in another folder, %s", digests[0], digests[1])
	}
	if contents[0] != contents[1] {
		t.Error("the same sources give two lists of contents")
	}
	for _, want := range []string{`"pkg:golang/github.com/golang/groupcache@`, `"pkg:golang/stdlib@`, `"version": "v1.2.3"`} {
		if !strings.Contains(contents[0], want) {
			t.Errorf("the list of contents does not hold %s", want)
		}
	}
}

// TestImageRuns unpacks the layout and runs the node from it.
func TestImageRuns(t *testing.T) {
	out := filepath.Join(t.TempDir(), "image")
	if _, err := build(t.Context(), example("../..", out)); err != nil {
		t.Fatal(err)
	}
	img := read(t, out)
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; c.User != "65532:65532" || fmt.Sprint(c.Entrypoint) != "[/node]" || config.Architecture != runtime.GOARCH {
		t.Errorf("the image runs %v as %q on %s", c.Entrypoint, c.User, config.Architecture)
	}
	root := unpack(t, img)
	node := root + config.Config.Entrypoint[0]
	if said := output(t, node, "version"); !strings.HasPrefix(said, "larder v1.2.3, commit 0123abcd, go") {
		t.Errorf("node version says %q", said)
	}
	pem, err := os.ReadFile(root + "/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		t.Fatal(err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		t.Error("the image holds no certificates")
	}
	checkLicences(t, root)
	url := start(t, node, filepath.Join(root, config.Config.WorkingDir))
	if said := output(t, node, "check", url); strings.Count(said, " ok ") != 12 {
		t.Errorf("node check says:\n%s", said)
	}
}

// checkLicences holds that the image carries Larder's licence, and of what is in
// the binary those texts that their licences want beside it.
func checkLicences(t *testing.T, root string) {
	t.Helper()
	own, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	there, err := os.ReadFile(root + "/licenses/LICENSE")
	if err != nil || string(there) != string(own) {
		t.Errorf("/licenses/LICENSE is not Larder's: %v", err)
	}
	notice, err := os.ReadFile(root + "/licenses/NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(root + "/node")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range info.Deps {
		if _, text, ok := strings.Cut(string(notice), "\n"+m.Path+" "+m.Version+"\n"); !ok || !strings.HasPrefix(text, "\n--- ") {
			t.Errorf("NOTICE has no licence of %s %s", m.Path, m.Version)
		}
	}
	for _, want := range []string{"Mozilla Public License, version 2.0", "\nGo " + info.GoVersion + "\n"} {
		if !strings.Contains(string(notice), want) {
			t.Errorf("NOTICE does not hold %q", want)
		}
	}
}

// TestAmazonIsTrusted holds that the roots of S3's certificates are there.
func TestAmazonIsTrusted(t *testing.T) {
	pem, err := rootsPEM()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	var names strings.Builder
	for _, subject := range pool.Subjects() { //nolint:staticcheck // of a pool of one's own it is whole
		names.Write(subject)
	}
	for _, want := range []string{"Amazon Root CA 1", "Amazon Root CA 4", "Starfield Services Root Certificate Authority - G2", "ISRG Root X1"} {
		if !strings.Contains(names.String(), want) {
			t.Errorf("%s is not among the certificates", want)
		}
	}
}

// TestDockerfileIsTheSame holds that the Dockerfile builds as this program does.
func TestDockerfileIsTheSame(t *testing.T) {
	data, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	flags := buildFlags("$VERSION", "$COMMIT")
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(mod), "\ngo ")
	release, _, _ := strings.Cut(rest, "\n")
	for _, want := range []string{
		strings.Join(flags[:3], " ") + ` "` + flags[3] + `"`, "golang:" + release + " ", "FROM scratch",
		"USER 65532:65532", `ENTRYPOINT ["/node"]`, "WORKDIR /data", "EXPOSE 8080/tcp 9090/tcp 7946/tcp 7946/udp 7947/tcp",
		"COPY --from=build /out/licenses /licenses", "cp LICENSE /out/licenses/", "go run . --notices-of /out/node > /out/licenses/NOTICE",
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("the Dockerfile does not say %q", want)
		}
	}
}

// read returns the one image of a layout, after it was held against its digests.
func read(t *testing.T, dir string) v1.Image {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%v, want one image: %v", manifest, err)
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// unpack writes the image's files to a folder, and holds that none but /data
// could be changed by the image's user.
func unpack(t *testing.T, img v1.Image) string {
	t.Helper()
	root := t.TempDir()
	all := mutate.Extract(img)
	defer all.Close()
	for r := tar.NewReader(all); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return root
		}
		if err != nil {
			t.Fatal(err)
		}
		if data := filepath.Clean(h.Name) == "data"; (h.Uid == user) != data || h.Mode&0o022 != 0 {
			t.Errorf("%s belongs to %d and has mode %o", h.Name, h.Uid, h.Mode)
		}
		path := filepath.Join(root, h.Name)
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = writeFile(path, r, fs.FileMode(h.Mode))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func writeFile(path string, from io.Reader, mode fs.FileMode) error {
	data, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, mode)
}

func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	said, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, said)
	}
	return string(said)
}

// start runs the node in the folder until the test ends, and returns its URL.
func start(t *testing.T, node, dir string) string {
	t.Helper()
	cmd := exec.Command(node, "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--gossip-addr=127.0.0.1:0", "--peer-addr=127.0.0.1:0", "--memory=64MiB")
	cmd.Dir, cmd.Env = dir, []string{}
	log, err := cmd.StderrPipe()
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
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var line struct{ HTTP, Message string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "serving" {
			go func() { _, _ = io.Copy(io.Discard, log) }() // ends with the process
			return line.HTTP
		}
	}
	t.Fatal("the node did not start")
	return ""
}

// copySources copies what the node is built from.
func copySources(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") && name != "." || name == "bin" || name == "helm" || name == "cmd/image" {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), data, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}
