package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"larder/test/testcluster"
)

// slowBuilder is a builder of a process of its own: it writes its claim, waits for a line,
// puts its value, and writes the status of that.
const slowBuilder = `
exec 3< <(exec curl --silent --no-buffer --request POST --header 'Accept: application/x-ndjson' "$1")
read -r granted <&3
claim=${granted#*'"claim":"'}
claim=${claim%%'"'*}
echo "$claim"
read -r
printf late | curl --silent --output /dev/null --write-out '%{http_code}\n' --upload-file - --header "Larder-Claim: $claim" "$2"
`

// A builder's process that is stopped says nothing, though its connection stays: after
// --claim-silence the next in line builds. When the process goes on, its value is late.
func TestABuilderIsStopped(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Nodes: 2, Flags: []string{"--claim-silence=500ms"}})
	key := owned(c, 0, "stopped")
	builder := exec.Command("bash", "-c", slowBuilder, "builder", c.Nodes[1].URL()+buildPath(key), object(c.Nodes[1], key))
	builder.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	in, inErr := builder.StdinPipe()
	out, outErr := builder.StdoutPipe()
	if inErr != nil || outErr != nil {
		t.Fatal(inErr, outErr)
	}
	if err := builder.Start(); err != nil {
		t.Fatal(err)
	}
	group := -builder.Process.Pid
	t.Cleanup(func() {
		_ = syscall.Kill(group, syscall.SIGKILL) // it may have ended
		_ = builder.Wait()
	})
	lines := bufio.NewReader(out)
	if claim, err := lines.ReadString('\n'); err != nil || strings.TrimSpace(claim) == "" {
		t.Fatalf("the builder has the claim %q: %v", claim, err)
	}
	if err := syscall.Kill(group, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	waiter, err := attach(t.Context(), c.Nodes[0].URL(), key, "", map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(waiter.end)
	next := waiter.wantEvent(t, "granted")
	do(t, http.MethodPut, object(c.Nodes[0], key), []byte("in time"), "Larder-Claim", next.Claim).want(t, http.StatusCreated)

	if err := syscall.Kill(group, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "go on\n"); err != nil {
		t.Fatal(err)
	}
	status, err := lines.ReadString('\n')
	if err != nil || strings.TrimSpace(status) != fmt.Sprint(http.StatusConflict) {
		t.Errorf("the late put is answered with %q, %v", status, err)
	}
	for _, n := range c.Nodes {
		do(t, http.MethodGet, object(n, key), nil).wantBody(t, []byte("in time"))
	}
}
