package testcluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates for tests.
type Authority struct {
	// Cert is its own.
	Cert *x509.Certificate
	// File holds that in PEM.
	File string

	t   testing.TB
	dir string
	key *ecdsa.PrivateKey
}

// NewAuthority makes one of this name. Its files are removed with the test.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir()}
	a.key = newKey(t)
	about := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.Cert = about
	a.Cert = a.sign(about, &a.key.PublicKey)
	a.File = filepath.Join(a.dir, "authority.pem")
	writePEM(t, a.File, "CERTIFICATE", a.Cert.Raw)
	return a
}

// Issue makes a certificate for this subject and this use, and returns the files with it
// and with its key. If it names no host or address it is for 127.0.0.1 and localhost, and
// if no end of its time is set it is good for an hour.
func (a *Authority) Issue(name string, about x509.Certificate, use x509.ExtKeyUsage) (certFile, keyFile string) {
	a.t.Helper()
	key := newKey(a.t)
	about.ExtKeyUsage = []x509.ExtKeyUsage{use}
	if about.DNSNames == nil && about.IPAddresses == nil {
		about.DNSNames, about.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	cert := a.sign(&about, &key.PublicKey)
	certFile, keyFile = filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	writePEM(a.t, certFile, "CERTIFICATE", cert.Raw)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	writePEM(a.t, keyFile, "PRIVATE KEY", der)
	return certFile, keyFile
}

func (a *Authority) sign(about *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	a.t.Helper()
	var err error
	if about.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		a.t.Fatal(err)
	}
	if about.NotAfter.IsZero() {
		about.NotBefore, about.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, about, a.Cert, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
