package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"larder/store/embedded"
)

// s3Cmd serves the embedded S3 on a port.
type s3Cmd struct {
	Addr     string `default:"127.0.0.1:9000" placeholder:"HOST:PORT" help:"Where it listens. (${default})"`
	DataDir  string `default:"./larder-data" placeholder:"DIR" help:"Where it keeps objects. (${default})"`
	Bucket   string `default:"larder" placeholder:"BUCKET" help:"The bucket that it makes if it is not there. (${default})"`
	LogLevel string `default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"debug, info, warn or error. (${default})"`
}

// Run serves until ctx ends.
func (c *s3Cmd) Run(ctx context.Context) error {
	access, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	if access == "" || secret == "" {
		return errors.New("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: they become this server's credentials, and the nodes need the same")
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return err
	}
	log := newLogger(c.LogLevel)
	s, err := embedded.New(embedded.Config{Dir: dir, Addr: c.Addr, AccessKey: access, SecretKey: secret, Bucket: c.Bucket, Log: log})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Run(ctx) })
	g.Go(func() error {
		if err := s.Ready(ctx); err != nil {
			return err
		}
		log.Info().Str("s3", "http://"+c.Addr).Str("bucket", c.Bucket).Str("data", dir).Msg("serving")
		return nil
	})
	return g.Wait()
}
