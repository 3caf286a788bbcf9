// Package issuer verifies the tokens of one identity provider, by OpenID Connect:
// JSON Web Tokens of people's single sign-on, or of Kubernetes' service accounts.
//
// It guarantees that a token is the provider's, was issued for this audience, and is
// within its time, under an asymmetric signature; and that nothing a caller sends makes
// it ask the provider more often than once in some seconds. Package auth says whom a
// token's claims name, and calls Verify through auth.Gate; cmd/node runs it. What
// was verified is remembered until it ends, so that the next request with it costs a
// digest. No token is logged or part of an error. An Issuer is safe for concurrent use.
package issuer
