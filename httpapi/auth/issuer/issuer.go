package issuer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/rs/zerolog"

	"larder/httpapi/auth"
)

const (
	// leeway is how far the clocks of the provider and a node may be apart.
	leeway = 30 * time.Second
	// refreshEvery is how often the keys are fetched without a reason.
	refreshEvery = 10 * time.Minute
)

// Config of an Issuer.
type Config struct {
	URL      string // the provider's, as its tokens have it
	Audience string // for which a token must be issued
	// CAFile holds the authorities of the provider's certificate in PEM; empty is the
	// system's. TokenFile holds what the provider wants to be asked with, if it
	// does; it is read with each fetch.
	CAFile, TokenFile string
	Mapping           *auth.Mapping
	Log               zerolog.Logger
}

// Issuer verifies the tokens of one provider. Make it with New.
type Issuer struct {
	cfg      Config
	log      zerolog.Logger
	keys     *keySet
	verifier *oidc.IDTokenVerifier
	proven   *auth.Remembered
}

var _ auth.Issued = (*Issuer)(nil)

// New makes an Issuer. It asks the provider nothing.
func New(cfg Config) (*Issuer, error) {
	if err := checkURL(cfg.URL); err != nil {
		return nil, err
	}
	client, err := clientOf(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	i := &Issuer{cfg: cfg, log: cfg.Log.With().Str("component", "issuer").Logger(), proven: auth.NewRemembered()}
	i.keys = &keySet{
		issuer: cfg.URL, client: client, token: cfg.readToken, changed: i.proven.Forget, told: i.tell,
	}
	var algs []string
	for _, a := range algorithms() {
		algs = append(algs, string(a))
	}
	i.verifier = oidc.NewVerifier(cfg.URL, i.keys, &oidc.Config{
		ClientID: cfg.Audience, SupportedSigningAlgs: algs, Now: func() time.Time { return time.Now().Add(-leeway) },
	})
	return i, nil
}

// clientOf asks the provider. It follows no redirect: keys come from where they are
// said to be.
func clientOf(caFile string) (*http.Client, error) {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", caFile)
		}
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

func (c Config) readToken() (string, error) {
	if c.TokenFile == "" {
		return "", nil
	}
	b, err := os.ReadFile(c.TokenFile)
	return strings.TrimSpace(string(b)), err
}

// Run keeps the keys fresh until ctx ends.
func (i *Issuer) Run(ctx context.Context) error {
	for {
		i.keys.fetch(ctx)
		wait := refreshEvery
		if _, err := i.keys.state(); err != nil {
			wait = fetchPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// tell logs what came of a fetch, if it is bad.
func (i *Issuer) tell(err error) {
	if err != nil {
		n, _ := i.keys.state()
		i.log.Warn().Err(err).Str("issuer", i.cfg.URL).Int("keys", n).Msg("the issuer's keys could not be fetched, those before stay good")
	}
}

// Keys returns how many keys of the provider are known.
func (i *Issuer) Keys() int {
	n, _ := i.keys.state()
	return n
}

// Take makes the entries of a map file those that count: see auth.Mapping. What was
// verified before is verified anew.
func (i *Issuer) Take(file []byte) error {
	if err := i.cfg.Mapping.Take(file); err != nil {
		return err
	}
	i.proven.Forget()
	return nil
}

// Known returns whose token it is if it was verified before.
func (i *Issuer) Known(token string) (auth.Principal, bool) { return i.proven.Get(token) }

// Verify returns whose token it is.
func (i *Issuer) Verify(ctx context.Context, token string) (auth.Principal, error) {
	if p, ok := i.proven.Get(token); ok {
		return p, nil
	}
	remember := i.proven.Begin()
	if err := i.plausible(token); err != nil {
		return auth.Principal{}, err
	}
	var why error
	verified, err := i.verifier.Verify(context.WithValue(ctx, whyKey{}, &why), token)
	if err != nil {
		return auth.Principal{}, i.explain(why)
	}
	var claims auth.Claims
	if err := verified.Claims(&claims); err != nil {
		return auth.Principal{}, fmt.Errorf("%w: the token's claims are no JSON object", auth.ErrRefused)
	}
	p, err := i.cfg.Mapping.Principal(claims)
	if err != nil {
		return auth.Principal{}, fmt.Errorf("%w: %w", auth.ErrRefused, err)
	}
	remember(token, p, verified.Expiry.Add(leeway))
	return p, nil
}

// whyKey is the key under which a context holds where the key set's error goes: go-oidc
// keeps only its text, and what it says itself may quote the token.
type whyKey struct{}

// explain is what a caller is told of a signature that is not good.
func (i *Issuer) explain(err error) error {
	switch _, fetched := i.keys.state(); {
	case errors.Is(err, errUnknownKey) && fetched != nil:
		return fmt.Errorf("%w: the token is signed with a key that is not known here, and its issuer does not answer; try again", auth.ErrRefused)
	case errors.Is(err, errUnknownKey):
		return fmt.Errorf("%w: the token is signed with a key that its issuer does not have; ask for a new token", auth.ErrRefused)
	}
	return fmt.Errorf("%w: the token is not signed by its issuer, with an asymmetric key", auth.ErrRefused)
}

// plausible refuses, before a signature is looked at or a key fetched, what says by
// itself that it is not good. Nothing that it says is believed.
func (i *Issuer) plausible(token string) error {
	refuse := func(why string) error { return fmt.Errorf("%w: %s", auth.ErrRefused, why) }
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return refuse("the token does not have three parts")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return refuse("the token's claims are no base64")
	}
	var says struct {
		Issuer    string   `json:"iss"`
		Audience  audience `json:"aud"`
		Expires   *float64 `json:"exp"`
		NotBefore *float64 `json:"nbf"`
	}
	if json.Unmarshal(payload, &says) != nil || says.Expires == nil {
		return refuse("the token's claims are no JSON, or do not say when it ends")
	}
	now := float64(time.Now().Unix())
	switch {
	case says.Issuer != i.cfg.URL:
		return refuse("the token is of another issuer, want one of " + i.cfg.URL)
	case !slices.Contains(says.Audience, i.cfg.Audience):
		return refuse("the token is for another audience, want one for " + i.cfg.Audience)
	case *says.Expires+leeway.Seconds() <= now:
		return fmt.Errorf("%w: the token was good until %s", auth.ErrExpired, time.Unix(int64(*says.Expires), 0).UTC().Format(time.RFC3339))
	case says.NotBefore != nil && *says.NotBefore-leeway.Seconds() > now:
		return refuse("the token is not good yet; are the clocks right?")
	}
	return nil
}

// audience is one text or a list of them (RFC 7519, section 4.1.3).
type audience []string

// UnmarshalJSON reads either.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}
