//go:build kubernetes

package kubernetes

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// replaceSecret replaces the cluster secret in three steps, with no restart.
func (r *release) replaceSecret() {
	r.t.Helper()
	const jsonpath = `jsonpath={.data.cluster-secret}`
	kept, err := base64.StdEncoding.DecodeString(r.kubectl("get", "secret", "larder-cluster", "-o", jsonpath))
	if err != nil {
		r.t.Fatal(err)
	}
	before, fresh := strings.TrimSpace(string(kept)), rand.Text()
	for _, lines := range []string{before + "\n" + fresh, fresh + "\n" + before, fresh} {
		began := time.Now()
		read := make(map[string]int)
		for _, pod := range r.pods() {
			read[pod] = r.readAgain(pod)
		}
		r.kubectl("patch", "secret", "larder-cluster", "--type", "merge", "-p",
			fmt.Sprintf(`{"data": {"cluster-secret": %q}}`, base64.StdEncoding.EncodeToString([]byte(lines+"\n"))))
		for pod, times := range read {
			r.eventually(pod+" reads the cluster secret again", func() error {
				if r.readAgain(pod) == times {
					return errors.New("it did not")
				}
				return nil
			})
		}
		r.t.Logf("all pods read the changed secret within %.0f s", time.Since(began).Seconds())
	}
	for _, pod := range r.pods() {
		metrics := r.run("kubectl", "get", "--raw", "/api/v1/namespaces/larder/pods/"+pod+":9090/proxy/metrics")
		if !strings.Contains(metrics, "\nlarder_cluster_members 3\n") {
			r.t.Errorf("%s does not see three members", pod)
		}
	}
}

// readAgain is how often a pod has said that it read the cluster secret again.
func (r *release) readAgain(pod string) int {
	r.t.Helper()
	return strings.Count(r.kubectl("logs", pod), "cluster secret file read again")
}

// replaceToken gives a researcher a token by an upgrade, and takes it away, with no restart.
func (r *release) replaceToken() {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), filepath.Join(*source, "bin", "node"), "token", "--org", "default", "--user", "ada", "--role", "writer")
	var entry strings.Builder
	cmd.Stderr = &entry
	token, err := cmd.Output()
	if err != nil {
		r.t.Fatal(err)
	}
	c := &plain{addr: r.addr, token: strings.TrimSpace(string(token)), fresh: true}
	_, line, _ := strings.Cut(entry.String(), "\n- ") // what comes before are comments
	values := r.write("tokens.yaml", "auth:\n  tokens:\n    - "+strings.TrimSpace(line)+"\n")
	for _, given := range []bool{true, false} {
		began := time.Now()
		args := []string{"--set", strings.Join(r.sets, ",")}
		if given {
			args = append(args, "-f", values)
		}
		r.helmWith("upgrade", "larder", args...)
		r.eventually("all pods know the tokens", func() error {
			for range 12 { // of one in three each
				if _, err := c.do("GET", "/v1/whoami", nil); (err == nil) != given {
					return fmt.Errorf("the token is good: %t (%v)", !given, err)
				}
			}
			return nil
		})
		r.t.Logf("given: %t; %.0f s after the upgrade began all pods knew", given, time.Since(began).Seconds())
	}
}
