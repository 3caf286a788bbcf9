package main

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"

	"larder/httpapi/auth"
)

// keyPair is the certificate of the researchers' port with its key, as the files hold
// them now.
type keyPair struct {
	current atomic.Pointer[tls.Certificate]
}

// take makes a certificate, the authorities between, and its key, all in PEM, the one
// that is served.
func (k *keyPair) take(pem []byte) error {
	pair, err := tls.X509KeyPair(pem, pem)
	if err != nil {
		return err // which names no byte of the key
	}
	if end := pair.Leaf.NotAfter; time.Now().After(end) && k.current.Load() != nil {
		return fmt.Errorf("the certificate was good until %s", end.UTC().Format(time.RFC3339))
	}
	k.current.Store(&pair)
	return nil
}

// count is how many there are.
func (k *keyPair) count() int {
	if k.current.Load() == nil {
		return 0
	}
	return 1
}

// expires is when the certificate ends; zero if there is none.
func (k *keyPair) expires() time.Time {
	if k == nil || k.current.Load() == nil {
		return time.Time{}
	}
	return k.current.Load().Leaf.NotAfter
}

// tlsConfig is how the researchers' port speaks TLS; nil if it does not. A client
// certificate is asked for and not verified here: auth does that with each request, so
// that who is refused is told why, and an authority that was removed is known nowhere.
func tlsConfig(pair *keyPair, authorities *auth.Certificates) *tls.Config {
	if pair == nil {
		return nil
	}
	fixed := tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return pair.current.Load(), nil
		},
	}
	if authorities == nil {
		return &fixed
	}
	fixed.ClientAuth = tls.RequestClientCert
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			now := fixed.Clone()
			now.ClientCAs = authorities.Pool() // a client chooses its certificate by them
			return now, nil
		},
	}
}
