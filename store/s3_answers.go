package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	// maxAnswer bounds the bytes of an answer that holds no object. A page of a
	// listing has 1,000 names of 1,024 bytes, each of which may be written in six.
	maxAnswer = 8 << 20
	// answerStart is how much of a listing tells whether it is one.
	answerStart = 512
)

var errLongAnswer = fmt.Errorf("%w: an answer of more than %d bytes", errUnreadable, maxAnswer)

// judgesAnswers has each answer looked at before the SDK reads it.
func judgesAnswers(o *s3.Options) {
	judge := middleware.DeserializeMiddlewareFunc("JudgeAnswer", func(
		ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
	) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		if answer, ok := out.RawResponse.(*smithyhttp.Response); ok && err == nil {
			err = judgeAnswer(middleware.GetOperationName(ctx), answer.Response)
		}
		return out, metadata, err
	})
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(judge, middleware.After)
	})
}

// judgeAnswer refuses an answer of success that is not S3's. A proxy, a sign-in page or
// a wrong endpoint answers 200 to everything, which the SDK would take for a delete
// that was done, or for a bucket with nothing in it. For other operations it misses
// the ETag or the ID of an upload.
func judgeAnswer(op string, answer *http.Response) error {
	succeeded := answer.StatusCode >= 200 && answer.StatusCode < 300
	if op == "GetObject" && succeeded {
		return nil // its reader knows how much it takes
	}
	body := answer.Body
	start := bufio.NewReaderSize(&bounded{from: body, left: maxAnswer}, answerStart)
	answer.Body = struct {
		io.Reader
		io.Closer
	}{start, body}
	if !succeeded {
		return nil
	}
	switch op {
	case "DeleteObject", "AbortMultipartUpload":
		if _, err := start.Peek(1); err == nil {
			return fmt.Errorf("%w: something that is not S3 answered: S3 has nothing to say after it has deleted", errUnreadable)
		}
	case "ListObjectsV2", "ListMultipartUploads":
		b, err := start.Peek(answerStart)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !isXML(b) {
			return fmt.Errorf("%w: something that is not S3 answered: a listing is XML", errUnreadable)
		}
	}
	return nil
}

// isXML reports whether an answer begins as XML does, and is no page for people.
func isXML(start []byte) bool {
	start = bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(start, []byte("\xef\xbb\xbf"))))
	return bytes.HasPrefix(start, []byte("<")) && !bytes.Contains(start, []byte("<html")) && !bytes.Contains(start, []byte("<!doctype html"))
}

// bounded is a reader that fails beyond so many bytes.
type bounded struct {
	from io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLongAnswer
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
