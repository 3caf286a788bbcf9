package chaos

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"larder/test/testcluster"
)

// headless is the name under which pods find each other, as the chart's
// release "larder" in the namespace "research" has it.
const headless = "larder-headless"

// resolvConf is that of a pod in this namespace. The server is the DNS of the land.
const resolvConf = `search research.svc.cluster.local svc.cluster.local cluster.local
nameserver 127.0.0.1
options ndots:5
`

// enterPod is a shell's: it gives the process its resolv.conf, in a mount
// namespace of its own.
const enterPod = `mount --bind "$0" /etc/resolv.conf && exec "$@"`

// land is what a Kubernetes cluster gives its pods: addresses, each of which
// one pod has once, a DNS, and an S3.
type land struct {
	t           testing.TB
	dir, binary string
	resolvConf  string
	env         []string
	places      []place
	taken       int // of the places, from the first
	secrets     int // that were made
	network     *network
	names       *names
	front       *front
	doors       []string // to S3, for each place
}

// newLand makes a land of so many addresses; its DNS does not answer yet.
// False says that this machine lets us make none.
func newLand(t testing.TB, addrs int) (*land, bool) {
	t.Helper()
	if lands(t) != nil {
		return nil, false // TestNamespaces says so
	}
	l := &land{t: t, dir: t.TempDir(), binary: testcluster.Build(t)}
	l.env = append(environment(), "GODEBUG=netdns=go") // as in the image, where there is no C library
	l.resolvConf = filepath.Join(l.dir, "resolv.conf")
	if err := os.WriteFile(l.resolvConf, []byte(resolvConf), 0o600); err != nil {
		t.Fatal(err)
	}
	l.names = &names{t: t, name: headless + ".research.svc.cluster.local.", unknown: map[string]bool{}}
	l.front = newFront(t, (&cluster{t: t}).startS3(l.dir, l.binary, l.env), 1)
	var err error
	if l.places, l.network, err = newNetwork(t, addrs); err != nil {
		t.Fatal(err)
	}
	for _, p := range l.places {
		l.doors = append(l.doors, l.front.open(t, p))
	}
	return l, true
}

// lands says why there can be no land, if so.
func lands(t testing.TB) error {
	if err := namespaces(t); err != nil {
		return err
	}
	out, err := exec.Command("unshare", "--mount", "sh", "-c", enterPod, "/etc/hosts", "true").CombinedOutput()
	if err != nil {
		return fmt.Errorf("give a process its own resolv.conf: %w: %s", err, out)
	}
	return nil
}

// address takes the next address that nobody has had.
func (l *land) address() (index int) {
	l.t.Helper()
	if l.taken == len(l.places) {
		l.t.Fatalf("all %d addresses are taken", l.taken)
	}
	l.taken++
	return l.taken - 1
}

// newSecret makes a file with a cluster secret.
func (l *land) newSecret() (path string) {
	l.t.Helper()
	l.secrets++
	path = filepath.Join(l.dir, fmt.Sprint("secret-", l.secrets))
	if err := os.WriteFile(path, []byte(rand.Text()), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// retire loses whatever is sent to the address of a pod that is gone.
func (l *land) retire(index int) {
	for other := range l.places {
		l.network.set(index, other, true, 0)
		l.network.set(other, index, true, 0)
	}
}
