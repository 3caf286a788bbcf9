package auth

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// rolePrefix begins the organisational unit that names a role in a certificate, so
// that a department of that name gives nobody rights.
const rolePrefix = "larder:"

// Certificates are the authorities whose client certificates are good now. There are
// none until Take has succeeded. Make them with NewCertificates.
type Certificates struct {
	validOrg func(org string) error
	// current is replaced whole and never written to.
	current atomic.Pointer[authorities]
}

// authorities are those of one state of the file, with the certificates that were
// found to be good under them.
type authorities struct {
	pool   *x509.CertPool
	count  int
	proven *Remembered
}

// NewCertificates makes Certificates. validOrg says what is wrong with the name of an
// org, if anything.
func NewCertificates(validOrg func(string) error) *Certificates {
	c := &Certificates{validOrg: validOrg}
	c.current.Store(&authorities{pool: x509.NewCertPool(), proven: NewRemembered()})
	return c
}

// Take makes the certificates in a PEM file the authorities that are good. A file that
// holds anything else is an error; then all stays as it was.
func (c *Certificates) Take(file []byte) error {
	a := &authorities{pool: x509.NewCertPool(), proven: NewRemembered()}
	for rest := bytes.TrimSpace(file); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("the file holds a %q, want certificates of authorities alone", block.Type)
		}
		authority, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("certificate %d: %w", a.count+1, err)
		}
		a.pool.AddCert(authority)
		a.count++
	}
	if a.count == 0 {
		return errors.New("the file holds no certificate, want those of the authorities in PEM")
	}
	c.current.Store(a)
	return nil
}

// Len returns how many authorities there are.
func (c *Certificates) Len() int { return c.current.Load().count }

// Pool returns the authorities, which the caller must not change.
func (c *Certificates) Pool() *x509.CertPool { return c.current.Load().pool }

// Authenticate returns whose certificate the first of the chain is, if it is good: of
// an authority, for clients, and within its time. What was found to be good is not
// verified again until the file changes.
func (c *Certificates) Authenticate(chain []*x509.Certificate) (Principal, error) {
	a, own := c.current.Load(), chain[0]
	if p, ok := a.proven.Get(string(own.Raw)); ok {
		return p, nil
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	chains, err := own.Verify(x509.VerifyOptions{
		Roots: a.pool, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return Principal{}, fmt.Errorf("%w: the client certificate: %w", ErrRefused, err)
	}
	p, err := c.principalOf(own)
	if err != nil {
		return Principal{}, fmt.Errorf("%w: the client certificate: %w", ErrRefused, err)
	}
	a.proven.Begin()(string(own.Raw), p, firstEnd(chains))
	return p, nil
}

// firstEnd is when the chain that is good longest ends.
func firstEnd(chains [][]*x509.Certificate) (end time.Time) {
	for _, chain := range chains {
		first := chain[0].NotAfter
		for _, cert := range chain {
			if cert.NotAfter.Before(first) {
				first = cert.NotAfter
			}
		}
		if first.After(end) {
			end = first
		}
	}
	return end
}

// principalOf is whom a certificate names: the common name is the user, the
// organisation the org, and an organisational unit such as larder:writer the role.
func (c *Certificates) principalOf(cert *x509.Certificate) (Principal, error) {
	s := cert.Subject
	if len(s.Organization) != 1 || c.validOrg(s.Organization[0]) != nil {
		return Principal{}, errors.New("its subject does not name one organisation, want O to be 1 to 63 of a-z, 0-9, '-', '_' and '.'")
	}
	if err := validLabel(s.CommonName); err != nil {
		return Principal{}, fmt.Errorf("its common name (CN), which is the user: %w", err)
	}
	role := Reader
	for _, unit := range s.OrganizationalUnit {
		if name, ok := strings.CutPrefix(unit, rolePrefix); ok {
			if role = Role(name); !role.valid() {
				return Principal{}, fmt.Errorf("an organisational unit (OU) names no role, want %s%s, %s%s or %s%s", rolePrefix, Reader, rolePrefix, Writer, rolePrefix, Admin)
			}
		}
	}
	serial := cert.SerialNumber.Text(16)
	return Principal{Org: s.Organization[0], User: s.CommonName, Role: role, TokenID: "certificate " + serial[:min(len(serial), 40)]}, nil
}
