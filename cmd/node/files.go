package main

import (
	"fmt"
	"time"

	"larder/cluster"
	"larder/httpapi/auth"
	"larder/keys"
	"larder/usage"
)

// openFiles reads the files that may change under a running node, those that there
// are.
func (n *node) openFiles() error {
	c := n.cfg
	n.files = map[string]*configFile{}
	if c.ClusterSecretFile != "" {
		n.secrets = &cluster.Secrets{}
		if err := n.open("secret", "--cluster-secret-file", "make a secret with 'openssl rand -hex 32'", &configFile{
			path: c.ClusterSecretFile, is: "cluster secret file", holds: "secrets",
			take: n.secrets.Take, count: n.secrets.Len, unfit: 0o026,
		}); err != nil {
			return err
		}
	}
	if c.TokensFile != "" {
		n.gate.Tokens = auth.New(keys.ValidOrg)
		if err := n.open("tokens", "--tokens-file", "'node token' makes its entries", &configFile{
			path: c.TokensFile, is: "tokens file", holds: "tokens",
			take: n.gate.Tokens.Take, count: n.gate.Tokens.Len, unfit: 0o022,
		}); err != nil {
			return err
		}
	}
	n.policies = usage.NewPolicies(keys.ValidOrg)
	if c.PolicyFile != "" {
		if err := n.open("policy", "--policy-file", "docs/operating.md shows its entries", &configFile{
			path: c.PolicyFile, is: "policy file", holds: "policies",
			take: n.policies.Take, count: n.policies.Len, unfit: 0o022,
		}); err != nil {
			return err
		}
	}
	if err := n.openCertificates(); err != nil {
		return err
	}
	return n.openIssuer()
}

func (n *node) openCertificates() error {
	c := n.cfg
	if c.TLSCertFile != "" {
		n.keyPair = &keyPair{}
		if err := n.open("certificate", "--tls-cert-file, --tls-key-file", "give a certificate and its key in PEM", &configFile{
			path: c.TLSCertFile, beside: c.TLSKeyFile, is: "certificate file", holds: "certificates",
			take: n.keyPair.take, count: n.keyPair.count, unfit: 0o026,
		}); err != nil {
			return err
		}
	}
	if c.TLSClientCAFile == "" {
		return nil
	}
	n.gate.Certificates = auth.NewCertificates(keys.ValidOrg)
	return n.open("client_ca", "--tls-client-ca-file", "give the certificates of the authorities in PEM", &configFile{
		path: c.TLSClientCAFile, is: "client authorities file", holds: "authorities",
		take: n.gate.Certificates.Take, count: n.gate.Certificates.Len, unfit: 0o022,
	})
}

// open takes a file for the first time. name is what metrics call it; the flag and the
// advice are for the operator, in the error.
func (n *node) open(name, flag, advice string, f *configFile) error {
	f.log = n.log
	n.files[name] = f
	if err := f.open(); err != nil {
		return fmt.Errorf("%s: %w; %s", flag, err, advice)
	}
	return nil
}

// fileStates are the states of these files, for metrics. A file that is not
// configured is never wrong.
func (n *node) fileStates() map[string]func() (wrong int64, age time.Duration) {
	states := map[string]func() (int64, time.Duration){}
	for _, name := range []string{"secret", "tokens", "certificate", "client_ca", "oidc_map", "policy"} {
		states[name] = func() (int64, time.Duration) { return 0, 0 }
		if f := n.files[name]; f != nil {
			states[name] = f.state
		}
	}
	return states
}
