package main

import (
	"strings"
	"testing"
)

// Each wrong setting is refused with what would be right.
func TestS3Settings(t *testing.T) {
	for _, test := range []struct {
		set  s3Flags
		want string // part of the error; empty if it is right
	}{
		{s3Flags{S3Bucket: "our-larder"}, ""},
		{s3Flags{S3Bucket: "our_larder", S3Endpoint: "http://s3:9000"}, ""},
		{s3Flags{S3Bucket: "arn:aws:s3:eu-west-1:123456789012:accesspoint/larder"}, ""},
		{s3Flags{S3Bucket: "larder.example.com", S3PathStyle: true}, ""},
		{s3Flags{S3Bucket: "larder.example.com"}, "give --s3-path-style"},
		{s3Flags{S3Bucket: "s3://larder"}, "give --s3-bucket larder"},
		{s3Flags{S3Bucket: "s3://larder/team/x/"}, "give --s3-bucket larder --s3-prefix team/x"},
		{s3Flags{S3Bucket: "larder/team"}, "give --s3-bucket larder --s3-prefix team"},
		{s3Flags{S3Bucket: "larder/"}, "give --s3-bucket larder"},
		{s3Flags{S3Bucket: "https://larder.s3.amazonaws.com"}, "--s3-endpoint"},
		{s3Flags{S3Bucket: "Larder"}, "is it larder?"},
		{s3Flags{S3Bucket: "larder "}, "give --s3-bucket larder"},
		{s3Flags{S3Bucket: "our larder"}, "not the name of a bucket"},
		{s3Flags{S3Bucket: "-larder"}, "not the name of a bucket"},
		{s3Flags{S3Bucket: "lar..der", S3PathStyle: true}, "not the name of a bucket"},
		{s3Flags{S3Bucket: strings.Repeat("x", 64)}, "not the name of a bucket"},
		{s3Flags{S3Bucket: "10.0.0.1", S3PathStyle: true}, "is an IP address"},
		{s3Flags{S3Bucket: "larder--use1-az4--x-s3"}, "directory bucket"},
		{s3Flags{S3Bucket: "larder--use1-az4--xa-s3"}, "directory bucket"},
		{s3Flags{S3Bucket: "larder-x1y2z3--table-s3"}, "table bucket"},
		{s3Flags{S3Endpoint: "http://s3:9000"}, "need --s3-bucket"},
		{s3Flags{S3Bucket: "larder", S3Endpoint: "s3.example.com"}, "neither http:// nor https://"},
		{s3Flags{S3Bucket: "larder", S3Endpoint: "https://"}, "not the URL of a server"},
		{s3Flags{S3Bucket: "larder", S3Endpoint: "https://s3.example.com?x=1"}, "not the URL of a server"},
		{s3Flags{S3Bucket: "larder", S3Endpoint: "https://a:b@s3.example.com"}, "holds credentials"},
		{s3Flags{S3Bucket: "larder", S3Endpoint: "https://s3.example.com/larder/"}, "give --s3-endpoint https://s3.example.com"},
		{s3Flags{S3Bucket: "larder", S3Endpoint: "https://larder.s3.eu-west-1.amazonaws.com"}, "give --s3-endpoint https://s3.eu-west-1.amazonaws.com"},
		{s3Flags{S3Bucket: "larder", S3Endpoint: "http://larder:9000"}, ""},
		{s3Flags{S3Bucket: "larder", S3Endpoint: "http://larder.default.svc:9000"}, ""},
		{s3Flags{S3Bucket: "larder", S3Region: "eu west"}, "--s3-region"},
		{s3Flags{S3Bucket: "larder", S3Prefix: "/team a/x+y=1/"}, ""},
		{s3Flags{S3Bucket: "larder", S3Prefix: "a//b"}, "give --s3-prefix a/b"},
		{s3Flags{S3Bucket: "larder", S3Prefix: "."}, "begins with a dot"},
		{s3Flags{S3Bucket: "larder", S3Prefix: "a/../b"}, "begins with a dot"},
		{s3Flags{S3Bucket: "larder", S3Prefix: "a/ b"}, "a space"},
		{s3Flags{S3Bucket: "larder", S3Prefix: "größe"}, "of ASCII"},
		{s3Flags{S3Bucket: "larder", S3Prefix: `a\b`}, "of ASCII"},
		{s3Flags{S3Bucket: "larder", S3Prefix: "a%2fb"}, "of ASCII"},
		{s3Flags{S3Bucket: "larder", S3Prefix: strings.Repeat("x", 128)}, "at most 127"},
	} {
		err := test.set.checkS3()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.set, err, test.want)
		}
		if strings.HasPrefix(test.set.S3Prefix, "/") || strings.HasSuffix(test.set.S3Prefix, "/") {
			t.Errorf("the prefix is %q", test.set.S3Prefix)
		}
	}
}
