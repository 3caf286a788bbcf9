package main

import (
	"fmt"
	"time"

	"larder/auth"
	"larder/cluster"
	"larder/keys"
	"larder/usage"
)

// openFiles reads the files with the cluster's secrets, the tokens and the policies,
// if there are any.
func (n *node) openFiles() error {
	if n.cfg.ClusterSecretFile != "" {
		n.secrets = &cluster.Secrets{}
		n.secretFile = &configFile{
			path: n.cfg.ClusterSecretFile, is: "cluster secret file", holds: "secrets",
			take: n.secrets.Take, count: n.secrets.Len, unfit: 0o026, log: n.log,
		}
		if err := n.secretFile.open(); err != nil {
			return fmt.Errorf("--cluster-secret-file: %w; make a secret with 'openssl rand -hex 32'", err)
		}
	}
	if n.cfg.TokensFile != "" {
		n.tokens = auth.New(keys.ValidOrg)
		n.tokensFile = &configFile{
			path: n.cfg.TokensFile, is: "tokens file", holds: "tokens",
			take: n.tokens.Take, count: n.tokens.Len, unfit: 0o022, log: n.log,
		}
		if err := n.tokensFile.open(); err != nil {
			return fmt.Errorf("--tokens-file: %w; 'node token' makes its entries", err)
		}
	}
	n.policies = usage.NewPolicies(keys.ValidOrg)
	if n.cfg.PolicyFile != "" {
		n.policyFile = &configFile{
			path: n.cfg.PolicyFile, is: "policy file", holds: "policies",
			take: n.policies.Take, count: n.policies.Len, unfit: 0o022, log: n.log,
		}
		if err := n.policyFile.open(); err != nil {
			return fmt.Errorf("--policy-file: %w", err)
		}
	}
	return nil
}

// fileStates are the states of these files, for metrics. A file that is not
// configured is never wrong.
func (n *node) fileStates() map[string]func() (wrong int64, age time.Duration) {
	states := map[string]func() (int64, time.Duration){}
	for name, f := range map[string]*configFile{"secret": n.secretFile, "tokens": n.tokensFile, "policy": n.policyFile} {
		states[name] = func() (int64, time.Duration) { return 0, 0 }
		if f != nil {
			states[name] = f.state
		}
	}
	return states
}
