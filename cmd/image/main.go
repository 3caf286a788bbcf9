// Command image builds Larder's container image without a container engine: it
// compiles the node, lays the files of the image out and writes them as an OCI
// layout, with a CycloneDX list of what is in the binary beside it. The same
// sources, version, commit and Go release give the same digest.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// options say what to build.
type options struct {
	Source    string // the root of Larder's sources
	Out       string // the folder of the layout; its name with .ARCH.cdx.json is a list of contents
	Version   string
	Commit    string
	Created   time.Time // the image's date, such as the commit's: never the time of the build
	Platforms []string  // linux/ARCH
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.StringVar(&o.Source, "source", "../..", "the root of Larder's sources")
	flags.StringVar(&o.Out, "out", "", "the folder to write the layout to; it is replaced")
	flags.StringVar(&o.Version, "version", "dev", "the version to stamp")
	flags.StringVar(&o.Commit, "commit", "unknown", "the commit to stamp")
	noticesOf := flags.String("notices-of", "", "only print the licences of what this binary of a node was linked from")
	created := flags.Int64("created", 0, "the image's date in seconds since 1970, such as the commit's")
	platforms := flags.String("platforms", "linux/amd64,linux/arm64", "what to build for, comma-separated")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *noticesOf != "" {
		text, err := notices(ctx, o.Source, *noticesOf)
		if err != nil {
			return err
		}
		_, err = os.Stdout.Write(text)
		return err
	}
	o.Created, o.Platforms = time.Unix(*created, 0).UTC(), strings.Split(*platforms, ",")
	digest, err := build(ctx, o)
	if err != nil {
		return err
	}
	fmt.Println(digest)
	return nil
}

// build writes the layout and returns the digest of its index.
func build(ctx context.Context, o options) (string, error) {
	if o.Out == "" {
		return "", errors.New("give --out, the folder to write the layout to")
	}
	work, err := os.MkdirTemp("", "larder-image-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }() // a folder for temporary files
	if err := os.RemoveAll(o.Out); err != nil {
		return "", err
	}
	out, err := layout.Write(o.Out, empty.Index)
	if err != nil {
		return "", fmt.Errorf("write layout: %w", err)
	}
	for _, platform := range o.Platforms {
		system, arch, ok := strings.Cut(platform, "/")
		if !ok || system != "linux" || arch == "" {
			return "", fmt.Errorf("--platforms: %q is not linux/ARCH", platform)
		}
		binary := filepath.Join(work, arch)
		if err := compile(ctx, o, arch, binary); err != nil {
			return "", err
		}
		img, err := assemble(ctx, o, arch, binary)
		if err != nil {
			return "", fmt.Errorf("assemble image for %s: %w", platform, err)
		}
		if err := out.AppendImage(img, layout.WithPlatform(*platformOf(arch)), layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": o.Version})); err != nil {
			return "", fmt.Errorf("write image for %s: %w", platform, err)
		}
		if err := writeSBOM(o, binary, o.Out+"."+arch+".cdx.json"); err != nil {
			return "", err
		}
	}
	index, err := out.ImageIndex()
	if err != nil {
		return "", err
	}
	digest, err := index.Digest()
	return digest.String(), err
}
