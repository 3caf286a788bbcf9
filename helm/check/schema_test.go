package check

import (
	"strings"
	"testing"
)

// TestNonsenseIsRefused holds that wrong values are refused, and that the
// refusal names the value and what to do.
func TestNonsenseIsRefused(t *testing.T) {
	for _, c := range []struct {
		name, values string
		says         []string
	}{
		{"nothing at all", `{}`, []string{"/s3/bucket", "the name of a bucket that all nodes share", "persistence.enabled=true with replicaCount=1"}},
		{"several nodes on an embedded S3", `persistence: {enabled: true}`, []string{"/replicaCount", "set replicaCount=1, or give s3.bucket"}},
		{"a bucket and an embedded S3", `{replicaCount: 1, persistence: {enabled: true}, s3: {bucket: b-1}}`, []string{"/s3/bucket", "drop s3.bucket or persistence.enabled"}},
		{"no node", `{replicaCount: 0, s3: {bucket: b-1}}`, []string{"/replicaCount", "minimum"}},
		{"half a node", `{replicaCount: 1.5, s3: {bucket: b-1}}`, []string{"/replicaCount", "want integer"}},
		{"a misspelt value", `{s3: {bukcet: b-1}}`, []string{"/s3", "'bukcet' not allowed"}},
		{"a misspelt section", `{s3: {bucket: b-1}, ingres: {enabled: true}}`, []string{"'ingres' not allowed"}},
		{"a URL for a bucket", `{s3: {bucket: "s3://b-1"}}`, []string{"/s3/bucket", "does not match pattern"}},
		{"an endpoint without scheme", `{s3: {bucket: b-1, endpoint: "minio:9000"}}`, []string{"/s3/endpoint", "https?://"}},
		{"memory in words", `{s3: {bucket: b-1}, resources: {limits: {memory: lots}}}`, []string{"/resources/limits/memory"}},
		{"a tenth of a byte", `{s3: {bucket: b-1}, resources: {limits: {memory: 4000m}}}`, []string{"/resources/limits/memory"}},
		{"all memory", `{s3: {bucket: b-1}, cache: {memory: "95%"}}`, []string{"/cache/memory", "does not match pattern"}},
		{"a share of no limit", `{s3: {bucket: b-1}, cache: {memory: "50%"}, resources: {limits: {memory: null}}}`, []string{"resources.limits.memory is not set", "give cache.memory a size"}},
		{"a distribution that is none", `{s3: {bucket: b-1}, service: {trafficDistribution: Near}}`, []string{"/service/trafficDistribution"}},
		{"a policy of resizing that is none", `{s3: {bucket: b-1}, resizePolicy: [{resourceName: memory, restartPolicy: Never}]}`, []string{"/resizePolicy/0/restartPolicy"}},
		{"user namespaces in words", `{s3: {bucket: b-1}, hostUsers: "no"}`, []string{"/hostUsers"}},
		{"a lease without unit", `{s3: {bucket: b-1}, cache: {lease: "5"}}`, []string{"/cache/lease"}},
		{"a log level that is none", `{s3: {bucket: b-1}, logLevel: verbose}`, []string{"/logLevel", "'debug', 'info', 'warn', 'error'"}},
		{"an argument that is no flag", `{s3: {bucket: b-1}, extraArgs: [lease=5s]}`, []string{"/extraArgs/0"}},
		{"nobody", `{s3: {bucket: b-1}, auth: {generated: {enabled: false}}}`, []string{"/auth/tokens", "minItems", "auth.existingSecret"}},
		{"a token instead of its digest", `{s3: {bucket: b-1}, auth: {tokens: [{id: a, org: o, user: u, role: writer, sha256: lrd_secret}]}}`, []string{"/auth/tokens/0/sha256"}},
		{"a role that is none", `{s3: {bucket: b-1}, auth: {generated: {role: root}}}`, []string{"/auth/generated/role", "'writer', 'admin'"}},
		{"tokens and no tokens", `{s3: {bucket: b-1}, auth: {insecureNoAuth: true, existingSecret: s}}`, []string{"/auth/existingSecret", "drop one of the two"}},
		{"a Service that is none", `{s3: {bucket: b-1}, service: {type: Public}}`, []string{"/service/type", "'ClusterIP', 'NodePort', 'LoadBalancer'"}},
		{"an Ingress without host", `{s3: {bucket: b-1}, ingress: {enabled: true}}`, []string{"/ingress/hosts", "minItems"}},
		{"a route on no gateway", `{s3: {bucket: b-1}, httpRoute: {enabled: true}}`, []string{"/httpRoute/parentRefs", "minItems"}},
		{"TLS without a certificate", `{s3: {bucket: b-1}, tls: {enabled: true}}`, []string{"/tls/certManager/issuerRef", "name"}},
		{"a provider in the clear", `{s3: {bucket: b-1}, oidc: {issuer: "http://login.example.com"}}`, []string{"/oidc/issuer"}},
		{"one name for all nodes", `{s3: {bucket: b-1}, extraArgs: [--name=larder]}`, []string{"/extraArgs/0", "the chart sets this flag"}},
		{"one name for all nodes, by the environment", `{s3: {bucket: b-1}, extraEnv: [{name: LARDER_NAME, value: larder}]}`, []string{"/extraEnv/0/name", "the chart sets this variable"}},
		{"a variable that is a number", `{s3: {bucket: b-1}, extraEnv: [{name: GOGC, value: 50}]}`, []string{"/extraEnv/0/value", "got number, want string"}},
		{"a volume twice", `{s3: {bucket: b-1}, extraVolumes: [{name: tokens, emptyDir: {}}]}`, []string{"/extraVolumes/0/name", "the chart has a volume of this name"}},
		{"a label of the chart's own", `{s3: {bucket: b-1}, podLabels: {app.kubernetes.io/name: cache}}`, []string{"/podLabels", "the chart chooses its pods by this label"}},
		{"an org that no token may have", `{s3: {bucket: b-1}, auth: {generated: {org: "Acme Research"}}}`, []string{"/auth/generated/org"}},
		// What takes arithmetic is refused by the templates.
		{"a share without its sign", `{s3: {bucket: b-1}, cache: {memory: 60}}`, []string{"cache.memory is 60 bytes", "a share like 60%"}},
		{"a disk without unit", `{s3: {bucket: b-1}, disk: {size: 200}}`, []string{"disk.size is 200 bytes", "200Gi"}},
		{"no limit and no tier", `{s3: {bucket: b-1}, resources: {limits: {memory: null}}}`, []string{"resources.limits.memory is not set", "give cache.memory"}},
		{"a tier as large as the limit", `{s3: {bucket: b-1}, cache: {memory: 4Gi}}`, []string{"leave at least a fifth"}},
		{"a tier that leaves a fifth of little", `{s3: {bucket: b-1}, cache: {memory: 160Mi}, resources: {limits: {memory: 256Mi}}}`, []string{"leave at least a fifth", "192Mi"}},
		{"a limit too small", `{s3: {bucket: b-1}, resources: {limits: {memory: 40Mi}}}`, []string{"resources.limits.memory", "at least 256Mi"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := render(parseValues(t, c.values))
			if err == nil {
				t.Fatal("it is taken")
			}
			_, err3 := render3(parseValues(t, c.values))
			if err3 == nil {
				t.Fatal("Helm 3 takes it")
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the refusal does not say %q:\n%v", want, err)
				}
				if !strings.Contains(err3.Error(), want) {
					t.Errorf("Helm 3's refusal does not say %q:\n%v", want, err3)
				}
			}
		})
	}
}
