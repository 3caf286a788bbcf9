package main

import (
	"fmt"
	"time"

	"larder/cluster"
	"larder/reread"
)

// secretInterval is how often a node looks whether the file with the cluster's
// secrets has changed.
const secretInterval = time.Second

// openSecrets reads the cluster's secrets, if there is a file with them.
func (n *node) openSecrets() (err error) {
	if n.cfg.ClusterSecretFile == "" {
		return nil
	}
	n.secrets = &cluster.Secrets{}
	if n.secretFile, err = reread.Open(n.cfg.ClusterSecretFile, n.secrets.Take); err != nil {
		return fmt.Errorf("--cluster-secret-file: %w; make a secret with 'openssl rand -hex 32'", err)
	}
	return nil
}

// secretsChanged logs that the file with the cluster's secrets was read again.
func (n *node) secretsChanged(err error) {
	if err != nil {
		n.log.Warn().Err(err).Int("secrets", n.secrets.Len()).Msg("cluster secret file is wrong, the secrets before it stay good")
		return
	}
	n.log.Info().Int("secrets", n.secrets.Len()).Msg("cluster secret file read again")
}
