package main

import "larder/store"

// s3Flags name a bucket.
type s3Flags struct {
	S3Bucket    string `name:"s3-bucket" env:"LARDER_S3_BUCKET" group:"storage" placeholder:"BUCKET" help:"A bucket of a real S3. Credentials come by the AWS SDK's usual chain."`
	S3Endpoint  string `name:"s3-endpoint" env:"LARDER_S3_ENDPOINT" group:"storage" placeholder:"URL" help:"An S3 that is not AWS."`
	S3Region    string `name:"s3-region" env:"LARDER_S3_REGION" group:"storage" placeholder:"REGION" help:"The bucket's region. (the SDK's; us-east-1 with --s3-endpoint)"`
	S3PathStyle bool   `name:"s3-path-style" env:"LARDER_S3_PATH_STYLE" group:"storage" help:"Address the bucket in the path, as most S3 servers that are not AWS need."`
	S3SSE       string `name:"s3-sse" env:"LARDER_S3_SSE" group:"storage" enum:",AES256,aws:kms,aws:kms:dsse" default:"" placeholder:"KIND" help:"Ask S3 to encrypt each object by AES256, aws:kms or aws:kms:dsse. (the bucket's own setting)"`
	S3SSEKMSKey string `name:"s3-sse-kms-key" env:"LARDER_S3_SSE_KMS_KEY" group:"storage" placeholder:"KEY" help:"The key of KMS for that, an ID or ARN. (the account's own for S3)"`
	S3Prefix    string `name:"s3-prefix" env:"LARDER_S3_PREFIX" group:"storage" placeholder:"PREFIX" help:"Keep everything below this prefix of the bucket."`
}

func (f s3Flags) config() store.S3Config {
	return store.S3Config{
		Bucket: f.S3Bucket, Endpoint: f.S3Endpoint, Region: f.S3Region, Prefix: f.S3Prefix, PathStyle: f.S3PathStyle,
		Encryption: f.S3SSE, KMSKey: f.S3SSEKMSKey,
	}
}
