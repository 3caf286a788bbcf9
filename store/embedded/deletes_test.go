package embedded

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"larder/store"
)

// What one request deletes waits for fewer syncs than it has objects, each is gone, and one
// without a key, or twice the same, is no fault of the others.
func TestDeletesWaitTogether(t *testing.T) {
	const many = 100
	disk := &recorded{}
	server, s := open(t, disk)
	in := &s3.DeleteObjectsInput{Bucket: aws.String(server.S3Config().Bucket), Delete: &types.Delete{}}
	for i := range many {
		name := fmt.Sprint("v1/", i)
		if _, err := s.Put(t.Context(), name, store.Write{Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		in.Delete.Objects = append(in.Delete.Objects, types.ObjectIdentifier{Key: aws.String(name)})
	}
	in.Delete.Objects = append(in.Delete.Objects, types.ObjectIdentifier{}, in.Delete.Objects[0])
	disk.reset(func() bool { time.Sleep(5 * time.Millisecond); return false }, nil) // as long as a disk takes
	out, err := server.bucket.DeleteObjects(t.Context(), in)
	if err != nil || len(out.Deleted) != many+1 || len(out.Error) != 1 || out.Error[0].Key != nil {
		t.Errorf("%d deleted, errors %v, %v", len(out.Deleted), out.Error, err)
	}
	if n := len(disk.seen); n == 0 || n >= many {
		t.Errorf("%d objects waited for %d syncs", many, n)
	}
	if left, _, err := s.List(t.Context(), "v1/", "", many); err != nil || len(left) > 0 {
		t.Errorf("%d objects are left, %v", len(left), err)
	}
}
