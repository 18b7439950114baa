package s3

import (
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// encrypt requests the encryption that the user asked for, and reports whether there is
// one. The bucket's own applies otherwise.
func (b *bucket) encrypt(in *awss3.PutObjectInput) bool {
	switch {
	case b.sse != nil:
		in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = b.sse.algorithm, b.sse.key, b.sse.md5
	case b.encryption != "":
		in.ServerSideEncryption, in.SSEKMSKeyId = b.encryption, filled(b.kmsKey)
	default:
		return false
	}
	return true
}

// encryptLike requests the encryption of an existing object.
func encryptLike(in *awss3.PutObjectInput, head *awss3.HeadObjectOutput) {
	in.ServerSideEncryption, in.SSEKMSKeyId = head.ServerSideEncryption, head.SSEKMSKeyId
	if in.ServerSideEncryption == types.ServerSideEncryptionAes256 {
		in.SSEKMSKeyId = nil
	}
}
