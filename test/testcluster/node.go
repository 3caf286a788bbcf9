package testcluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	// startLimit bounds a start: the race detector and two busy cores are slow.
	startLimit = 60 * time.Second
	startTries = 5
	lookLimit  = 30 * time.Second // one question to an admin port, beside much else
)

// Node is one node of a cluster.
type Node struct {
	*Process
	// HTTPAddr, AdminAddr, GossipAddr and PeerAddr are host:port.
	HTTPAddr, AdminAddr, GossipAddr, PeerAddr string

	cluster    *Cluster
	flags      []string // this node's own, after those of all
	secretFile string   // there is one if the cluster has a secret
}

// URL is the researchers' endpoint, without a slash at the end.
func (n *Node) URL() string { return "http://" + n.HTTPAddr }

// AdminURL is the operators' endpoint, without a slash at the end.
func (n *Node) AdminURL() string { return "http://" + n.AdminAddr }

// Start starts a node that does not run, at the addresses that it had, and
// waits until it is ready.
func (n *Node) Start() {
	n.t.Helper()
	n.Launch()
	n.WaitReady()
}

// FreshAddrs gives a node that does not run new addresses for its next start.
func (n *Node) FreshAddrs() {
	n.t.Helper()
	n.HTTPAddr, n.AdminAddr = FreeAddr(n.t), FreeAddr(n.t)
	n.GossipAddr, n.PeerAddr = FreeAddr(n.t), FreeAddr(n.t)
}

// WaitReady waits until /readyz answers 200.
func (n *Node) WaitReady() {
	n.t.Helper()
	Eventually(n.t, startLimit, n.Name+" is ready", func() error {
		n.t.Helper()
		if !n.Running() {
			n.t.Fatalf("%s has ended: %s", n.Name, lastLine(n.Log()))
		}
		_, err := n.look("/readyz")
		return err
	})
}

// WriteSecrets replaces the node's file with the cluster's secrets, one a line.
func (n *Node) WriteSecrets(secrets ...string) {
	n.t.Helper()
	text := strings.Join(secrets, "\n") + "\n"
	if err := os.WriteFile(n.secretFile+".new", []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Rename(n.secretFile+".new", n.secretFile); err != nil {
		n.t.Fatal(err)
	}
}

// startFirst starts a node for the first time, at other addresses if another
// process took one of them.
func (n *Node) startFirst() {
	n.t.Helper()
	for range startTries {
		n.FreshAddrs()
		n.Launch()
		taken := false
		Eventually(n.t, startLimit, n.Name+" has bound its ports", func() error {
			n.t.Helper()
			if !n.Running() {
				if taken = strings.Contains(n.Log(), "address already in use"); !taken {
					n.t.Fatalf("%s has ended: %s", n.Name, lastLine(n.Log()))
				}
				return nil
			}
			_, err := n.look("/livez")
			return err
		})
		if !taken {
			return
		}
		_ = os.Remove(n.logPath()) // so that the next try is judged by its own
	}
	n.t.Fatalf("%s found no free ports in %d tries", n.Name, startTries)
}

// Missing is what keeps a node that runs from being ready; empty if nothing does.
func (n *Node) Missing() string {
	if _, err := n.look("/readyz"); err != nil {
		return err.Error()
	}
	return ""
}

// Members are the stable names that the node's /cluster shows.
func (n *Node) Members() ([]string, error) {
	body, err := n.look("/cluster")
	if err != nil {
		return nil, err
	}
	var page struct {
		Members []struct {
			Name string `json:"name"`
		} `json:"members"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, fmt.Errorf("read /cluster of %s: %w", n.Name, err)
	}
	var names []string
	for _, m := range page.Members {
		names = append(names, m.Name)
	}
	return names, nil
}

// look gets a page of the admin port.
func (n *Node) look(path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookLimit)
	defer cancel()
	status, body, err := get(ctx, n.AdminURL()+path)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("%s%s answers %d: %s", n.AdminURL(), path, status, body)
	}
	return body, nil
}

func (n *Node) args() []string {
	c := n.cluster
	args := []string{
		c.binary, "--name", n.Name, "--http-addr", n.HTTPAddr, "--admin-addr", n.AdminAddr,
		"--gossip-addr", n.GossipAddr, "--peer-addr", n.PeerAddr, "--memory", "128MiB",
	}
	if c.secret != "" {
		args = append(args, "--cluster-secret-file", n.secretFile)
	}
	if c.bucket == "" {
		return append(append(args, "--data-dir", "data-"+n.Name), c.ownFlags(n)...)
	}
	args = append(args, "--s3-bucket", c.bucket, "--s3-endpoint", "http://"+c.s3Addr, "--s3-path-style")
	var join []string
	for _, m := range c.Nodes {
		if m != n && m.GossipAddr != "" {
			join = append(join, m.GossipAddr)
		}
	}
	if len(join) > 0 {
		args = append(args, "--join", strings.Join(join, ","))
	}
	return append(args, c.ownFlags(n)...)
}

func (c *Cluster) ownFlags(n *Node) []string {
	return append(append([]string{}, c.opts.Flags...), n.flags...)
}

func lastLine(log string) string {
	log = strings.TrimSpace(log)
	return log[strings.LastIndexByte(log, '\n')+1:]
}
