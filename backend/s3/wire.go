package s3

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tfhaul/backend"
)

// A wire is a backend.Wire for the SDK. A nil *wire is that of a source.
type wire struct{ backend.Wire }

// inner returns the Wire, or nil for a source.
func (w *wire) inner() *backend.Wire {
	if w == nil {
		return nil
	}
	return &w.Wire
}

// once makes a call to a target a single request. A request that changes something is never
// repeated without finding out what the first one did.
func (w *wire) once(o *awss3.Options) {
	if w != nil {
		o.Retryer = aws.NopRetryer{}
	}
}

func (w *wire) onceInTable(o *dynamodb.Options) {
	if w != nil {
		o.Retryer = aws.NopRetryer{}
	}
}
