package main

import (
	"errors"
	"fmt"

	"larder/httpapi/auth"
	"larder/httpapi/auth/issuer"
	"larder/keys"
)

// oidcFlags name an identity provider.
type oidcFlags struct {
	OIDCIssuer    string `name:"oidc-issuer" group:"access" placeholder:"URL" help:"An identity provider by OpenID Connect, whose tokens (JWT) are credentials."`
	OIDCAudience  string `name:"oidc-audience" group:"access" placeholder:"NAME" help:"What a token must be issued for."`
	OIDCClientID  string `name:"oidc-client-id" group:"access" placeholder:"ID" help:"The public client of the provider by which people sign in on the page at /ui/, with a code and PKCE. (none: with a token alone)"`
	OIDCOrgClaim  string `name:"oidc-org-claim" group:"access" placeholder:"CLAIM" help:"The claim that names the org. (none: --oidc-map-file alone decides)"`
	OIDCUserClaim string `name:"oidc-user-claim" group:"access" default:"sub" placeholder:"CLAIM" help:"The claim that names the user. (${default})"`
	OIDCRoleClaim string `name:"oidc-role-claim" group:"access" placeholder:"CLAIM" help:"The claim with the role, or a list with it: reader, writer or admin. (none: all are readers)"`
	OIDCMapFile   string `name:"oidc-map-file" group:"access" placeholder:"FILE" help:"Whom tokens stand for by their claims, JSON or YAML; goes before the claims' own words. Read again when it changes."`
	OIDCCAFile    string `name:"oidc-ca-file" group:"access" placeholder:"FILE" help:"The authorities of the provider's certificate, in PEM. (the system's)"`
	OIDCTokenFile string `name:"oidc-token-file" group:"access" placeholder:"FILE" help:"What to show the provider when its keys are fetched, for Kubernetes' API server; read each time."`
}

func (f oidcFlags) checkOIDC() error {
	switch {
	case f.OIDCIssuer == "" && (f.OIDCAudience != "" || f.OIDCClientID != "" || f.OIDCOrgClaim != "" || f.OIDCRoleClaim != "" || f.OIDCMapFile != "" || f.OIDCCAFile != "" || f.OIDCTokenFile != ""):
		return errors.New("--oidc-audience, --oidc-client-id, --oidc-org-claim, --oidc-role-claim, --oidc-map-file, --oidc-ca-file and --oidc-token-file say more of --oidc-issuer, which is not there: give it too")
	case f.OIDCIssuer == "":
		return nil
	case f.OIDCAudience == "":
		return errors.New("--oidc-issuer without --oidc-audience: tokens that the provider issued for anything else would be good here; give the name that it issues Larder's tokens for")
	case f.OIDCOrgClaim == "" && f.OIDCMapFile == "":
		return errors.New("--oidc-issuer: give --oidc-org-claim or --oidc-map-file, for nothing says whose org a token opens")
	}
	return nil
}

// openIssuer makes what verifies the tokens of the provider, if there is one.
func (n *node) openIssuer() error {
	f := n.cfg.oidcFlags
	if f.OIDCIssuer == "" {
		return nil
	}
	mapping := auth.NewMapping(keys.ValidOrg)
	mapping.Org, mapping.User, mapping.Role = f.OIDCOrgClaim, f.OIDCUserClaim, f.OIDCRoleClaim
	var err error
	n.issuer, err = issuer.New(issuer.Config{
		URL: f.OIDCIssuer, Audience: f.OIDCAudience, CAFile: f.OIDCCAFile, TokenFile: f.OIDCTokenFile, Mapping: mapping, Log: n.log,
	})
	if err != nil {
		return fmt.Errorf("--oidc-issuer, --oidc-ca-file: %w", err)
	}
	n.gate.Issued = n.issuer
	if f.OIDCMapFile == "" {
		return nil
	}
	return n.open("oidc_map", "--oidc-map-file", "it is a list of {id, claim, value, org, user, role}", &configFile{
		path: f.OIDCMapFile, is: "map file", holds: "entries", take: n.issuer.Take, count: mapping.Len, unfit: 0o022,
	})
}
