package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"larder/fill/tier/disk"
)

// checkDisk checks the flags of the disk.
func (c *serveCmd) checkDisk() error {
	if (c.DiskDir == "") != (c.DiskSize == 0) {
		return errors.New("--disk-dir and --disk-size belong together: give both, or neither")
	}
	least := disk.LeastSize(int64(c.ChunkSize))
	switch {
	case c.DiskDir == "":
		return nil
	case c.ChunkSize > disk.MostChunk:
		return fmt.Errorf("--chunk-size %s is too much for a disk: at most %s", humanize.IBytes(uint64(c.ChunkSize)), humanize.IBytes(disk.MostChunk))
	case int64(c.DiskSize) < least:
		return fmt.Errorf("--disk-size %s holds fewer than sixteen chunks: give at least %s, or a smaller --chunk-size", humanize.IBytes(uint64(c.DiskSize)), humanize.IBytes(uint64(least)))
	}
	return nil
}

// openDisk opens the disk, if there is one.
func (n *node) openDisk() (err error) {
	c := n.cfg
	if c.DiskDir == "" {
		return nil
	}
	plan := c.memory.plan.Load()
	n.disk, err = disk.Open(disk.Config{
		Dir: c.DiskDir, Size: int64(c.DiskSize), Identity: c.bucketIdentity(), Chunk: int64(c.ChunkSize),
		Behind: plan.Behind, Index: plan.Index,
		InMemory: func(name string) bool { return n.fill.InMemory(name) },
		Log:      n.log,
	})
	if err != nil {
		return fmt.Errorf("--disk-dir: %w", err)
	}
	return nil
}

// bucketIdentity is what tells the chunks of this node's objects from all others that
// have the same name: where the objects are, and how they are cut.
func (c *serveCmd) bucketIdentity() string {
	where := []string{"data", c.DataDir}
	if c.S3Bucket != "" {
		where = []string{"s3", c.S3Endpoint, c.S3Bucket, c.S3Prefix}
	}
	return strings.Join(append(where, strconv.FormatInt(int64(c.ChunkSize), 10)), "\x00")
}
