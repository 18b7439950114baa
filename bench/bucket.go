package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

// s3Program is an S3 server that keeps objects as files.
const s3Program = "versitygw"

// The credentials of the S3 server, which listens on loopback and ends with the benchmark.
const (
	s3Region = "us-east-1"
	s3Key    = "AKIATFHAULBENCHMARK0"
	s3Secret = "secret-of-the-benchmark-only"
)

// buckets is a running S3 server.
type buckets struct {
	dir string // of the objects
	url string
	cmd *exec.Cmd
}

// openBuckets starts the S3 server, and returns nil if it is not installed.
func (s *site) openBuckets(ctx context.Context) (*buckets, error) {
	if !installed(s3Program) {
		return nil, nil
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.dir, "buckets-*")
	if err != nil {
		return nil, err
	}
	b := &buckets{dir: dir, url: "http://" + address}
	b.cmd = exec.CommandContext(ctx, s3Program, "--port", address, "--region", s3Region, "--access", s3Key, "--secret", s3Secret,
		"--health", "/health", "--quiet", "posix", dir)
	b.cmd.Stderr = os.Stderr
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	if err := b.wait(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// wait returns when the server answers.
func (b *buckets) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/health", nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			return response.Body.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", s3Program, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// create makes a bucket and returns its address for tfhaul, its URL, and the directory of its
// objects.
func (b *buckets) create(ctx context.Context, name string) (address, bucket, dir string, err error) {
	client := awss3.New(awss3.Options{Region: s3Region, BaseEndpoint: &b.url, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s3Key, s3Secret, "")})
	_, err = client.CreateBucket(ctx, &awss3.CreateBucketInput{Bucket: aws.String(name)})
	params := url.Values{"endpoint": {b.url}, "path-style": {"true"}}
	return "s3://" + name + "/?" + params.Encode(), b.url + "/" + name, filepath.Join(b.dir, name), err
}

// environ returns the credentials.
func (b *buckets) environ() []string {
	return []string{"AWS_REGION=" + s3Region, "AWS_ACCESS_KEY_ID=" + s3Key, "AWS_SECRET_ACCESS_KEY=" + s3Secret, "AWS_EC2_METADATA_DISABLED=true"}
}

// close stops the server and removes its objects.
func (b *buckets) close() error {
	err := b.cmd.Process.Kill()
	_ = b.cmd.Wait() // it was killed
	return errors.Join(err, os.RemoveAll(b.dir))
}
