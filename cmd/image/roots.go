package main

import (
	"bytes"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// rootsPEM is the certificates that the node trusts: those of Mozilla's
// program (MPL-2.0), as the Go project packs them. Those that Mozilla trusts
// only within limits are left out, since a file of certificates cannot say so.
func rootsPEM() ([]byte, error) {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, fmt.Errorf("pack certificates: %w", err)
		}
	}
	return out.Bytes(), nil
}
