package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/alecthomas/kong"
	"github.com/dustin/go-humanize"
)

// flagGroups are the headings of 'node -h'.
func flagGroups() []kong.Group {
	return []kong.Group{
		{Key: "addresses", Title: "Where it listens:"},
		{Key: "cluster", Title: "The cluster it belongs to:"},
		{Key: "storage", Title: "Where objects are kept:"},
		{Key: "cache", Title: "What it holds in memory, and how long it trusts it:"},
		{Key: "access", Title: "Who may use it:"},
		{Key: "logs", Title: "What it says:"},
	}
}

// serveCmd is a node's configuration.
type serveCmd struct {
	HTTPAddr  string `group:"addresses" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"The researchers' endpoint. Off loopback it needs credentials, such as --tokens-file. (${default})"`
	Front     bool   `group:"addresses" default:"true" help:"Answer plain GETs on the connection itself, before the HTTP library sees them: from memory, from the page cache of the disk, and small chunks of other nodes. Without it small objects come at about half the rate. (${default})"`
	AdminAddr string `group:"addresses" default:"127.0.0.1:9090" placeholder:"HOST:PORT" help:"/metrics, /livez, /readyz, /cluster, /debug/pprof. (${default})"`

	GossipAddr        string   `group:"cluster" default:"127.0.0.1:7946" placeholder:"HOST:PORT" help:"Who is alive: TCP and UDP. (${default})"`
	PeerAddr          string   `group:"cluster" default:"127.0.0.1:7947" placeholder:"HOST:PORT" help:"Heads, chunks and writes between nodes. (${default})"`
	Advertise         string   `group:"cluster" placeholder:"HOST" help:"The host or IP that other members are told. (the address bound)"`
	Join              []string `group:"cluster" placeholder:"HOST:PORT" help:"Members to join, comma-separated; dns+NAME:PORT is resolved again and again."`
	Name              string   `group:"cluster" placeholder:"NAME" help:"The node's stable name, which decides what it owns. (the host name)"`
	ClusterLabel      string   `group:"cluster" default:"larder" placeholder:"LABEL" help:"Clusters with different labels never merge. (${default})"`
	ClusterSecretFile string   `group:"cluster" placeholder:"FILE" help:"Secrets that all members share, one a line, read again when they change: the first protects what is sent on gossip and the peer port, all are accepted. Needed off loopback."`
	PeerEncryption    *bool    `group:"cluster" help:"Encrypt the peer port with TLS 1.3, under the cluster secret, without certificates. (true unless --peer-addr is loopback)"`

	DataDir string `group:"storage" default:"./larder-data" placeholder:"DIR" help:"Where the embedded S3 keeps objects when no bucket is given. (${default})"`
	s3Flags
	DiskDir  string   `group:"storage" placeholder:"DIR" help:"Where chunks are kept on local disk beside memory, for after a restart too; one directory for each node. (none)"`
	DiskSize byteSize `group:"storage" placeholder:"SIZE" help:"What they may take there, for example 100GiB."`

	Memory        memorySize    `group:"cache" placeholder:"SIZE" help:"The memory tier's budget, for example 4GiB, or a share of the memory limit, for example 50%, which is followed when it changes. GOMEMLIMIT follows. (half of the memory limit)"`
	ChunkSize     byteSize      `group:"cache" default:"8MiB" placeholder:"SIZE" help:"The unit that memory holds and moves; the same on all nodes. (${default})"`
	Lease         time.Duration `group:"cache" default:"5s" placeholder:"TIME" help:"How long a node trusts a head that its owner gave it. (${default})"`
	Revalidate    time.Duration `group:"cache" default:"60s" placeholder:"TIME" help:"How long an owner trusts a head without asking S3. (${default})"`
	ClaimSilence  time.Duration `group:"cache" default:"10m" placeholder:"TIME" help:"How long the builder of a key may say nothing before the next in line builds it. (${default})"`
	MaxObjectSize byteSize      `group:"cache" default:"5GiB" placeholder:"SIZE" help:"Larger objects are refused with 413. (${default})"`

	TokensFile      string `group:"access" placeholder:"FILE" help:"Credentials, JSON or YAML, read again when it changes; 'node token' makes an entry."`
	TLSCertFile     string `name:"tls-cert-file" group:"access" placeholder:"FILE" help:"The certificate of --http-addr, and the authorities between, in PEM; it then speaks TLS alone. Read again when it changes."`
	TLSKeyFile      string `name:"tls-key-file" group:"access" placeholder:"FILE" help:"The certificate's key, in PEM. Read again when it changes."`
	TLSClientCAFile string `name:"tls-client-ca-file" group:"access" placeholder:"FILE" help:"The authorities whose client certificates are credentials, in PEM: CN is the user, O the org, OU=larder:ROLE the role. Read again when it changes."`
	oidcFlags
	PolicyFile     string `group:"access" placeholder:"FILE" help:"What organisations may use, JSON or YAML, read again when it changes. (no limits)"`
	InsecureNoAuth bool   `group:"access" help:"Serve off loopback without credentials: everyone who reaches the port reads and writes everything."`

	memory *memory

	LogLevel string `group:"logs" default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"debug (a line for every request), info (an audit line for every write), warn or error. (${default})"`
}

// byteSize is a number of bytes that is written like 4GiB or 8MB.
type byteSize int64

func (b *byteSize) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n > 1<<62 {
		return fmt.Errorf("%q is not a size; write it like 512MiB or 4GiB", text)
	}
	*b = byteSize(n)
	return nil
}

// readDuration sets a flag to a length of time.
func readDuration(ctx *kong.DecodeContext, flag reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("TIME", &text); err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is not a length of time; write it like 5s, 2m or 720h", text)
	}
	flag.SetInt(int64(d))
	return nil
}

// AfterApply checks what the flags say together, and fills in what depends on
// the machine. Kong calls it.
func (c *serveCmd) AfterApply() error {
	if err := c.defaults(); err != nil {
		return err
	}
	for flag, addr := range map[string]string{
		"--http-addr": c.HTTPAddr, "--admin-addr": c.AdminAddr, "--gossip-addr": c.GossipAddr, "--peer-addr": c.PeerAddr,
	} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("%s %q is not HOST:PORT, for example 127.0.0.1:8080", flag, addr)
		}
	}
	if err := c.checkS3(); err != nil {
		return err
	}
	offLoopback := !isLoopback(c.GossipAddr) || !isLoopback(c.PeerAddr)
	switch {
	case (c.TLSCertFile == "") != (c.TLSKeyFile == ""):
		return errors.New("--tls-cert-file and --tls-key-file belong together: give both, or neither")
	case c.TLSClientCAFile != "" && c.TLSCertFile == "":
		return errors.New("--tls-client-ca-file without --tls-cert-file: only a port that speaks TLS sees certificates")
	case c.checkOIDC() != nil:
		return c.checkOIDC()
	case !isLoopback(c.HTTPAddr) && !c.knowsCallers() && !c.InsecureNoAuth:
		return fmt.Errorf("--http-addr %s is not loopback and there are no tokens: give --tokens-file ('node token' makes an entry), or --insecure-no-auth if everyone who reaches this port may read and write everything", c.HTTPAddr)
	case offLoopback && c.ClusterSecretFile == "":
		return errors.New("--gossip-addr or --peer-addr is not loopback: give --cluster-secret-file, the same secret on every node (for example from 'openssl rand -hex 32')")
	case c.encryptsPeers() && c.ClusterSecretFile == "":
		return errors.New("--peer-encryption without --cluster-secret-file: without a secret anybody could be in the middle")
	case len(c.Join) > 0 && c.S3Bucket == "":
		return errors.New("--join without --s3-bucket: the nodes of a cluster share one S3; give them all the same bucket ('node s3' serves one for several nodes on one machine)")
	case c.Lease <= 0:
		return fmt.Errorf("--lease %s is not positive", c.Lease)
	case c.Revalidate < c.Lease:
		return fmt.Errorf("--revalidate %s is less than --lease %s: an owner trusts a head at least as long as it grants one", c.Revalidate, c.Lease)
	case c.ClaimSilence <= 0:
		return fmt.Errorf("--claim-silence %s is not positive", c.ClaimSilence)
	case c.ChunkSize < 64<<10:
		return errors.New("--chunk-size is at least 64KiB")
	case c.MaxObjectSize < 1:
		return errors.New("--max-object-size is at least 1: with 0 every object would be refused")
	case c.Memory.bytes > 0 && c.Memory.bytes < 4*c.ChunkSize:
		return fmt.Errorf("--memory %s holds fewer than four chunks: give at least %s, or a smaller --chunk-size", humanize.IBytes(uint64(c.Memory.bytes)), humanize.IBytes(uint64(4*c.ChunkSize)))
	}
	if err := c.checkDisk(); err != nil {
		return err
	}
	return c.planMemory(memoryLimit)
}

// knowsCallers reports whether there is any kind of credential.
func (c *serveCmd) knowsCallers() bool {
	return c.TokensFile != "" || c.TLSClientCAFile != "" || c.OIDCIssuer != ""
}

// encryptsPeers reports whether the peer port takes encrypted connections alone.
func (c *serveCmd) encryptsPeers() bool {
	if c.PeerEncryption != nil {
		return *c.PeerEncryption
	}
	return !isLoopback(c.PeerAddr)
}

func (c *serveCmd) defaults() (err error) {
	if c.Name == "" {
		if c.Name, err = os.Hostname(); err != nil {
			return fmt.Errorf("no host name; give --name: %w", err)
		}
	}
	c.DataDir, err = filepath.Abs(c.DataDir) // the log says where it is
	return err
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
