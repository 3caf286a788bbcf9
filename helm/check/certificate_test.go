package check

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// certificate is as much of cert-manager's Certificate as the chart makes.
type certificate struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		SecretName string   `json:"secretName"`
		DNSNames   []string `json:"dnsNames"`
		Usages     []string `json:"usages"`
		IssuerRef  struct {
			Name  string `json:"name"`
			Kind  string `json:"kind"`
			Group string `json:"group"`
		} `json:"issuerRef"`
		PrivateKey struct {
			RotationPolicy string `json:"rotationPolicy"`
		} `json:"privateKey"`
	} `json:"spec"`
}

// DeepCopyObject returns a copy.
func (c *certificate) DeepCopyObject() runtime.Object {
	copied := *c
	return &copied
}

func addCertManager(s *runtime.Scheme) error {
	s.AddKnownTypeWithName(schema.GroupVersionKind{Group: "cert-manager.io", Version: "v1", Kind: "Certificate"}, &certificate{})
	return nil
}

// pemPair is a certificate and its key, which a node can be started with.
func pemPair(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// TestTLS holds that with TLS everything that reaches the researchers' port speaks it,
// and that the certificate is good for the names by which it is reached.
func TestTLS(t *testing.T) {
	v := readValues(t, "tls")
	made := objects(t, v)
	set, c := node(t, made)
	cert := one[*certificate](t, made)
	for _, arg := range []string{"--tls-cert-file=/etc/larder/tls/tls.crt", "--tls-key-file=/etc/larder/tls/tls.key", "--tls-client-ca-file=/etc/larder/client-ca/ca.crt", "--peer-encryption=true"} {
		if !slices.Contains(c.Args, arg) {
			t.Errorf("the arguments %q do not hold %s", c.Args, arg)
		}
	}
	for _, s := range all[*core.Service](made) {
		if got := *s.Spec.Ports[0].AppProtocol; got != "https" {
			t.Errorf("Service %s says %s", s.Name, got)
		}
	}
	for _, url := range one[*core.Pod](t, made).Spec.Containers[0].Args[1:] {
		host, ok := strings.CutPrefix(url, "https://")
		host, _, _ = strings.Cut(host, ":")
		if _, parent, inner := strings.Cut(host, "."); !ok || !slices.Contains(cert.Spec.DNSNames, host) && (!inner || !slices.Contains(cert.Spec.DNSNames, "*."+parent)) {
			t.Errorf("the test asks %s, and the certificate is for %q", url, cert.Spec.DNSNames)
		}
	}
	if !slices.Contains(cert.Spec.DNSNames, "larder.example.com") || cert.Spec.IssuerRef.Name != "research-ca" {
		t.Errorf("the certificate is %+v", cert.Spec)
	}
	mounted := false
	for _, vol := range set.Spec.Template.Spec.Volumes {
		mounted = mounted || vol.Secret != nil && vol.Secret.SecretName == cert.Spec.SecretName
	}
	if !mounted {
		t.Errorf("the nodes do not mount %s", cert.Spec.SecretName)
	}
	if says := notes(t, v); !strings.Contains(says, "https://") || strings.Contains(says, "http://127") || strings.Contains(says, "UNSAFE") {
		t.Errorf("NOTES.txt says %s", says)
	}
	own := readValues(t, "tls")
	own["tls"] = values{"enabled": true, "existingSecret": "our-own"}
	if made := objects(t, own); len(all[*certificate](made)) != 0 {
		t.Error("a certificate is made beside one's own")
	}
}
