package main

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is nobody in particular, and not root. The chart runs the node as it.
const user = 65532

func platformOf(arch string) *v1.Platform { return &v1.Platform{OS: "linux", Architecture: arch} }

// assemble makes the image: the certificates, which seldom change, then the node
// with its licences.
func assemble(ctx context.Context, o options, arch, binary string) (v1.Image, error) {
	below, err := certificates()
	if err != nil {
		return nil, err
	}
	above, err := program(ctx, o, binary)
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	created := v1.Time{Time: o.Created}
	if img, err = mutate.Append(img,
		mutate.Addendum{Layer: below, History: v1.History{Created: created, CreatedBy: "certificates"}},
		mutate.Addendum{Layer: above, History: v1.History{Created: created, CreatedBy: "node"}},
	); err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", arch, created
	config.Config = v1.Config{
		Entrypoint:   []string{"/node"},
		User:         "65532:65532",
		WorkingDir:   "/data",
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "9090/tcp": {}, "7946/tcp": {}, "7946/udp": {}, "7947/tcp": {}},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "Larder",
			"org.opencontainers.image.version":  o.Version,
			"org.opencontainers.image.revision": o.Commit,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(img, config)
}

// certificates is the layer that the node stands on.
func certificates() (v1.Layer, error) {
	roots, err := rootsPEM()
	if err != nil {
		return nil, err
	}
	return layer([]file{
		{name: "data/", mode: 0o700, owner: user}, // where the embedded S3 may write, if no volume is there
		{name: "etc/", mode: 0o755},
		{name: "etc/ssl/", mode: 0o755},
		{name: "etc/ssl/certs/", mode: 0o755},
		{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, data: roots},
	})
}

// program is the layer of the node and its licences.
func program(ctx context.Context, o options, binary string) (v1.Layer, error) {
	node, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	license, err := os.ReadFile(filepath.Join(o.Source, "LICENSE"))
	if err != nil {
		return nil, err
	}
	notice, err := notices(ctx, o.Source, binary)
	if err != nil {
		return nil, err
	}
	return layer([]file{
		{name: "licenses/", mode: 0o755},
		{name: "licenses/LICENSE", mode: 0o644, data: license},
		{name: "licenses/NOTICE", mode: 0o644, data: notice},
		{name: "node", mode: 0o755, data: node},
	})
}

// file is an entry of a layer; a name that ends in / is a folder.
type file struct {
	name  string
	mode  int64
	owner int
	data  []byte
}

// layer packs files, without anything of the time or machine that does it.
func layer(files []file) (v1.Layer, error) {
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, f := range files {
		h := &tar.Header{Format: tar.FormatPAX, Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Uid: f.owner, Gid: f.owner, Size: int64(len(f.data))}
		if f.name[len(f.name)-1] == '/' {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(packed.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
}
