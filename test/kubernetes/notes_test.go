//go:build kubernetes

package kubernetes

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"larder/test/testcluster"
)

// command finds what NOTES.txt tells to type.
var command = regexp.MustCompile(`(?m)^(?:  |Try it: |)((?:kubectl|export|curl|helm) .*)$`)

// notes types what NOTES.txt tells: the first command in a terminal of its own, since
// it goes on, and the other ones in another.
func (r *release) notes() {
	r.t.Helper()
	var lines []string
	for _, match := range command.FindAllStringSubmatch(r.helm("get", "notes", "larder"), -1) {
		lines = append(lines, match[1])
	}
	if len(lines) != 5 || !strings.Contains(lines[0], "port-forward") {
		r.t.Fatalf("NOTES.txt tells to type %q", lines)
	}
	forward := testcluster.NewProcess(r.t, "port-forward", r.dir, os.Environ(), func() []string { return []string{"bash", "-c", lines[0]} })
	forward.Launch()
	r.eventually("the forwarded port", func() error {
		conn, err := net.DialTimeout("tcp", "127.0.0.1:8080", time.Second)
		if err == nil {
			_ = conn.Close() // it was there
		}
		return err
	})
	script := "set -ex\n" + strings.Join(lines[1:], "\n")
	out, err := exec.CommandContext(r.t.Context(), "bash", "-c", script).CombinedOutput()
	forward.Kill()
	for _, want := range []string{`"user":"admin"`, "Phase:          Succeeded", `"level":"info"`} {
		if err == nil && !strings.Contains(string(out), want) {
			err = fmt.Errorf("no %q", want)
		}
	}
	if err != nil {
		r.t.Errorf("what NOTES.txt tells to type: %v\n%s", err, out)
	}
}
