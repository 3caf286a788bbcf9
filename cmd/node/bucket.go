package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"larder/keys"
)

// checkS3 refuses what could name no bucket, prefix or endpoint, and brings the
// prefix into its one form.
func (c *s3Flags) checkS3() error {
	if c.S3Bucket == "" {
		if c.S3SSE != "" || c.S3Endpoint != "" || c.S3Prefix != "" || c.S3Region != "" || c.S3PathStyle {
			return errors.New("--s3-endpoint, --s3-region, --s3-path-style, --s3-prefix and --s3-sse need --s3-bucket")
		}
		return nil
	}
	if c.S3SSEKMSKey != "" && !strings.HasPrefix(c.S3SSE, "aws:kms") {
		return errors.New("--s3-sse-kms-key is for --s3-sse=aws:kms or aws:kms:dsse: give one of them")
	}
	if err := checkBucket(c.S3Bucket, c.S3PathStyle); err != nil {
		return err
	}
	if err := checkEndpoint(c.S3Endpoint, c.S3Bucket); err != nil {
		return err
	}
	if c.S3Region != "" && !regexp.MustCompile(`^[A-Za-z0-9-]+$`).MatchString(c.S3Region) {
		return fmt.Errorf("--s3-region %q is not the name of a region, for example eu-west-1", c.S3Region)
	}
	c.S3Prefix = strings.Trim(c.S3Prefix, "/")
	return checkPrefix(c.S3Prefix)
}

var (
	bucketName   = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)
	accessPoint  = regexp.MustCompile(`^arn:aws[a-z-]*:s3[a-z-]*:[a-z0-9-]*:[0-9]*:accesspoint[/:]`)
	prefixLetter = regexp.MustCompile(`^[A-Za-z0-9!_.*'() +=@:,&$;/-]*$`)
)

// checkBucket holds a bucket's name to S3's rules, as far as all servers share
// them; some take underscores.
func checkBucket(name string, pathStyle bool) error {
	trimmed := strings.TrimSpace(name)
	switch rest, isURL := strings.CutPrefix(trimmed, "s3://"); {
	case accessPoint.MatchString(name):
		return nil
	case isURL || strings.Contains(rest, "/") && !strings.Contains(rest, "://"):
		bucket, prefix, _ := strings.Cut(strings.Trim(rest, "/"), "/")
		if prefix == "" {
			return fmt.Errorf("--s3-bucket %q is more than a bucket's name: give --s3-bucket %s", name, bucket)
		}
		return fmt.Errorf("--s3-bucket %q is more than a bucket's name: give --s3-bucket %s --s3-prefix %s", name, bucket, prefix)
	case strings.Contains(rest, "://"):
		return fmt.Errorf("--s3-bucket %q is a URL: give the bucket's name alone, and the server with --s3-endpoint", name)
	case trimmed != name:
		return fmt.Errorf("--s3-bucket %q has spaces around it: give --s3-bucket %s", name, trimmed)
	case strings.HasSuffix(name, "--table-s3"):
		return fmt.Errorf("--s3-bucket %s is a table bucket, whose objects are written as tables: give a general purpose bucket", name)
	case strings.HasSuffix(name, "--x-s3"), strings.HasSuffix(name, "--xa-s3"): // the latter is its access point
		return fmt.Errorf("--s3-bucket %s is a directory bucket of S3 Express One Zone, whose listings are not in order and "+
			"cannot begin after a name: give a general purpose bucket", name)
	case strings.ToLower(name) != name:
		return fmt.Errorf("--s3-bucket %s has capital letters, which no bucket's name has; is it %s?", name, strings.ToLower(name))
	case !bucketName.MatchString(name) || strings.Contains(name, ".."):
		return fmt.Errorf("--s3-bucket %q is not the name of a bucket: at most 63 lower-case letters, digits, dots and hyphens, a letter or digit first and last", name)
	case isAddress(name):
		return fmt.Errorf("--s3-bucket %s is an IP address: give the bucket's name, and the server with --s3-endpoint", name)
	case strings.Contains(name, ".") && !pathStyle:
		return fmt.Errorf("--s3-bucket %s has dots, so that no certificate of S3 covers it as a host name: give --s3-path-style too", name)
	}
	return nil
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// checkEndpoint wants the URL of a server, without the bucket that is asked of it.
func checkEndpoint(endpoint, bucket string) error {
	if endpoint == "" {
		return nil
	}
	if !strings.HasPrefix(endpoint, "http://") && !strings.HasPrefix(endpoint, "https://") {
		return fmt.Errorf("--s3-endpoint %q begins with neither http:// nor https://", endpoint)
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(endpoint, " \t\r\n"):
		return fmt.Errorf("--s3-endpoint %q is not the URL of a server, for example https://s3.example.com", endpoint)
	case u.User != nil:
		return fmt.Errorf("--s3-endpoint holds credentials: give https://%s, and the credentials as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", u.Host)
	}
	alone := *u
	if path, ends := strings.CutSuffix(strings.TrimRight(u.Path, "/"), "/"+bucket); ends {
		alone.Path = path
		return fmt.Errorf("--s3-endpoint %s ends in the name of the bucket, which is added to it: give --s3-endpoint %s", endpoint, alone.String())
	}
	if host, begins := strings.CutPrefix(u.Host, bucket+"."); begins && strings.HasPrefix(host, "s3") {
		alone.Host = host
		return fmt.Errorf("--s3-endpoint %s begins with the name of the bucket, which is added to it: give --s3-endpoint %s", endpoint, alone.String())
	}
	return nil
}

// checkPrefix wants a prefix that every server keeps as it is: some keep objects
// in folders, where segments that are empty or begin with a dot are others.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	segments := strings.Split(prefix, "/")
	switch {
	case len(prefix) > keys.PrefixReserve:
		return fmt.Errorf("--s3-prefix has %d bytes; at most %d leave room for keys", len(prefix), keys.PrefixReserve)
	case slices.Contains(segments, ""):
		kept := slices.DeleteFunc(segments, func(s string) bool { return s == "" })
		return fmt.Errorf("--s3-prefix %q has two slashes in a row: give --s3-prefix %s", prefix, strings.Join(kept, "/"))
	case slices.ContainsFunc(segments, func(s string) bool { return strings.HasPrefix(s, ".") }):
		return fmt.Errorf("--s3-prefix %q has a part that begins with a dot, which some servers take for another folder or hide: name it otherwise", prefix)
	case slices.ContainsFunc(segments, func(s string) bool { return strings.TrimSpace(s) != s }):
		return fmt.Errorf("--s3-prefix %q has a part that begins or ends with a space", prefix)
	case !prefixLetter.MatchString(prefix):
		return fmt.Errorf("--s3-prefix %q may hold letters and digits of ASCII, slashes, spaces and the characters !_.*'()+=@:,&$;-", prefix)
	}
	return nil
}
