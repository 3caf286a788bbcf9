package main

import (
	"strings"
	"testing"
)

func TestOIDCFlags(t *testing.T) {
	for _, c := range []struct {
		flags oidcFlags
		says  string
	}{
		{oidcFlags{}, ""},
		{oidcFlags{OIDCUserClaim: "sub"}, ""},
		{oidcFlags{OIDCIssuer: "https://i", OIDCAudience: "a", OIDCOrgClaim: "org"}, ""},
		{oidcFlags{OIDCIssuer: "https://i", OIDCAudience: "a", OIDCMapFile: "map"}, ""},
		{oidcFlags{OIDCIssuer: "https://i", OIDCOrgClaim: "org"}, "without --oidc-audience"},
		{oidcFlags{OIDCIssuer: "https://i", OIDCAudience: "a"}, "give --oidc-org-claim or --oidc-map-file"},
		{oidcFlags{OIDCAudience: "a"}, "--oidc-issuer, which is not there"},
		{oidcFlags{OIDCMapFile: "map"}, "--oidc-issuer, which is not there"},
	} {
		err := c.flags.checkOIDC()
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.flags, err, c.says)
		}
	}
}
